// Notices that this process is to end: a signal, or the end of the program that started it.
import { constants } from "node:os";

/** One Ctrl-C arrives up to three times, passed on by npm and by the bootstrap; a second one comes later. */
const SAME_CTRL_C_MS = 1_000;
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

interface Interrupt {
  signal: AbortSignal;
  /** As a shell reports the death by this signal. */
  exitCode: () => number;
  /** Stops watching. */
  ignore: () => void;
}

/** A second signal ends the process at once, and the guard then ends what it started. */
export function watchInterrupt(): Interrupt {
  const stopper = new AbortController();
  let exitCode = 0;
  let firstAt = 0;
  const stop = (signal: NodeJS.Signals) => {
    if (exitCode !== 0) {
      if (performance.now() - firstAt > SAME_CTRL_C_MS) process.exit(exitCode);
      return;
    }
    firstAt = performance.now();
    exitCode = 128 + constants.signals[signal];
    stopper.abort();
  };
  const onDisconnect = () => stop("SIGTERM");
  for (const signal of SIGNALS) process.on(signal, stop);
  process.on("disconnect", onDisconnect);
  // A closed terminal or pipe is no reason to leave programs behind.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => stop("SIGHUP"));
  // The channel must not keep this process from ending.
  process.channel?.unref();
  return {
    signal: stopper.signal,
    exitCode: () => exitCode,
    ignore() {
      for (const signal of SIGNALS) process.off(signal, stop);
      process.off("disconnect", onDisconnect);
    },
  };
}
