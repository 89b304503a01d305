// Stores the newest drain or resume that reached this box in a small file: a drained box stays drained when its agent
// restarts, with or without a link (design.md, 9). During a reload two processes write it; both receive each command.
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import type { Logger } from "pino";
import * as z from "zod";
import { thrownName } from "../../shared/errors.ts";
import { Drain } from "../../shared/wire.ts";

const StoredDrain = z.preprocess((text) => JSON.parse(String(text)) as unknown, Drain);

export class DrainState {
  readonly #path: string | null;
  readonly #log: Pick<Logger, "warn" | "error">;
  #newest: Drain | null;

  /** @param path null to keep it in memory only */
  constructor(path: string | null, log: Pick<Logger, "warn" | "error">) {
    this.#path = path;
    this.#log = log;
    this.#newest = this.#stored();
    if (this.drained) log.warn({ event: "drain", by: path, since: this.#newest?.at });
  }

  get newest(): Drain | null {
    return this.#newest;
  }

  /** Whether the box refuses new calls until it is resumed. */
  get drained(): boolean {
    return this.#newest?.drained ?? false;
  }

  /** Applies a command unless a newer one is known. @returns whether the box starts or stops refusing calls */
  apply(drain: Drain): boolean {
    if (drain.at <= (this.#newest?.at ?? -1)) return false;
    const changes = drain.drained !== this.drained;
    this.#newest = drain;
    this.#store(drain);
    return changes;
  }

  #stored(): Drain | null {
    if (this.#path === null) return null;
    try {
      return StoredDrain.parse(readFileSync(this.#path, "utf8"));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") this.#report("read", error);
      return null;
    }
  }

  /** Replaces the file, so that it is never half written. */
  #store(drain: Drain): void {
    if (this.#path === null) return;
    const next = `${this.#path}.${process.pid}`;
    try {
      mkdirSync(dirname(this.#path), { recursive: true, mode: 0o700 });
      writeFileSync(next, JSON.stringify(drain), { mode: 0o600 });
      renameSync(next, this.#path);
    } catch (error) {
      this.#report("written", error);
    }
  }

  #report(action: "read" | "written", error: unknown): void {
    const reason = (error as NodeJS.ErrnoException).code ?? thrownName(error);
    const advice = `${this.#path} can't be ${action}: fix it, or send the drain or resume again`;
    this.#log.error({ event: "drain-file", reason, advice });
  }
}
