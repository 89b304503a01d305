// Moves the journal's log into its database on each message. A thread of its own, because this syncs the disk.
import { DatabaseSync } from "node:sqlite";
import { parentPort, workerData } from "node:worker_threads";

parentPort?.on("message", () => {
  const database = new DatabaseSync(String(workerData));
  // Waits for no writer and stops none: what is written meanwhile stays in the log until the next time.
  database.exec("PRAGMA wal_checkpoint(PASSIVE)");
  database.close();
});
