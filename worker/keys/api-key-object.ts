// One key: its record, its window, its month. Named by the key's id; this is the truth of it, the registry has a
// copy. An object without a record writes nothing. The record is in memory from the start, so that a lease costs no
// read; the window of a second is in memory alone, and may be granted once more after a restart.
import { DurableObject } from "cloudflare:workers";
import { RATE_WINDOW_MS } from "../../shared/limits.ts";
import type { KeyView } from "../../shared/keys.ts";
import {
  builtInRecordOf,
  type FirstKeyUse,
  type KeyLeaseAnswer,
  type KeyLeaseRequest,
} from "../limits/lease-request.ts";
import type { KeyRecord, RecordChange } from "../../shared/principal.ts";
import type { Bindings } from "../env.ts";
import {
  changedKey,
  createdKey,
  identify,
  identifyVerdict,
  leaseUntil,
  owesAnything,
  revokedKey,
  rotatedKey,
  settledKey,
  UNKNOWN,
  usedKey,
  viewOf,
  type By,
  type Creation,
  type KeyVerdict,
  type StoredKey,
} from "./key-record.ts";
import { grant, NO_WINDOW } from "../limits/rate-window.ts";
import { registryObject, ledgerObject } from "../stubs.ts";

/** Where the record lies in the object's storage. */
const KEY = "key";

/** For how long a first admin key that is dead isn't asked about again, milliseconds: the end of the last admin key brings it back so soon. */
const DEAD_FIRST_MS = 1_000;

/** Pauses between tries to tell the other objects what they are pending, milliseconds: doubled from the first to the longest. */
const RETRY_MIN_MS = 5_000;
const RETRY_MAX_MS = 600_000;

/** What came of a change. `revoked` and `expired` keys take none. */
export type KeyOutcome =
  | { readonly kind: "done"; readonly view: KeyView }
  | { readonly kind: "missing" }
  | { readonly kind: "revoked"; readonly view: KeyView }
  | { readonly kind: "expired"; readonly view: KeyView };

/** `taken`: the id is another key's. `full`: the deployment has as many keys as it may. */
export type KeyCreation =
  | { readonly kind: "done"; readonly view: KeyView }
  | { readonly kind: "taken" }
  | { readonly kind: "full" };

export class ApiKey extends DurableObject<Bindings> {
  #key: StoredKey | null;
  #window = NO_WINDOW;
  #deadFirst = { secretHash: "", until: 0 };
  #retries = 0;
  #creating = false;

  constructor(ctx: DurableObjectState, env: Bindings) {
    super(ctx, env);
    this.#key = ctx.storage.kv.get<StoredKey>(KEY) ?? null;
  }

