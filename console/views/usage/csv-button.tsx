// Downloads a report as CSV. The edge formats it: the same query with another format.
import { useState } from "preact/hooks";
import { showNotice } from "../../state/notice.ts";
import { session } from "../../state/session.ts";

/** Time limit of the download. */
const TIMEOUT_MS = 30_000;

/** Some browsers read the file a moment after the click. */
const RELEASE_MS = 10_000;

interface CsvButtonProps {
  /** The report's path and query. */
  readonly path: string;
  readonly label: string;
}

export function CsvButton({ path, label }: CsvButtonProps) {
  const [busy, setBusy] = useState(false);
  const download = async (): Promise<void> => {
    setBusy(true);
    const problem = await downloadCsv(`${path}&format=csv`);
    setBusy(false);
    if (problem !== null) showNotice(problem);
  };
  return (
    <button type="button" class="button small" disabled={busy} onClick={() => void download()}>
      {busy ? "Downloading…" : label}
    </button>
  );
}

/** @returns why it failed; null if it didn't. */
async function downloadCsv(path: string): Promise<string | null> {
  const answer = await session.peek()?.edge.open(path, { signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (answer === undefined) return null;
  if (!answer.ok) return answer.problem.message;
  try {
    const name = /filename="([\w.-]+)"/.exec(answer.value.headers.get("content-disposition") ?? "")?.[1];
    save(await answer.value.blob(), name ?? "usage.csv");
    return null;
  } catch {
    return "The download broke off. Try again.";
  }
}

function save(file: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), RELEASE_MS);
}
