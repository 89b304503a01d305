// Measures the upload size of a Worker: its modules, gzipped. Source maps, assets and what the bench itself
// writes there (.capnp) don't count.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

const NOT_CODE = /\.(map|capnp)$|^README\.md$/;

/** @param folder as `wrangler deploy --dry-run --outdir` leaves it */
export function gzippedBytes(folder: string): number {
  const modules = readdirSync(folder).filter((name) => !NOT_CODE.test(name));
  return modules.reduce((sum, name) => sum + gzipSync(readFileSync(join(folder, name))).length, 0);
}