  /** Permission and tokens in one: one round trip a call at most. */
  lease(request: KeyLeaseRequest): KeyLeaseAnswer | Promise<KeyLeaseAnswer> {
    const { secretHash, first } = request;
    const builtIn = builtInRecordOf(request);
    if (builtIn !== null && first !== null) return this.#leaseFirst(request, builtIn, first);
    const now = Date.now();
    const verdict = builtIn === null ? identify(this.#key, secretHash, now) : identifyVerdict(builtIn, now);
    return this.#grant(verdict, request, now);
  }

  /**
   * @returns once the registry lists the key: only then is its secret told.
   * @throws where the registry can't be told; the key is revoked then.
   */
  async create(creation: Creation, by: By): Promise<KeyCreation> {
    if (this.#key !== null) return { kind: "taken" };
    const made = createdKey(creation, by, Date.now());
    this.#owe(made);
    this.#creating = true;
    const kept = await this.#tellRegistry(made)
      .catch((error: unknown) => {
        this.#owe(revokedKey(made, by, Date.now(), INTERRUPTED));
        throw error;
      })
      .finally(() => (this.#creating = false));
    if (kept === "full") {
      this.#key = null;
      await this.ctx.storage.deleteAll();
      return { kind: "full" };
    }
    await this.#settle();
    return { kind: "done", view: viewOf(made, Date.now()) };
  }

  show(): KeyView | null {
    return this.#key === null ? null : viewOf(this.#key, Date.now());
  }

  async change(change: RecordChange, by: By): Promise<KeyOutcome> {
    return this.#apply((key, now) => changedKey(key, change, by, now));
  }

  async rotate(secretHash: string, graceMs: number, by: By): Promise<KeyOutcome> {
    const view = this.show();
    if (view?.state === "expired") return { kind: "expired", view };
    return this.#apply((key, now) => rotatedKey(key, { secretHash, graceMs }, by, now));
  }

  /** Again is no harm, and tells the registry again. */
  async revoke(by: By): Promise<KeyOutcome> {
    const key = this.#key;
    if (key === null) return { kind: "missing" };
    const revoked = revokedKey(key, by, Date.now());
    this.#owe({ ...revoked, pending: { ...revoked.pending, copy: true } });
    await this.#settle();
    return { kind: "done", view: viewOf(revoked, Date.now()) };
  }

  /** The ledger's word on this key's month: all tokens of it so far. */
  used(month: string, tokens: number): void {
    if (this.#key === null) return;
    const key = usedKey(this.#key, { month, tokens });
    if (key !== this.#key) this.#keep(key);
  }

  /** Tells the others what they are still pending. */
  override async alarm(): Promise<void> {
    const key = this.#key;
    if (key === null) return;
    const { audit, creation } = key.pending;
    const by = audit[0];
    if (creation && by !== undefined && !this.#creating)
      this.#owe(revokedKey(key, by, Date.now(), INTERRUPTED));
    await this.#settle();
  }

  #grant(verdict: KeyVerdict, request: KeyLeaseRequest, now: number): KeyLeaseAnswer {
    if (verdict.kind !== "known") return verdict;
    const { record, quotaSpent, until } = verdict;
    const limit = { quota: record.limits.perSecond, windowMs: RATE_WINDOW_MS };
    // A spent month ends model calls only: the key's other requests still take tokens.
    const granted = grant(this.#window, limit, request, now);
    this.#window = granted.window;
    return { kind: "known", record, lease: leaseUntil(granted.grant, until, now), quotaSpent };
  }

  /** Asks the registry each time whether the first admin key is still valid: once replaced, it is refused within a lease's life. */
  async #leaseFirst(request: KeyLeaseRequest, builtIn: KeyRecord, use: FirstKeyUse): Promise<KeyLeaseAnswer> {
    const { secretHash } = request;
    const requestedAt = Date.now();
    const dead = this.#deadFirst;
    if (dead.secretHash === secretHash && requestedAt < dead.until) return UNKNOWN;
    const isValid = await registryObject(this.env).admitFirstKey(secretHash, use);
    if (isValid) return this.#grant(identifyVerdict(builtIn, Date.now()), request, Date.now());
    this.#deadFirst = { secretHash, until: requestedAt + DEAD_FIRST_MS };
    return UNKNOWN;
  }

  async #apply(step: (key: StoredKey, now: number) => StoredKey): Promise<KeyOutcome> {
    const key = this.#key;
    if (key === null) return { kind: "missing" };
    if (key.revokedAt !== null) return { kind: "revoked", view: viewOf(key, Date.now()) };
    const next = step(key, Date.now());
    if (next !== key) {
      this.#owe(next);
      await this.#settle();
    }
    return { kind: "done", view: viewOf(next, Date.now()) };
  }

  #keep(key: StoredKey): void {
    this.#key = key;
    this.ctx.storage.kv.put(KEY, key);
  }

  /** Keeps a key of which others must be told: at the latest when the alarm rings, whatever happens before. */
  #owe(key: StoredKey): void {
    this.#keep(key);
    void this.ctx.storage.setAlarm(Date.now() + RETRY_MIN_MS);
  }

  /** Pays what is pending; what can't be paid now is tried again, and the caller's change counts all the same. */
  async #settle(): Promise<void> {
    if (!this.#creating) await Promise.allSettled([this.#settleRegistry(), this.#settleLedger()]);
    const owes = this.#key !== null && owesAnything(this.#key);
    this.#retries = owes ? this.#retries + 1 : 0;
    const pause = Math.min(RETRY_MIN_MS * 2 ** this.#retries, RETRY_MAX_MS);
    await (owes ? this.ctx.storage.setAlarm(Date.now() + pause) : this.ctx.storage.deleteAlarm());
  }

  async #settleRegistry(): Promise<void> {
    const key = this.#key;
    if (key !== null && (key.pending.copy || key.pending.audit.length > 0)) await this.#tellRegistry(key);
  }

  async #tellRegistry(sent: StoredKey): Promise<"kept" | "full"> {
    const copy = { view: viewOf(sent, Date.now()), version: sent.version };
    const kept = await registryObject(this.env).keep(copy, sent.pending.audit, sent.pending.superseded);
    if (kept === "kept" && this.#key !== null) this.#keep(settledKey(this.#key, sent));
    return kept;
  }

  async #settleLedger(): Promise<void> {
    const key = this.#key;
    if (key === null || !key.pending.ledger) return;
    const ledger = ledgerObject(this.env);
    const counted = key.revokedAt === null && key.record.limits.tokensPerMonth !== null;
    const told = counted ? await ledger.watch(key.id) : await ledger.unwatch(key.id).then(() => null);
    const now = this.#key;
    if (now === null || now.version !== key.version) return;
    const settled = { ...now, pending: { ...now.pending, ledger: false } };
    this.#keep(told === null ? settled : usedKey(settled, told));
  }
}

const INTERRUPTED = { because: "its creation was interrupted before the key was told" };
