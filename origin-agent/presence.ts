// Shows the box's other agent processes that this one runs, from its start on: during a reload two lease the same slots.
// Each process has an empty file, named by its epoch, in a folder that they share.
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Logger } from "pino";
import { isEpochAlive } from "./usage/process-epoch.ts";

export class Presence {
  readonly #folder: string;
  readonly #epoch: string;

  constructor(folder: string, epoch: string) {
    this.#folder = folder;
    this.#epoch = epoch;
  }

  /** Must come before the process leases a slot. Removes the files of processes that have exited. */
  announce(log: Pick<Logger, "error">): void {
    try {
      mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
      writeFileSync(join(this.#folder, this.#epoch), "", { mode: 0o600 });
      for (const epoch of readdirSync(this.#folder))
        if (!isEpochAlive(epoch)) rmSync(join(this.#folder, epoch), { force: true });
    } catch (error) {
      const advice = `${this.#folder} can't be written: fix it before the next reload`;
      log.error({ event: "presence", reason: (error as NodeJS.ErrnoException).code ?? null, advice });
    }
  }

  /** Whether another agent process of this box runs: the previous one, still draining, or the next one. */
  isShared(): boolean {
    try {
      return readdirSync(this.#folder).some((epoch) => epoch !== this.#epoch && isEpochAlive(epoch));
    } catch {
      // Unknown, and then each slot is checked before it is used.
      return true;
    }
  }
}
