// Moves the journal's log into its database: a thread of its own, because this syncs the disk. It ends when that is done.
import { DatabaseSync } from "node:sqlite";
import { workerData } from "node:worker_threads";

const database = new DatabaseSync(String(workerData));
// Waits for no one: what others still read or write stays in the log until the next time.
database.exec("PRAGMA wal_checkpoint(PASSIVE)");
database.close();
