// Light or dark: the system's setting until the operator chooses one for this tab.
import { signal } from "@preact/signals";

export type Theme = "light" | "dark";

const system = matchMedia("(prefers-color-scheme: dark)");

export const theme = signal<Theme>(system.matches ? "dark" : "light");

export function followTheme(): void {
  system.addEventListener("change", ({ matches }) => {
    if (document.documentElement.dataset["theme"] === undefined) theme.value = matches ? "dark" : "light";
  });
}

export function toggleTheme(): void {
  const next = theme.value === "dark" ? "light" : "dark";
  document.documentElement.dataset["theme"] = next;
  theme.value = next;
}
