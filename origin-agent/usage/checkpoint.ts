// Moves the journal's log into its database when asked to. A thread of its own, because this syncs the disk.
import { DatabaseSync } from "node:sqlite";
import { parentPort, workerData } from "node:worker_threads";

parentPort?.on("message", () => {
  const database = new DatabaseSync(String(workerData));
  // Waits for nothing: what others still read or write stays in the log until the next time.
  database.exec("PRAGMA wal_checkpoint(PASSIVE)");
  database.close();
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  parentPort?.postMessage("done");
});
