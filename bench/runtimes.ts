// The machine and the runtimes that a table is measured on.
import { createRequire } from "node:module";
import { arch, availableParallelism, cpus, platform } from "node:os";

/** workerd is wrangler's, so it is looked for from there: the copy that runs Workers here in development. */
const requireOfWrangler = createRequire(createRequire(import.meta.url).resolve("wrangler"));

export function workerdBinary(): string {
  return (requireOfWrangler("workerd") as { default: string }).default;
}

/** In one line. */
export function describeMachine(): string {
  const workerd = requireOfWrangler("workerd/package.json") as { version: string };
  const model = cpus()[0]?.model.trim() ?? "unknown processor";
  return `${availableParallelism()} cores (${model}), ${platform()} ${arch()}, Node ${process.versions.node}, workerd ${workerd.version}`;
}
