// Generates /docs/reference: every operation of the OpenAPI document, with a form that sends it.
import { html, raw } from "hono/html";
import type {
  Content,
  Method,
  OpenApiDocument,
  OperationObject,
  ResponseObject,
  Schema,
} from "../openapi/types.ts";
import { code, descriptionOf, pageOf, paragraph, prose, section, table, typeText } from "./parts.ts";

type Html = ReturnType<typeof html>;

interface Row {
  readonly method: Method;
  readonly path: string;
  readonly operation: OperationObject;
}

export function referencePage(document: OpenApiDocument): string {
  const rows = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]): Row => ({ method: method as Method, path, operation })),
  );
  const tags = document.tags.filter(({ name }) => name !== "Documents");
  const sections = tags.map(({ name }) => ({ id: name.toLowerCase().replaceAll(" ", "-"), title: name }));
  return pageOf("API reference", "reference", sections, [
    html`<h1>Reference</h1>`,
    paragraph(
      "Every route, from the document at [/openapi.json](/openapi.json). The [guide](/docs) explains models, formats, limits and errors.",
    ),
    keyField(),
    ...tags.map(({ name, description }, at) =>
      section(
        sections[at] ?? { id: "", title: "" },
        paragraph(description),
        ...rows
          .filter(({ operation }) => operation.tags.includes(name))
          .map((row) => operationPart(row, document)),
      ),
    ),
  ]);
}

function keyField(): Html {
  return html`<form class="key" id="key-form" autocomplete="off">
      <label for="key">API key</label>
      <input
        id="key"
        type="password"
        autocomplete="off"
        spellcheck="false"
        placeholder="isha_…"
        aria-describedby="key-note"
      />
    </form>
    <p class="note" id="key-note">
      For the calls that you send from this page. It stays in the page's memory; a reload forgets it.
    </p>`;
}

function operationPart(row: Row, document: OpenApiDocument): Html {
  const { method, path, operation } = row;
  const { operationId: id, summary, description, parameters = [] } = operation;
  return html`<article class="operation" id="${id}" aria-labelledby="${id}-title">
    <h3 id="${id}-title">${summary}</h3>
    <p class="route">
      <span class="method" data-method="${method}">${method.toUpperCase()}</span> <code>${path}</code>
    </p>
    ${paragraph(description)}
    ${
      parameters.length === 0
        ? ""
        : table(
            ["Parameter", "Values", "Meaning"],
            parameters.map(({ name, required, schema, description }) => [
              `\`${name}\`${required ? ", required" : ""}`,
              typeText(schema),
              description,
            ]),
          )
    }
    ${bodyPart(row)} ${answerPart(operation, document)} ${tryPart(row)}
  </article>`;
}

function bodyPart({ operation }: Row): Html | string {
  const content = operation.requestBody?.content["application/json"];
  if (content === undefined) return "";
  const properties = (content.schema["properties"] ?? {}) as Readonly<Record<string, Schema>>;
  const required = (content.schema["required"] ?? []) as readonly string[];
  const names = Object.keys(properties).toSorted(
    (a, b) => Number(required.includes(b)) - Number(required.includes(a)),
  );
  if (names.length === 0) return "";
  return html`<details>
    <summary>Fields of the body</summary>
    ${table(
      ["Field", "Values", "Meaning"],
      names.map((name) => [
        `\`${name}\`${required.includes(name) ? ", required" : ""}`,
        typeText(properties[name] ?? {}),
        descriptionOf(properties[name]),
      ]),
    )}
  </details>`;
}

function answerPart({ responses }: OperationObject, document: OpenApiDocument): Html {
  const own = Object.entries(responses).filter(
    (entry): entry is [string, ResponseObject] => !("$ref" in entry[1]),
  );
  const statuses = Object.keys(responses).filter((status) => !own.some(([other]) => other === status));
  const codes = document["x-error-codes"].filter(({ status }) => statuses.includes(String(status)));
  return html`<details>
    <summary>Answers and errors</summary>
    ${own.map(
      ([status, { description, content = {} }]) =>
        html`<p><strong>${status}</strong> ${prose(description)}</p>
          ${Object.entries(content).map(([type, value]) => contentPart(type, value))}`,
    )}
    <p>
      Errors:
      ${codes.map(
        ({ code, status }, at) =>
          html`${at === 0 ? "" : ", "}<a href="/docs#error-${code}"><code>${code}</code></a
            >&nbsp;${status}`,
      )}
    </p>
  </details>`;
}

function contentPart(type: string, { schema, example }: Content): Html | string {
  if (example !== undefined) {
    const text = typeof example === "string" ? example.trimEnd() : JSON.stringify(example, null, 2);
    return html`<p><code>${type}</code></p>
      ${code("", text)}`;
  }
  const { $ref } = schema as { $ref?: string };
  if ($ref === undefined) return html`<p><code>${type}</code></p>`;
  return html`<p><code>${type}</code>: schema <code>${$ref.replace("#/components/schemas/", "")}</code></p>`;
}

const inputText = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value));

/** A form for what changes nothing: calls and reads. The console and `isha` do the rest, with a question first. */
function tryPart({ method, path, operation }: Row): Html | string {
  const { operationId: id, tags, parameters = [] } = operation;
  if (method !== "get" && !tags.includes("Models")) return "";
  const body = operation.requestBody?.content["application/json"]?.example;
  const inputs = parameters.filter((parameter) => parameter.in !== "header");
  return html`<form
    class="try"
    data-method="${method.toUpperCase()}"
    data-path="${path}"
    aria-label="Try: ${operation.summary}"
    autocomplete="off"
  >
    ${inputs.map(
      ({ name, in: place, required, example, schema }) =>
        html`<label>
          <span>${name}</span>
          <input
            name="${name}"
            data-in="${place}"
            value="${inputText(example ?? schema["default"] ?? "")}"
            ${raw(required ? "required" : "")}
            autocomplete="off"
            spellcheck="false"
          />
        </label>`,
    )}
    ${
      body === undefined
        ? ""
        : html`<label for="${id}-body">Body</label>
            <textarea
              id="${id}-body"
              name="body"
              rows="${raw(String(JSON.stringify(body, null, 2).split("\n").length + 1))}"
              spellcheck="false"
              autocomplete="off"
            >
${JSON.stringify(body, null, 2)}</textarea>`
    }
    <p class="buttons">
      <button type="submit">Send</button>
      <button type="button" data-stop disabled>Stop</button>
    </p>
    <div class="result" hidden>
      <p class="status" role="status"></p>
      <pre class="text" tabindex="0" aria-label="Text of the answer" hidden></pre>
      <details>
        <summary>Headers</summary>
        <pre class="headers" tabindex="0" aria-label="Headers of the answer"></pre>
      </details>
      <details open>
        <summary>Answer as received</summary>
        <pre class="body" tabindex="0" aria-label="Answer as received"></pre>
      </details>
    </div>
  </form>`;
}
