// Slots as dots, filled if busy, with the same as text.

/** With more slots only the text is shown. */
const MAX_DOTS = 16;

export function Slots({ slots, busy }: { readonly slots: number; readonly busy: number }) {
  return (
    <span class="slots">
      {slots > MAX_DOTS ? null : (
        <span class="dots" aria-hidden="true">
          {Array.from({ length: slots }, (_, index) => (
            <span key={index} class={index < busy ? "dot busy" : "dot"} />
          ))}
        </span>
      )}
      <span>
        {busy} <span class="of">of {slots}</span>
      </span>
    </span>
  );
}
