// A modal dialog, based on the browser's: it keeps the focus, closes on Escape and returns the focus.
import type { ComponentChildren } from "preact";
import { useId, useLayoutEffect, useRef } from "preact/hooks";
import { Icon } from "./icon.tsx";

/** The element with the initial focus: a field, otherwise the first button, which is the safest. */
const INITIAL_FOCUS = ".dialog-body :is(input, select, textarea), .dialog-foot button";

interface DialogProps {
  readonly title: string;
  readonly onClose: () => void;
  /** Called on Escape; false keeps the dialog open. */
  readonly mayClose?: () => boolean;
  readonly wide?: boolean;
  readonly children: ComponentChildren;
}

export function Dialog({ title, onClose, mayClose = () => true, wide = false, children }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const heading = useId();
  // Before the first paint: a dialog that is not open yet would miss a key press.
  useLayoutEffect(() => {
    const element = dialog.current;
    if (element === null) return undefined;
    const opener = document.activeElement;
    element.showModal();
    element.querySelector<HTMLElement>(INITIAL_FOCUS)?.focus();
    // Chrome closes the dialog on a second Escape even if the first was prevented.
    element.addEventListener("close", onClose);
    return () => {
      // An unmount must not call onClose: another dialog may have replaced this one.
      element.removeEventListener("close", onClose);
      element.close();
      // The dialog is no longer in the page, so the browser doesn't return the focus.
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
          <Icon name="close" />
        </button>
      </header>
      {children}
    </dialog>
  );
}
