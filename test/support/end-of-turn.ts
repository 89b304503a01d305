// Waits for what a program does at the end of a turn: not for a time.
/** Resolves at the end of this turn of the event loop, when what was set off in it has run. */
export function endOfTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
