import { groupOf, iterable, mustBeOpen, positions, shown, signalOf, text, until, whole } from "./arguments.js";
import { Consumer } from "./consumer.js";
import { crossOwn, scratch } from "./desk.js";
import { invalid, OncelogError, run } from "./errors.js";
import { hub } from "./hub.js";
import { native, type NativeTransaction, type NativeTransactional } from "./native.js";
import { Packer } from "./packer.js";
import { BACKLOG_MAX, tooMany } from "./producer.js";
import { CLOSES, type Room } from "./room.js";
import type { Committed, GroupMetadata, Offsets, Position, RecordInput, Waiting, Whole } from "./types.js";

/** Bytes up to which a transaction is memory unless the options say otherwise. */
const BUFFER = 1 << 20;
/** Bytes after which a transaction that streams looks for room again; the least that it asks for. */
const PIECE = 64 << 10;

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
  constructor(native: NativeTransactional, room: Room, buffer = BUFFER) {
    this.#native = native;
    this.#room = room;
    this.#buffer = Math.max(buffer, PIECE);
  }

  /** Begins a transaction. Nobody at read_committed sees anything of it before its commit. */
  beginTransaction(): Transaction {
    mustBeOpen(this.#open, "transactional producer");
    return new Transaction(run(() => this.#native.begin()), this.#room, this.#buffer, undefined);
  }

  /**
   * Begins a transaction bound to a consumer: begin it before you poll. The commit sends the consumer's positions with
   * it; an abort, or a commit that fails, puts the consumer back to where it stands now.
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
  readonly #topics = new Map<string, number>();
  /** Most bytes that it sends to the log at once. */
  readonly #buffer: number;
  /** Bytes that have crossed. */
  #bytes = 0;
  /** At how many the log's room is looked at: before the buffer is full. */
  #look: number;
  #open = true;
  /** Its number, which names it for ever. */
  readonly number: bigint;

  /** @internal */
  constructor(native: NativeTransaction, room: Room, buffer: number, consumer: Consumer<Offsets> | undefined) {
    this.#native = native;
    this.#slot = native.slot;
    this.number = native.number;
    this.#room = room;
    this.#buffer = buffer;
    this.#look = buffer / 2;
    this.#consumer = consumer;
  }

  /**
   * Adds a record. True: go on. False: it streams, or soon does, and the log cannot keep up; go on after `drained`, or
   * the next send waits for room in the log, and JavaScript with it.
   *
   * After an error the transaction is as it was, and may go on or be aborted; if the error `requiresAbort`, it can only
   * be aborted and run again.
   */
  send(topic: string, record: RecordInput): boolean {
    this.#check();
    this.#cross(this.#pack(topic, record));
    return this.#mayGoOn();
  }

  /**
   * Adds records, at most 64 MiB in one call, and answers as `send`. After an error those before the refused one are in
   * the transaction, those behind it are not.
   */
  sendMany(topic: string, records: Iterable<RecordInput>): boolean {
    this.#check();
    const before = this.#bytes;
    for (const record of iterable(records, "records")) {
      // Code of the caller runs between the records: each crosses before the next is asked for.
      this.#check();
      this.#cross(this.#pack(topic, record));
      // What never ends would go on into the log until the transaction times out.
      if (this.#bytes - before > BACKLOG_MAX) throw tooMany(this.#bytes - before);
    }
    return this.#mayGoOn();
  }

  /** Waits until `send` may go on. `signal` stops the waiting. */
  async drained(waiting?: Waiting): Promise<void> {
    const signal = signalOf(waiting);
    this.#check();
    await until(this.#room.until(this.#buffer), signal);
  }

  /** True if what the buffer holds would find room in the log. Mostly nobody need ask. */
  #mayGoOn(): boolean {
    if (this.#bytes < this.#look) return true;
    if (!this.#room.has(this.#buffer)) return false;
    this.#look = this.#bytes + PIECE;
    return true;
  }

  /** Answers where the record is. Code of the caller may run in here, and send as well. */
  #pack(topic: string, record: RecordInput): Packer {
    let number = this.#topics.get(text(topic, "topic"));
    if (number === undefined) this.#topics.set(topic, (number = run(() => this.#native.topic(topic))));
    scratch.at = 0;
    if (scratch.pack(record, number, 0, 0)) return scratch;
    const { left, needed } = scratch;
    scratch.left = undefined;
    const large = new Packer(needed);
    large.pack(left!, number, 0, 0);
    return large;
  }

  #cross(packer: Packer): void {
    const { bytes, at } = packer;
    packer.at = 0;
    this.#bytes += at;
    try {
      if (packer === scratch) crossOwn(this.#slot, at);
      else native.cross(this.#slot, bytes, 0, at, false);
    } catch (thrown) {
      run(() => {
        throw thrown;
      });
    }
  }

  /**
   * Commits offsets of a group together with the records: per partition the offset to read next. `Busy` for more than
   * 64 KiB of them while other transactions have all of `transactionMemory`.
   */
  sendOffsets(metadata: GroupMetadata, offsets: Iterable<Position>): void {
    const group = groupOf(metadata);
    const rows = positions(offsets);
    this.#check();
    run(() => this.#native.sendOffsets(group, rows));
  }

  /** Moves the position of the transactional id with the commit: how far its source has been worked off. */
  sendPosition(position: Whole): void {
    const to = whole(position, "position");
    this.#check();
    run(() => this.#native.sendPosition(to));
  }

  /**
   * Commits; the promise is kept when the transaction has met its level. After `Indeterminate` nobody knows whether it
   * is there until the log is opened again; after any other error it is aborted. `signal` stops the waiting, never the
   * commit.
   */
  async commit(waiting?: Waiting): Promise<Committed> {
    const signal = signalOf(waiting);
    this.#check();
    this.#open = false;
    // What has streamed is in the log already.
    const bytes = Math.min(this.#bytes, this.#buffer);
    if (this.#room.has(bytes) || hub.leaving !== undefined) return until(this.#commit(), signal);
    const waits = this.#room.until(bytes);
    const commits = waits.then(() => this.#commit());
    // What is read from here on is no part of this transaction.
    this.#consumer?.stay(waits);
    return until(commits, signal);
  }

  /** Has its place in the log, or is aborted, when this returns. */
  #commit(): Promise<Committed> {
    const commit = (who: number) => this.#native.commit(who);
    const consumer = this.#consumer;
    return hub.wait<Committed>(consumer === undefined ? commit : (who) => consumer.atGiven(() => commit(who)));
  }

  /** Aborts: nobody at read_committed sees any of it, and a bound consumer goes back to where it stood at the begin. */
  async abort(): Promise<void> {
    this.#check();
    this.#open = false;
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
