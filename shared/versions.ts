// Accepts the versions of a contract that can meet during a deployment: a release and its neighbours.
import * as z from "zod/mini";

/**
 * A version that a peer of the previous, this or the next release sends. A release that raises a version must therefore
 * still read the fields of the version before it.
 */
export const adjacentTo = (version: number) => z.int().check(z.gte(version - 1), z.lte(version + 1));
