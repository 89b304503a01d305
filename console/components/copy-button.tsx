// Copies a text and reports the result.
import { useState } from "preact/hooks";

interface CopyProps {
  readonly text: string;
  readonly label: string;
  readonly onCopied?: () => void;
  readonly primary?: boolean;
}

export function CopyButton({ text, label, onCopied, primary = false }: CopyProps) {
  const [result, setResult] = useState("");
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(text);
      setResult("Copied");
      onCopied?.();
    } catch {
      setResult("The browser refused; select and copy it manually");
    }
  };
  return (
    <span class="copy">
      <button type="button" class={primary ? "button primary" : "button small"} onClick={() => void copy()}>
        {label}
      </button>
      <span role="status" class="copied">
        {result}
      </span>
    </span>
  );
}
