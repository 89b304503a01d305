// Entry of the Worker: the app for this deployment's fleet, and the objects that wrangler.toml binds.
import fleet from "../fleet.config.ts";
import { createWorker } from "./app.ts";

export { ApiKey } from "./keys/api-key-object.ts";
export { ClientAddress } from "./limits/client-address-object.ts";
export { Fleet } from "./fleet/object/fleet-object.ts";
export { KeyRegistry } from "./keys/registry-object.ts";
export { Ledger } from "./usage/ledger-object.ts";

export default createWorker(fleet);
