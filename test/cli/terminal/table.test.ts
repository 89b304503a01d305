import { describe, expect, it } from "vitest";
import { fieldsText, tableText } from "../../../cli/terminal/table.ts";
import { cutTo, plain, widthOf } from "../../../cli/terminal/safe-text.ts";
import { SeededRandom } from "../../support/seeded-random.ts";

const COLUMNS = [
  { title: "NAME", cut: true },
  { title: "CALLS", right: true },
];
const PLAIN = { columns: null, colours: false };

describe("a table", () => {
  it("aligns figures right, and puts the total below a line", () => {
    expect(
      tableText(
        COLUMNS,
        [
          ["Riverside", "7"],
          ["b", "1,234"],
        ],
        PLAIN,
        ["total", "1,241"],
      ),
    ).toBe(
      [
        "NAME       CALLS",
        "Riverside      7",
        "b          1,234",
        "─────────  ─────",
        "total      1,241",
        "",
      ].join("\n"),
    );
  });

  it("is cut to a terminal's width in the columns that allow it", () => {
    const rows = [["A clinic with a very long name", "12"]];
    const widest = (text: string): number => Math.max(...text.split("\n").map(widthOf));
    expect(widest(tableText(COLUMNS, rows, { columns: 20, colours: false }))).toBe(20);
    expect(tableText(COLUMNS, rows, { columns: 20, colours: false })).toContain("A clinic wit…     12");
    expect(tableText(COLUMNS, rows, PLAIN)).toContain("A clinic with a very long name");
  });

  it("handles a cell of any length", () => {
    const text = tableText(COLUMNS, [["x".repeat(50_000), "1"]], { columns: 80, colours: false });
    expect(Math.max(...text.split("\n").map(widthOf))).toBe(80);
  });

  it("drops spare columns only when it would be too wide", () => {
    const columns = [
      { title: "NAME", cut: true },
      { title: "SCOPES", spare: true },
      { title: "CALLS", right: true },
    ];
    const rows = [["A clinic with a very long name", "infer", "12"]];
    expect(tableText(columns, rows, { columns: 24, colours: false })).toBe(
      "NAME       SCOPES  CALLS\nA clinic…  infer      12\n",
    );
    expect(tableText(columns, rows, { columns: 20, colours: false })).not.toContain("SCOPES");
    expect(tableText(columns, rows, PLAIN)).toContain("SCOPES");
  });

  it("stays readable on a terminal that is too narrow for it", () => {
    expect(
      tableText(COLUMNS, [["A clinic with a long name", "123,456"]], { columns: 3, colours: false }),
    ).toContain("123,456");
  });

  it("is bold only with colours", () => {
    expect(tableText(COLUMNS, [], { columns: 80, colours: true })).toContain("\u001b[1m");
    expect(tableText(COLUMNS, [], PLAIN)).not.toContain("\u001b");
  });

  it("stays aligned with wide characters", () => {
    const text = tableText(
      COLUMNS,
      [
        ["診療所", "1"],
        ["clinic", "2"],
      ],
      PLAIN,
    );
    expect(new Set(text.trimEnd().split("\n").map(widthOf)).size).toBe(1);
  });
});

describe("text from outside", () => {
  it("can't move the cursor, set the title or reverse the text on an operator's terminal", () => {
    for (const text of ["a\u001b]0;owned\u0007b", "a\r\nb", "a\u009b2Jb", "a\u202eb", "a\u2028b"]) {
      // oxlint-disable-next-line no-control-regex -- these must not be there
      expect(plain(text)).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028\u202e]/);
    }
    expect(fieldsText([["name", "a\u001b[31mb"]])).toBe("  name  a�[31mb\n");
    expect(tableText(COLUMNS, [["a\u001b[31mb", "1"]], PLAIN)).not.toContain("\u001b");
  });

  it("is never wider than the width it is cut to (seeded)", () => {
    const random = new SeededRandom(7);
    for (let round = 0; round < 500; round += 1) {
      const text = random.text(1 + random.below(30), ["a", "é", "診", "👩‍⚕️", " "]);
      const width = 1 + random.below(20);
      expect(widthOf(cutTo(text, width))).toBeLessThanOrEqual(width);
      expect(cutTo(text, 80)).toBe(text);
    }
  });
});
