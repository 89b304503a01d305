import { describe, expect, it } from "vitest";
import { importsOf, withoutComments } from "./source-text.ts";

describe("code without its comments", () => {
  it("keeps every line in its place", () => {
    expect(withoutComments("a; // b\n/* c\n d */ e;")).toBe("a;  \n \n  e;");
  });

  it("keeps what only looks like a comment", () => {
    const code = [
      "const a = \"http://x\"; const b = '/* c */';",
      "const d = `e // ${f} /* g`;",
      "h = /\\/\\*[/*]/;",
    ];
    expect(withoutComments(code.join("\n"))).toBe(code.join("\n"));
  });

  it("knows a division from a regular expression", () => {
    expect(withoutComments("const half = whole / 2; // not / this")).toBe("const half = whole / 2;  ");
  });
});

describe("the imports of a file", () => {
  it("are found in each of the ways there are", () => {
    const text = [
      'import "../shared/for-its-effect.ts";',
      'import one from "../shared/one.ts";',
      'import * as z from "zod";',
      'import type { Two } from "../shared/two.ts";',
      'import { type Three } from "../shared/three.ts";',
      "import {",
      "  four,",
      '} from "../four.ts";',
      'export { Five } from "../shared/five.ts";',
      'export * from "../shared/six.ts";',
      'const seven = await import("../shared/seven.ts");',
    ];
    expect(importsOf(text.join("\n")).map(({ specifier, typeOnly }) => `${specifier} ${typeOnly}`)).toEqual([
      "./for-its-effect.ts false",
      "./one.ts false",
      "zod false",
      "./two.ts true",
      "./three.ts false",
      "../four.ts false",
      "./five.ts false",
      "./six.ts false",
      "./seven.ts false",
    ]);
  });

  it("are not what a comment or an exported text says", () => {
    const text = [
      '// import "../shared/a.ts";',
      '/** @typedef {import("../shared/b.ts").B} B */',
      'export const text = "import from ./c.ts";',
      "export const other = [",
      "  'import \"./d.ts\";',",
      "];",
    ];
    expect(importsOf(text.join("\n"))).toEqual([]);
  });
});
