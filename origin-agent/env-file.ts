// Loaded before the agent (`node --import …/environment-file.ts?file=PATH`): puts the variables of a file into the
// environment, over those that are there. `--env-file` lets the environment win, and under PM2 that is the one of
// whatever shell once started the daemon: a secret that was rotated in the file would stay the old one.
import { readFileSync } from "node:fs";
import { parseEnv } from "node:util";

const file = new URL(import.meta.url).searchParams.get("file");
if (file === null) throw new Error("environment-file.ts: which file? `?file=PATH` is missing");
Object.assign(process.env, parseEnv(readFileSync(file, "utf8")));
