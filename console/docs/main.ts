// The script of /docs and /docs/reference: buttons that copy examples, and forms that send requests. Both pages can be
// read without it.
import { wireForm } from "./try-it.ts";

const COPIED_MS = 1_500;

for (const block of document.querySelectorAll<HTMLElement>("pre.code")) {
  if (block.dataset["language"] !== "") addCopyButton(block);
}

const keyInput = document.querySelector<HTMLInputElement>("#key");
// Enter in the key's field would load the page again.
document.querySelector("#key-form")?.addEventListener("submit", (event) => event.preventDefault());
for (const form of document.querySelectorAll<HTMLFormElement>("form.try")) {
  wireForm(form, () => keyInput?.value.trim() ?? "");
}

function addCopyButton(block: HTMLElement): void {
  const text = block.textContent;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  button.addEventListener("click", () => void copy(text, button));
  const bar = document.createElement("div");
  bar.className = "code-bar";
  bar.append(block.dataset["language"] ?? "", button);
  const frame = document.createElement("div");
  frame.className = "code-frame";
  block.replaceWith(frame);
  frame.append(bar, block);
}

async function copy(text: string, button: HTMLButtonElement): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Select and copy it";
  }
  setTimeout(() => (button.textContent = "Copy"), COPIED_MS);
}
