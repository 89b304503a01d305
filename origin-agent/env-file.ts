// Loads a file's variables into the environment before the agent starts (`node --import …/env-file.ts?file=PATH`). They
// override existing ones. With `--env-file` the environment would win; under PM2 that is the environment of the shell
// that started the daemon, so a secret rotated in the file would keep its old value.
import { readFileSync } from "node:fs";
import { parseEnv } from "node:util";

const file = new URL(import.meta.url).searchParams.get("file");
if (file === null) throw new Error("env-file.ts: `?file=PATH` is missing");
Object.assign(process.env, parseEnv(readFileSync(file, "utf8")));
