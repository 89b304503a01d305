// The parts of one running simulated server, handed to every route.
import type { Conversations } from "./conversations.ts";
import type { Settings } from "./flags.ts";
import type { Ledger } from "./ledger.ts";
import type { SlotPool } from "./slots.ts";
import type { SwitchBoard } from "./switches.ts";
import type { Vocabulary } from "./tokens.ts";

export interface Sim {
  settings: Settings;
  board: SwitchBoard;
  pool: SlotPool;
  ledger: Ledger;
  vocabulary: Vocabulary;
  conversations: Conversations;
  /** Unix time in seconds at which the model was loaded. */
  startedAt: number;
  /** The weights are still being read. */
  loading: boolean;
}
