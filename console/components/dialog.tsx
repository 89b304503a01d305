// A modal dialog: the browser's own, which holds the focus, closes on Escape and gives the focus back.
import type { ComponentChildren } from "preact";
import { useId, useLayoutEffect, useRef } from "preact/hooks";
import { Sign } from "./icon.tsx";

/** What has the focus first: a field, else the mildest of the buttons, which stands first. */
const FIRST = ".dialog-body :is(input, select, textarea), .dialog-foot button";

interface DialogProps {
  readonly title: string;
  readonly onClose: () => void;
  /** Asked at Escape; false keeps it open. */
  readonly mayClose?: () => boolean;
  readonly wide?: boolean;
  readonly children: ComponentChildren;
}

export function Dialog({ title, onClose, mayClose = () => true, wide = false, children }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const heading = useId();
  // Before it is painted: a dialog that is there and not yet shown would miss a key.
  useLayoutEffect(() => {
    const element = dialog.current;
    if (element === null) return undefined;
    const opener = document.activeElement;
    element.showModal();
    element.querySelector<HTMLElement>(FIRST)?.focus();
    // Chrome closes on a second Escape whatever was prevented.
    element.addEventListener("close", onClose);
    return () => {
      // Its own end is no wish to close: another dialog may have taken its place.
      element.removeEventListener("close", onClose);
      element.close();
      // By now it is off the page, and so gives the focus back to nobody by itself.
      if (opener instanceof HTMLElement) opener.focus();
    };
  }, []);
  return (
    <dialog
      ref={dialog}
      class={wide ? "dialog wide" : "dialog"}
      aria-labelledby={heading}
      onCancel={(event) => {
        event.preventDefault();
        if (mayClose()) onClose();
      }}
    >
      <header class="dialog-head">
        <h2 id={heading}>{title}</h2>
        <button type="button" class="icon-button" aria-label="Close" onClick={() => mayClose() && onClose()}>
          <Sign name="close" />
        </button>
      </header>
      {children}
    </dialog>
  );
}
