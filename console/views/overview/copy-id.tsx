// A small button that copies a request id, next to the id's shortened text.
import { Icon } from "../../components/icon.tsx";
import { showNotice } from "../../state/notice.ts";

export function CopyId({ id }: { readonly id: string }) {
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(id);
      showNotice(`Copied ${id}.`);
    } catch {
      showNotice(`The browser refused to copy. The id is ${id}.`);
    }
  };
  return (
    <button
      type="button"
      class="copy-id"
      aria-label={`Copy ${id}`}
      title="Copy the request id"
      onClick={() => void copy()}
    >
      <Icon name="copy" />
    </button>
  );
}
