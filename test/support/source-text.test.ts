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
      'import "./for-its-effect.ts";',
      'import one from "./one.ts";',
      'import * as z from "zod";',
      'import type { Two } from "./two.ts";',
      'import { type Three } from "./three.ts";',
      "import {",
      "  four,",
      '} from "../four.ts";',
      'export { Five } from "./five.ts";',
      'export * from "./six.ts";',
      'const seven = await import("./seven.ts");',
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
      '// import "./a.ts";',
      '/** @typedef {import("./b.ts").B} B */',
      'export const text = "import from ./c.ts";',
      "export const other = [",
      "  'import \"./d.ts\";',",
      "];",
    ];
    expect(importsOf(text.join("\n"))).toEqual([]);
  });
});
