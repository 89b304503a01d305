// The playground's request as a curl command for the page's own host.
import { CopyButton } from "../../components/copy-button.tsx";

export function CurlPanel({ curl }: { readonly curl: string }) {
  return (
    <section class="card" aria-labelledby="curl">
      <header class="panel-head">
        <h2 id="curl">The same request with curl</h2>
        <CopyButton text={curl} label="Copy" />
      </header>
      <pre class="curl" tabIndex={0}>
        <code>{curl}</code>
      </pre>
      <p class="hint">
        Set the key first: <code>export ISHA_KEY=…</code>
      </p>
    </section>
  );
}
