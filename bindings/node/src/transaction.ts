import { groupOf, iterable, mustBeOpen, positions, shown, signalOf, until, whole } from "./arguments.js";
import { BACKLOG_MAX, tooMany } from "./backlog.js";
import { Consumer } from "./consumer.js";
import { crossOwn, scratch } from "./desk.js";
import { invalid, OncelogError, run, toError } from "./errors.js";
import { hub } from "./hub.js";
import { limits } from "./limits.js";
import { native, type NativeTransaction, type NativeTransactional } from "./native.js";
import { Packer } from "./packer.js";
import { CLOSES, type Room } from "./room.js";
import { Surplus } from "./surplus.js";
import { Topics } from "./topics.js";
import type { Committed, GroupMetadata, Offsets, Position, RecordInput, Waiting, Whole } from "./types.js";

/**
 * Begins transactions, one at a time, under a transactional id. Opening the id shuts its older holder out. Records of
 * any number of topics and offsets of any number of groups become visible together or not at all.
 */
export class TransactionalProducer {
  readonly #native: NativeTransactional;
  readonly #room: Room;
  readonly #buffer: number;
  #open = true;

  /** @internal */
  constructor(native: NativeTransactional, room: Room, buffer = limits.transactionBuffer) {
    this.#native = native;
    this.#room = room;
    this.#buffer = buffer;
  }

