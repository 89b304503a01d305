// The sign-in form. The admin key is kept only in this tab's memory, unless the operator chooses to stay signed in.
import { useEffect, useRef, useState } from "preact/hooks";
import { Check } from "../components/check.tsx";
import { Field } from "../components/field.tsx";
import { Logo } from "../components/icon.tsx";
import { Note } from "../components/note.tsx";
import { resuming, signIn, signInProblem } from "../state/session.ts";

export function SignIn() {
  const field = useRef<HTMLInputElement>(null);
  const [busy, setBusy] = useState(false);
  const [stay, setStay] = useState(false);
  useEffect(() => field.current?.focus(), [resuming.value]);
  const submit = async (): Promise<void> => {
    if (busy || field.current === null) return;
    setBusy(true);
    await signIn(field.current.value.trim(), stay);
    setBusy(false);
    // If the key was refused, the next one replaces it.
    field.current?.select();
  };
  if (resuming.value) return <p class="empty">Signing in again with the key that this tab stores…</p>;
  return (
    <div class="sign-in">
      <form
        class="card"
        aria-label="Sign in"
        onSubmit={(event) => {
          event.preventDefault();
          void submit();
        }}
      >
        <div class="sign-in-head">
          <Logo />
          <h1>Sign in to the fleet</h1>
        </div>
        <Field
          label="Admin key"
          hint={
            stay
              ? "It is stored in this tab's sessionStorage until you sign out or close the tab: anyone who uses this browser meanwhile, and any script that runs on this page, can read it."
              : "It is kept only in this tab's memory, not in storage or cookies. A reload discards it."
          }
        >
          {(props) => (
            <input
              {...props}
              ref={field}
              type="password"
              name="key"
              autocomplete="off"
              spellcheck={false}
              placeholder="isha_…"
            />
          )}
        </Field>
        <Check label="Stay signed in after a reload" checked={stay} onChange={setStay} />
        <div role="alert">
          {signInProblem.value === "" ? null : <Note level="bad">{signInProblem.value}</Note>}
        </div>
        <button type="submit" class="button primary wide" disabled={busy}>
          {busy ? "Signing in…" : "Sign in"}
        </button>
      </form>
    </div>
  );
}
