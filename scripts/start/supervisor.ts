// Starts processes again after they exit, as PM2 does on a box with the settings of `cli/generate/ecosystem.ts`: after a
// pause that grows with each exit and is forgotten once the process has run for 30 s. `npm start` alone uses it: a
// process that a test kills stays dead.

/** `exp_backoff_restart_delay`, and what PM2 makes of it (God.js and Worker.js of PM2 7). */
const FIRST_DELAY_MS = 100;
const DELAY_FACTOR = 1.5;
const MAX_DELAY_MS = 15_000;
const STABLE_MS = 30_000;

export interface Managed {
  /** As `pm2 list` shows it. */
  name: string;
  /** Where it listens; null for one without `--port`. */
  port: () => number | null;
  /** Null while it isn't running. */
  pid: () => number | null;
  /** Resolves once it runs. */
  start: () => Promise<void>;
  /** Resolves once it has exited. */
  stop: () => Promise<void>;
}

export interface SupervisorOptions {
  /** `performance.now()`. */
  now: () => number;
  /** Starts a timer. @returns what cancels it */
  after: (ms: number, run: () => void) => () => void;
  /** It runs again. */
  onStarted?: (process: SupervisedProcess) => void;
}

type Status = "online" | "launching" | "stopping" | "waiting restart" | "stopped";

export class SupervisedProcess {
  readonly managed: Managed;
  readonly pmId: number;
  restarts = 0;
  startedAt: number;
  #status: Status = "online";
  #lastPid: number | null;
  #delayMs = 0;
  #cancel: (() => void) | null = null;
  #work: Promise<void> = Promise.resolve();
  #ended = false;
  readonly #options;

  constructor(managed: Managed, pmId: number, options: SupervisorOptions) {
    this.managed = managed;
    this.pmId = pmId;
    this.#options = options;
    this.#lastPid = managed.pid();
    this.startedAt = options.now();
  }

  /** It exited on its own. @returns the pause before it is started again; null if it isn't */
  exited(): number | null {
    if (this.#ended || this.#status === "stopped") return null;
    const { now, after } = this.#options;
    if (now() - this.startedAt >= STABLE_MS) this.#delayMs = 0;
    this.#delayMs =
      this.#delayMs === 0 ? FIRST_DELAY_MS : Math.min(MAX_DELAY_MS, Math.floor(this.#delayMs * DELAY_FACTOR));
    this.#status = "waiting restart";
    this.#cancel?.();
    this.#cancel = after(this.#delayMs, () => void this.#queue(() => this.#startAgain()));
    return this.#delayMs;
  }

  /** As `pm2 restart`. @throws if it can't be started */
  async restart(): Promise<void> {
    await this.#queue(async () => {
      await this.#stop();
      await this.#start();
    });
  }

  /** As `pm2 stop`. */
  async stop(): Promise<void> {
    await this.#queue(async () => {
      await this.#stop();
      this.#status = "stopped";
    });
  }

  /** From now on nothing is started. */
  end() {
    this.#ended = true;
    this.#cancel?.();
  }

  /** As the daemon lists it, without the environment. */
  listed() {
    const port = this.managed.port();
    return {
      name: this.managed.name,
      pm_id: this.pmId,
      // PM2 keeps the former pid of a process that waits; 0 would mean that it has given up.
      pid: this.managed.pid() ?? (this.#status === "stopped" ? 0 : (this.#lastPid ?? 0)),
      pm2_env: {
        status: this.#status,
        restart_time: this.restarts,
        // A time of day, as PM2 has it.
        pm_uptime: Math.round(performance.timeOrigin + this.startedAt),
        args: port === null ? [] : ["--port", String(port)],
      },
    };
  }

  /** One at a time: an operator's restart and one after an exit could otherwise start it twice. */
  #queue(work: () => Promise<void>): Promise<void> {
    const done = this.#work.then(work);
    this.#work = done.catch(() => {});
    return done;
  }

  async #stop() {
    this.#cancel?.();
    this.#cancel = null;
    if (this.managed.pid() === null) return;
    this.#status = "stopping";
    await this.managed.stop();
  }

  async #start() {
    if (this.#ended) return;
    this.#status = "launching";
    this.startedAt = this.#options.now();
    await this.managed.start();
    this.#lastPid = this.managed.pid();
    this.restarts += 1;
    this.#status = "online";
    this.#options.onStarted?.(this);
  }

  async #startAgain() {
    // An operator's restart was quicker.
    if (this.managed.pid() !== null || this.#status === "stopped") return;
    try {
      await this.#start();
    } catch {
      this.exited();
    }
  }
}
