// Returns stubs of Durable Objects; no other file does. An object's location is set once, by its first caller, so every
// access passes the deployment's hint (https://developers.cloudflare.com/durable-objects/reference/data-location/).
// Each call gets a new stub: a stub whose object has thrown can stay broken.
import type { Bindings } from "./env.ts";

/** Name of the objects of which a deployment has one: the registry, the ledger, the fleet. */
const SINGLETON = "main";

let placement: DurableObjectNamespaceGetDurableObjectOptions = {};

/** Sets where objects are created: near the first box. Must be called before any request. */
export function placeObjects(locationHint: DurableObjectLocationHint | undefined): void {
  placement = locationHint === undefined ? {} : { locationHint };
}

export const fleetObject = ({ FLEET }: Pick<Bindings, "FLEET">) => FLEET.getByName(SINGLETON, placement);

export const ledgerObject = ({ LEDGER }: Pick<Bindings, "LEDGER">) => LEDGER.getByName(SINGLETON, placement);

export const registryObject = ({ KEY_REGISTRY }: Pick<Bindings, "KEY_REGISTRY">) =>
  KEY_REGISTRY.getByName(SINGLETON, placement);

/** @param id the key's id */
export const keyObject = ({ API_KEY }: Pick<Bindings, "API_KEY">, id: string) =>
  API_KEY.getByName(id, placement);

/** @param address an IPv4 address, or an IPv6 /64 */
export const addressObject = ({ CLIENT_ADDRESS }: Pick<Bindings, "CLIENT_ADDRESS">, address: string) =>
  CLIENT_ADDRESS.getByName(address, placement);