  /**
   * Begins a transaction. Nobody at read_committed sees anything of it before its commit.
   *
   * A producer that was shut out throws `ProducerFenced`; for a moment, while that is not on the device, `Busy`.
   */
  beginTransaction(): Transaction {
    mustBeOpen(this.#open, "transactional producer");
    return new Transaction(run(() => this.#native.begin()), this.#room, this.#buffer, undefined);
  }

  /**
   * Begins a transaction bound to a consumer: begin it before you poll. The commit sends the consumer's positions with
   * it; an abort, or a commit that fails, puts the consumer back to where it stands now. Throws `UnstableOffsets`,
   * which passes, while a raw transaction is open that will commit offsets of its group where it has no position yet.
   */
  beginTransactionFor(consumer: Consumer<Offsets>): Transaction {
    mustBeOpen(this.#open, "transactional producer");
    if (!(consumer instanceof Consumer)) throw invalid(`a transaction is begun for a consumer; got ${shown(consumer)}`);
    consumer.mustBeOpen();
    const begun = run(() => consumer.atGiven(() => this.#native.begin(consumer.native)));
    return new Transaction(begun, this.#room, this.#buffer, consumer);
  }

  /** The position last sent with `Transaction.sendPosition` in a transaction that has met its level. */
  get position(): bigint | null {
    mustBeOpen(this.#open, "transactional producer");
    return run(() => this.#native.position());
  }

  /** Lets the producer go. A transaction that is open stays open. */
  async close(): Promise<void> {
    this.#open = false;
    this.#native.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/**
 * An open transaction. Disposed of while open, it is aborted.
 *
 * Up to its buffer (`transactionBuffer`, 1 MiB) it is memory: its records get their offsets at the commit, and an abort
 * leaves nothing. Past it, it *streams*, as Kafka's transactions do: its records go to the log as they come. Readers at
 * read_uncommitted see them at once; the last stable offset of their partitions, where read_committed ends, waits for
 * the decision; an abort hides them. `Engine.describeTransactions` names the transactions that hold it back. One that
 * streams for longer than `transactionTimeoutMs` is aborted, and answers `TransactionTimedOut` from then on.
 */
export class Transaction {
  readonly #native: NativeTransaction;
  readonly #slot: number;
  readonly #room: Room;
  readonly #consumer: Consumer<Offsets> | undefined;
  readonly #topics: Topics;
  /** Most bytes that it sends to the log at once. */
  readonly #buffer: number;
  /** Bytes that were sent. */
  #bytes = 0;
  /** What waits for room in the log, once something had to. */
  #surplus: Surplus | undefined;
  #open = true;
  /** Its number, which names it for ever. */
  readonly number: bigint;

  /** @internal */
  constructor(native: NativeTransaction, room: Room, buffer: number, consumer: Consumer<Offsets> | undefined) {
    this.#native = native;
    this.#slot = native.slot;
    this.#topics = new Topics(native);
    this.number = native.number;
    this.#room = room;
    this.#buffer = buffer;
    this.#consumer = consumer;
  }

  /** True until it is committed or aborted: from the call on, not from its answer. */
  get isOpen(): boolean {
    return this.#open;
  }

  /**
   * Adds a record. True: go on. False: it streams, and the log cannot keep up; go on after `drained`. Whoever goes on
   * nevertheless has the records wait in memory, in order, up to 64 MiB; past that the answer is `Busy`.
   *
   * After an error the transaction is as it was, and may go on or be aborted; if the error `requiresAbort`, it can only
   * be aborted and run again. So it is as well after a record was refused that had waited: every later call says why.
   */
  send(topic: string, record: RecordInput): boolean {
    this.#check();
    return this.#add(topic, record);
  }

  /**
   * Adds records, at most 64 MiB in one call, and answers as `send`. After an error those before the refused one are in
   * the transaction, those behind it are not.
   */
  sendMany(topic: string, records: Iterable<RecordInput>): boolean {
    this.#check();
    const before = this.#bytes;
    let mayGoOn = this.#surplus === undefined || this.#surplus.empty;
    for (const record of iterable(records, "records")) {
      // Code of the caller runs between the records: each crosses before the next is asked for.
      this.#check();
      mayGoOn = this.#add(topic, record);
      // What never ends would go on into the log until the transaction times out.
      if (this.#bytes - before > BACKLOG_MAX) throw tooMany(this.#bytes - before);
    }
    return mayGoOn;
  }

  /**
   * Waits until `send` may go on. Rejects with what a record was refused for that had to wait. `signal` stops the
   * waiting.
   */
  async drained(waiting?: Waiting): Promise<void> {
    const signal = signalOf(waiting);
    this.#check();
    if (this.#surplus !== undefined) await until(this.#surplus.drained(), signal);
  }

  /** Answers whether more may go on. */
  #add(topic: string, record: RecordInput): boolean {
    this.#surplus?.mustTakeMore();
    const packer = this.#pack(topic, record);
    const { at } = packer;
    packer.at = 0;
    // What waits stays in front, also of a record that was begun before it.
    const goes = (this.#surplus === undefined || this.#surplus.empty) && this.#crosses(packer, at);
    if (!goes) {
      this.#check();
      this.#surplus ??= new Surplus(this.#native, this.#room);
      this.#surplus.add(packer.bytes.subarray(0, at));
    }
    this.#bytes += at;
    return goes;
  }

  /** Answers where the record is. Code of the caller may run in here, and send as well. */
  #pack(topic: string, record: RecordInput): Packer {
    const number = this.#topics.number(topic);
    scratch.at = 0;
    if (scratch.pack(record, number, 0, 0)) return scratch;
    const { left, needed } = scratch;
    scratch.left = undefined;
    const large = new Packer(needed);
    large.pack(left!, number, 0, 0);
    return large;
  }

  /** False: the record has to wait for room. */
  #crosses(packer: Packer, at: number): boolean {
    try {
      const own = packer === scratch;
      return (own ? crossOwn(this.#slot, packer, at) : native.cross(this.#slot, packer.bytes, 0, at, false)) === at;
    } catch (thrown) {
      throw toError(thrown);
    }
  }

  /**
   * Commits offsets of a group together with the records: per partition the offset to read next. `Busy` while
   * other transactions have all of `transactionMemory`, and for up to 64 KiB of them the 8 MiB besides.
   */
  sendOffsets(metadata: GroupMetadata, offsets: Iterable<Position>): void {
    const group = groupOf(metadata);
    const rows = positions(offsets);
    this.#check();
    this.#surplus?.mustGoOn();
    run(() => this.#native.sendOffsets(group, rows));
  }

  /** Moves the position of the transactional id with the commit: how far its source has been worked off. */
  sendPosition(position: Whole): void {
    const to = whole(position, "position");
    this.#check();
    this.#surplus?.mustGoOn();
    run(() => this.#native.sendPosition(to));
  }

  /**
   * Commits; the promise is kept when the transaction has met its level. After `Indeterminate` nobody knows whether it
   * is there until the log is opened again; after any other error it is aborted. Of a topic that was deleted meanwhile,
   * records in memory or offsets refuse the commit (`UnknownTopicOrPartition`); records that streamed before are gone
   * with it, and the rest commits. `signal` stops the waiting, never the commit.
   */
  async commit(waiting?: Waiting): Promise<Committed> {
    const signal = signalOf(waiting);
    this.#check();
    this.#open = false;
    // What has streamed is in the log already.
    const bytes = Math.min(this.#bytes, this.#buffer) + CLOSES;
    const now = (this.#surplus === undefined || this.#surplus.settled) && this.#room.mayCall(bytes);
    return until(now ? hub.wait<Committed>((who) => this.#commit(who)) : this.#commitLater(bytes), signal);
  }

  /** Commits when nothing waits in front, and there is room. */
  #commitLater(bytes: number): Promise<Committed> {
    let made = () => {};
    // What is read from here on is no part of this transaction.
    this.#consumer?.stay(new Promise<void>((resolve) => (made = resolve)));
    const commit = (who: number) => {
      made();
      this.#commit(who);
    };
    return new Promise<Committed>((resolve) => {
      const surplus = this.#surplus;
      const goOn = () => {
        if (surplus?.refused === undefined) resolve(this.#room.call<Committed>(commit, undefined, bytes));
        else resolve(this.#fail(surplus.refused.error).finally(made));
      };
      if (surplus === undefined) goOn();
      else surplus.whenGone(goOn);
    });
  }

  /** Has its place in the log, or is aborted, when this returns. */
  #commit(who: number): void {
    const consumer = this.#consumer;
    if (consumer === undefined) this.#native.commit(who);
    else consumer.atGiven(() => this.#native.commit(who));
  }

  /** Aborts instead of committing. */
  async #fail(error: unknown): Promise<never> {
    // That it is aborted is not news for whoever hears why.
    await this.#abort().catch(() => {});
    throw error;
  }

  /** Aborts: nobody at read_committed sees any of it, and a bound consumer goes back to where it stood at the begin. */
  async abort(): Promise<void> {
    this.#check();
    this.#open = false;
    this.#surplus?.clear();
    await this.#abort();
  }

  async #abort(): Promise<void> {
    // What has streamed is aborted in the log.
    if (!this.#room.mayCall(CLOSES)) {
      const waits = this.#room.until(CLOSES);
      this.#consumer?.stay(waits);
      await waits;
    }
    this.#consumer?.forgetWalk();
    run(() => this.#native.abort());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#open) return;
    try {
      await this.abort();
    } catch (error) {
      // With its engine it is gone as well.
      if (!(error instanceof OncelogError && error.code === "Closed")) throw error;
    }
  }

  #check(): void {
    if (!this.#open) {
      throw new OncelogError("InvalidTransactionState", "this transaction has ended; begin another");
    }
  }
}
