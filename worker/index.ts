// The Worker's entry: the app for this deployment's fleet, and the objects that wrangler.toml binds.
import fleet from "../fleet.config.ts";
import { createWorker } from "./app.ts";

export { ApiKey } from "./objects/api-key.ts";
export { ClientAddress } from "./objects/client-address.ts";
export { Fleet } from "./objects/fleet.ts";
export { KeyRegistry } from "./objects/key-registry.ts";
export { Ledger } from "./objects/ledger.ts";

export default createWorker(fleet);
