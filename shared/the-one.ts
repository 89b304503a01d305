// Name of the objects of which a deployment has one: the registry, the ledger, the fleet.
export const SINGLETON = "main";
