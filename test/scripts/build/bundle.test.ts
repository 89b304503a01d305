// A build while another one is served: the served page's script and style stay, older ones are removed.
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { buildFolder } from "../../../scripts/build/bundle.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "isha-bundle-"));
  await writeFile(join(folder, "main.css"), "body { color: red }");
});
afterAll(() => rm(folder, { recursive: true }));

/** Builds a page whose script prints the text. @returns the name of its script */
async function build(text: string, page = "index.html"): Promise<string> {
  await writeFile(join(folder, "main.ts"), `console.log(${JSON.stringify(text)});`);
  const names = await buildFolder({
    url: "/page",
    into: join(folder, "page"),
    script: join(folder, "main.ts"),
    style: join(folder, "main.css"),
    pages: { [page]: '<script src="{{script}}"></script><link href="{{style}}">' },
  });
  return names.find((name) => name.endsWith(".js")) ?? "";
}

const files = async (): Promise<string[]> => (await readdir(join(folder, "page"))).toSorted();

it("the script of the page that was served before a build stays, and one build more doesn't change that", async () => {
  const first = await build("first");
  const second = await build("second");
  expect(second).not.toBe(first);
  expect(await files()).toEqual(expect.arrayContaining([first, second]));
  await build("second");
  expect(await files()).toEqual(expect.arrayContaining([first, second]));
});

it("scripts before that are removed, as are pages that are no longer built", async () => {
  const second = await build("second");
  const third = await build("third");
  const scripts = (await files()).filter((name) => name.endsWith(".js"));
  expect(scripts).toEqual([second, third].toSorted());
  await build("third", "renamed.html");
  expect((await files()).filter((name) => name.endsWith(".html"))).toEqual(["renamed.html"]);
});
