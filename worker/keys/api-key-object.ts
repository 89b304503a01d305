// The object of one key, named by the key's id: its record, its rate window and its month. It is authoritative; the
// registry has a copy. An object without a record writes nothing. The record is held in memory, so that a lease costs no
// read; the window of a second is in memory only, and may be granted once more after a restart.
import { DurableObject } from "cloudflare:workers";
import { backoffMs, type Backoff } from "../../shared/backoff.ts";
import { RATE_WINDOW_MS } from "../../shared/limits.ts";
import type { KeyView } from "../../shared/keys.ts";
import type { FirstKeyUse, KeyLeaseAnswer, KeyLeaseRequest } from "../limits/lease-request.ts";
import type { KeyRecord, RecordChange } from "../../shared/principal.ts";
import type { Bindings } from "../env.ts";
import {
  changedKey,
  createdKey,
  deliveredKey,
  builtInVerdict,
  identify,
  leaseUntil,
  hasPending,
  revokedKey,
  rotatedKey,
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

/** Storage key of the record. */
const KEY = "key";

/** Pauses between attempts to deliver pending reports to other objects. */
const REPORT_RETRY: Backoff = { minMs: 5_000, maxMs: 600_000 };

/** The result of a change; `revoked` and `expired` keys can't be changed. */
export type KeyOutcome =
  | { readonly kind: "done" | "revoked" | "expired"; readonly view: KeyView }
  | { readonly kind: "missing" };

/** `taken`: another key has this id. `full`: the deployment has its maximum of keys. */
type KeyCreation =
  | { readonly kind: "done"; readonly view: KeyView }
  | { readonly kind: "taken" }
  | { readonly kind: "full" };

export class ApiKey extends DurableObject<Bindings> {
  #key: StoredKey | null;
  #window = NO_WINDOW;
  #retries = 0;
  #creating = false;

  constructor(ctx: DurableObjectState, env: Bindings) {
    super(ctx, env);
    this.#key = ctx.storage.kv.get<StoredKey>(KEY) ?? null;
  }

  /** Returns permission and tokens in one round trip. */
  lease(request: KeyLeaseRequest): KeyLeaseAnswer | Promise<KeyLeaseAnswer> {
    const { secretHash, builtInRecord: builtIn, first } = request;
    if (builtIn !== null && first !== null) return this.#leaseFirst(request, builtIn, first);
    const now = Date.now();
    const verdict = builtIn === null ? identify(this.#key, secretHash, now) : builtInVerdict(builtIn, now);
    return this.#grant(verdict, request, now);
  }

  /**
   * Returns once the registry lists the key: only then may the caller show its secret.
   * @throws if the registry can't be reached; the key is revoked then
   */
  async create(creation: Creation, by: By): Promise<KeyCreation> {
    if (this.#key !== null) return { kind: "taken" };
    const made = createdKey(creation, by, Date.now());
    this.#saveWithPending(made);
    this.#creating = true;
    const kept = await this.#sendToRegistry(made)
      .catch((error: unknown) => {
        this.#saveWithPending(revokedKey(made, by, Date.now(), INTERRUPTED));
        throw error;
      })
      .finally(() => (this.#creating = false));
    if (kept === "full") {
      this.#key = null;
      await this.ctx.storage.deleteAll();
      return { kind: "full" };
    }
    await this.#report();
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

  /** May be repeated; each time the registry gets the key again. */
  async revoke(by: By): Promise<KeyOutcome> {
    const key = this.#key;
    if (key === null) return { kind: "missing" };
    const revoked = revokedKey(key, by, Date.now());
    this.#saveWithPending({ ...revoked, pending: { ...revoked.pending, copy: true } });
    await this.#report();
    return { kind: "done", view: viewOf(revoked, Date.now()) };
  }

  /** Called by the ledger with the month's total once it has reached the quota. */
  used(month: string, tokens: number): void {
    if (this.#key === null) return;
    const key = usedKey(this.#key, { month, tokens });
    if (key !== this.#key) this.#save(key);
  }

  /** Delivers the pending reports. */
  override async alarm(): Promise<void> {
    const key = this.#key;
    if (key === null) return;
    const { audit, creation } = key.pending;
    const by = audit[0];
    if (creation && by !== undefined && !this.#creating)
      this.#saveWithPending(revokedKey(key, by, Date.now(), INTERRUPTED));
    await this.#report();
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
    const isValid = await registryObject(this.env).admitFirstKey(request.secretHash, use);
    const now = Date.now();
    return isValid ? this.#grant(builtInVerdict(builtIn, now), request, now) : UNKNOWN;
  }

  async #apply(step: (key: StoredKey, now: number) => StoredKey): Promise<KeyOutcome> {
    const key = this.#key;
    if (key === null) return { kind: "missing" };
    if (key.revokedAt !== null) return { kind: "revoked", view: viewOf(key, Date.now()) };
    const next = step(key, Date.now());
    if (next !== key) {
      this.#saveWithPending(next);
      await this.#report();
    }
    return { kind: "done", view: viewOf(next, Date.now()) };
  }

  #save(key: StoredKey): void {
    this.#key = key;
    this.ctx.storage.kv.put(KEY, key);
  }

  /** Saves a key with pending reports; the alarm delivers them if this call doesn't. */
  #saveWithPending(key: StoredKey): void {
    this.#save(key);
    void this.ctx.storage.setAlarm(Date.now() + REPORT_RETRY.minMs);
  }

  /** Delivers the pending reports. The change is valid even if a delivery fails; it is tried again later. */
  async #report(): Promise<void> {
    if (!this.#creating) await Promise.allSettled([this.#reportToRegistry(), this.#reportToLedger()]);
    const isPending = this.#key !== null && hasPending(this.#key);
    this.#retries = isPending ? this.#retries + 1 : 0;
    const pause = backoffMs(REPORT_RETRY, this.#retries + 1);
    await (isPending ? this.ctx.storage.setAlarm(Date.now() + pause) : this.ctx.storage.deleteAlarm());
  }

  async #reportToRegistry(): Promise<void> {
    const key = this.#key;
    if (key !== null && (key.pending.copy || key.pending.audit.length > 0)) await this.#sendToRegistry(key);
  }

  async #sendToRegistry(sent: StoredKey): Promise<"kept" | "full"> {
    const copy = { view: viewOf(sent, Date.now()), version: sent.version };
    const kept = await registryObject(this.env).keep(copy, sent.pending.audit, sent.pending.superseded);
    if (kept === "kept" && this.#key !== null) this.#save(deliveredKey(this.#key, sent));
    return kept;
  }

  async #reportToLedger(): Promise<void> {
    const key = this.#key;
    if (key === null || !key.pending.ledger) return;
    const ledger = ledgerObject(this.env);
    const quota = key.revokedAt === null ? key.record.limits.tokensPerMonth : null;
    const reported =
      quota === null ? await ledger.unwatch(key.id).then(() => null) : await ledger.watch(key.id, quota);
    const now = this.#key;
    if (now === null || now.version !== key.version) return;
    const delivered = { ...now, pending: { ...now.pending, ledger: false } };
    this.#save(reported === null ? delivered : usedKey(delivered, reported));
  }
}

const INTERRUPTED = { reason: "the creation was interrupted before the key was returned" };
