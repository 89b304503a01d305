// Pieces of HTML that the guide and the reference share. Placeholders: the Worker replaces `{{origin}}` and `{{host}}` with
// the host that serves the page, the build `{{script}}` and `{{style}}`.
import { html, raw } from "hono/html";
import type { HtmlEscapedString } from "hono/utils/html";
import type { Schema } from "../openapi/types.ts";

export const ORIGIN = "{{origin}}";
export const HOST = "{{host}}";

type Html = ReturnType<typeof html>;

const ICON =
  "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Crect width='16' height='16' rx='4' fill='%230f766e'/%3E%3Cpath d='M3.5 9.5h2l1.5-5 2.5 7.5 1.5-2.5h1.5' fill='none' stroke='%23fff' stroke-width='1.4' stroke-linecap='round' stroke-linejoin='round'/%3E%3C/svg%3E";

interface Section {
  readonly id: string;
  readonly title: string;
}

/** A complete page. */
export function pageOf(
  title: string,
  current: "guide" | "reference",
  sections: readonly Section[],
  content: Html | readonly Html[],
): string {
  const link = (page: "guide" | "reference", href: string, text: string): Html =>
    html`<a href="${href}" ${raw(page === current ? 'aria-current="page"' : "")}>${text}</a>`;
  const page = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <title>${title}</title>
        <link rel="icon" href="${raw(ICON)}" />
        <link rel="stylesheet" href="{{style}}" />
        <script type="module" src="{{script}}"></script>
      </head>
      <body>
        <a class="skip" href="#content">Skip to the content</a>
        <header class="top">
          <nav aria-label="Documents">
            ${link("guide", "/docs", "Guide")} ${link("reference", "/docs/reference", "Reference")}
            <a href="/openapi.json">OpenAPI</a>
          </nav>
        </header>
        <div class="frame">
          <nav class="side" aria-label="On this page">
            <ul>
              ${sections.map((section) => html`<li><a href="#${section.id}">${section.title}</a></li>`)}
            </ul>
          </nav>
          <main id="content" tabindex="-1">${content}</main>
        </div>
      </body>
    </html>` as HtmlEscapedString;
  return page.toString();
}

export function section({ id, title }: Section, ...content: readonly Html[]): Html {
  return html`<section id="${id}" aria-labelledby="${id}-title">
    <h2 id="${id}-title">${title}</h2>
    ${content}
  </section>`;
}

/** A text with `code` in back quotes, **bold** parts, and links as [text](url). */
export function prose(text: string): Html {
  const parts = text.split(/(`[^`]+`|\*\*[^*]+\*\*|\[[^\]]+\]\([^)]+\))/g).map((part) => {
    if (part.startsWith("**")) return html`<strong>${part.slice(2, -2)}</strong>`;
    const link = /^\[([^\]]+)\]\(([^)]+)\)$/.exec(part);
    if (link !== null) return html`<a href="${link[2] ?? ""}">${link[1]}</a>`;
    return part.startsWith("`") && part.length > 1 ? html`<code>${part.slice(1, -1)}</code>` : html`${part}`;
  });
  return html`${parts}`;
}

export const paragraph = (text: string): Html => html`<p>${prose(text)}</p>`;

/** A block of code with its language; the script adds a button that copies it. */
export function code(language: string, text: string): Html {
  return html`<pre class="code" data-language="${language}" tabindex="0"><code>${text}</code></pre>`;
}

/** @param rows cells as prose */
export function table(
  heads: readonly string[],
  rows: readonly (readonly string[])[],
  ids: readonly string[] = [],
): Html {
  return html`<div class="wide" tabindex="0" role="group" aria-label="${heads.join(", ")}">
    <table>
      <thead>
        <tr>
          ${heads.map((head) => html`<th scope="col">${head}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          (cells, at) =>
            html`<tr ${raw(ids[at] === undefined ? "" : `id="${ids[at]}"`)}>
              ${cells.map((cell) => html`<td>${prose(cell)}</td>`)}
            </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}

export function descriptionOf(schema: Schema | undefined): string {
  const description = schema?.["description"];
  return typeof description === "string" ? description : "";
}

/** What a schema allows, in words: `integer, 1 to 16`. */
export function typeText(schema: Schema): string {
  const kinds = (schema["anyOf"] ?? schema["oneOf"]) as readonly Schema[] | undefined;
  if (kinds !== undefined)
    return [...new Set(kinds.filter(({ type }) => type !== "null").map(typeText))].join(" or ");
  const values = schema["enum"] as readonly unknown[] | undefined;
  if (values !== undefined)
    return values
      .filter((value) => value !== null)
      .map(valueText)
      .join(", ");
  if (schema["const"] !== undefined) return valueText(schema["const"]);
  const types = [schema["type"]].flat().filter((type) => type !== "null" && type !== undefined);
  const range = rangeText(schema);
  return `${types.length === 0 ? "any" : types.join(" or ")}${range === "" ? "" : `, ${range}`}`;
}

const valueText = (value: unknown): string =>
  `\`${typeof value === "string" ? value : JSON.stringify(value)}\``;

/** JavaScript's safe integers, which a schema has as bounds if there are no others. */
const isBound = (value: unknown): value is number => typeof value === "number" && Math.abs(value) < 2 ** 31;

function rangeText(schema: Schema): string {
  const [from, to] = [schema["minimum"] ?? schema["exclusiveMinimum"], schema["maximum"]];
  if (isBound(from) && isBound(to)) return `${from} to ${to}`;
  if (isBound(from)) return schema["minimum"] === undefined ? `above ${from}` : `${from} or more`;
  if (isBound(to)) return `up to ${to}`;
  const items = schema["maxItems"];
  return isBound(items) ? `up to ${items}` : "";
}
