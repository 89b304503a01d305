// What the edge's word does on this box. Whether the box is held lives as long as this process: the edge says it
// again to each that greets it.
import type { Logger } from "pino";
import type { EdgeFrame } from "../../shared/wire.ts";
import type { AskedRestarts } from "../servers/operator-restarts.ts";

export type EdgeCommand = Exclude<EdgeFrame, { t: "ack" }>;

export interface EdgeCommandsOptions {
  readonly restarts: Pick<AskedRestarts, "restart">;
  /** Refuses a key's waiting calls. @returns how many those were */
  readonly revoke: (keyId: string) => number;
  readonly log: Pick<Logger, "info" | "warn">;
}

export class EdgeCommands {
  readonly #options: EdgeCommandsOptions;
  #held = false;

  constructor(options: EdgeCommandsOptions) {
    this.#options = options;
  }

  /** The box takes no further calls until the edge says `resume`. */
  get held(): boolean {
    return this.#held;
  }

  readonly hear = (word: EdgeCommand): void => {
    const { log, revoke } = this.#options;
    switch (word.t) {
      case "drain":
      case "resume":
        if (this.#held !== (word.t === "drain")) log.warn({ event: word.t, by: "edge" });
        this.#held = word.t === "drain";
        return;
      case "restart":
        return void this.#restart(word.port);
      case "revoke":
        return log.info({ event: "revoked", key: word.keyId, refused: revoke(word.keyId) });
      case "warning":
        return log.warn({ event: "edge-warning", message: word.message });
    }
  };

  async #restart(port: number): Promise<void> {
    const { restarts, log } = this.#options;
    log.warn({ event: "restart-asked", port, outcome: await restarts.restart(port) });
  }
}
