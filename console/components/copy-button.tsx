// Copies a text, and says that it did.
import { useState } from "preact/hooks";

interface CopyProps {
  readonly text: string;
  readonly label: string;
  readonly onCopied?: () => void;
  readonly primary?: boolean;
}

export function CopyButton({ text, label, onCopied, primary = false }: CopyProps) {
  const [said, setSaid] = useState("");
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(text);
      setSaid("Copied");
      onCopied?.();
    } catch {
      setSaid("The browser refused; select it and copy by hand");
    }
  };
  return (
    <span class="copy">
      <button type="button" class={primary ? "button primary" : "button small"} onClick={() => void copy()}>
        {label}
      </button>
      <span role="status" class="copied">
        {said}
      </span>
    </span>
  );
}
