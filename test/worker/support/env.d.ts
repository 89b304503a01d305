// The type of `env` of "cloudflare:workers" in this suite: the bindings of wrangler.toml.
import type { Bindings } from "../../../worker/env.ts";

declare global {
  namespace Cloudflare {
    interface Env extends Bindings {}
  }
}
