import {
  amount, bytesOf, count, flag, groupOf, identityOf, iterable, maybeText, options as given, partitionName, positions,
  signalOf, small, text, until, whole,
} from "./arguments.js";
import { Consumer } from "./consumer.js";
import { invalid, run } from "./errors.js";
import { Histogram } from "./histogram.js";
import { hub } from "./hub.js";
import { LINE } from "./layout.js";
import { limits } from "./limits.js";
import type { NativeEngine } from "./native.js";
import { Partition } from "./partition.js";
import { Producer } from "./producer.js";
import { Room } from "./room.js";
import { crossAll } from "./schedule.js";
import { TransactionalProducer } from "./transaction.js";
import type {
  ConsumerOptions, EngineOptions, GroupMetadata, Identity, IdentityInput, IdentityOptions, LogLevel, Metrics, Offsets,
  Opening, OpenTransaction, Outcome, Position, ProducerOptions, TopicInfo, TopicOptions, TopicPartition,
  TransactionalOptions, TransactionStatus, Verification, Waiting, Whole,
} from "./types.js";

/**
 * An open log. Close it when you are through: `await using`, or `close`. Without that it is closed when the process or
 * the worker ends, or when nobody holds any handle of it.
 */
export class Engine {
  readonly #native: NativeEngine;
  readonly #room: Room;

  /** @internal */
  constructor(native: NativeEngine, lines: Lines | undefined) {
    this.#native = native;
    this.#room = new Room(native, lines);
  }

  /** Creates a topic. It survives a power cut when the promise is kept. */
  async createTopic(name: string, options?: TopicOptions): Promise<void> {
    const { partitions, durability, timestampType } = given(options, "the options of createTopic");
    const topic = text(name, "topic");
    const choice = {
      partitions: small(partitions === undefined ? 1 : partitions, "partitions"),
      durability: maybeText(durability, "durability"),
      timestampType: maybeText(timestampType, "timestampType"),
    };
    return this.#room.call((who) => this.#native.createTopic(who, topic, choice));
  }

  /** Deletes a topic with its records and with what groups have committed for it. Final when the promise is kept. */
  async deleteTopic(name: string): Promise<void> {
    const topic = text(name, "topic");
    return this.#room.call((who) => this.#native.deleteTopic(who, topic));
  }

  /** Raises the number of a topic's partitions to `total`. Keys may go to other partitions from here on. */
  async addPartitions(topic: string, total: number): Promise<void> {
    const [name, count] = [text(topic, "topic"), small(total, "total")];
    return this.#room.call((who) => this.#native.addPartitions(who, name, count));
  }

  /** All topics, by name. */
  topics(): TopicInfo[] {
    return run(() => this.#native.topics()).map((topic) => {
      return { ...topic, durability: topic.durability ?? null } as TopicInfo;
    });
  }

  /** A handle to one partition: the log itself, without producers and consumers. */
  partition(topic: string, number: number): Partition {
    const [name, at] = [text(topic, "topic"), small(number, "partition")];
    return new Partition(run(() => this.#native.partition(name, at)), name, at, this.#room);
  }

  /** A producer. With a name it shuts the name's former holder out, durably, before the promise is kept. */
  async producer(options?: ProducerOptions): Promise<Producer> {
    const { name, batchBytes, lingerMs, durability, compression } = given(options, "the options of producer");
    const choice = {
      name: maybeText(name, "name"),
      batchBytes: count(batchBytes, "batchBytes"),
      lingerMs: amount(lingerMs, "lingerMs"),
      durability: maybeText(durability, "durability"),
      compression: maybeText(compression, "compression"),
    };
    const take = (who: number) => {
      const taken = (memory: Uint8Array, refusals: number) => {
        return hub.native.takeProducer(who, this.#native, memory, refusals);
      };
      return new Producer(taken, this.#room);
    };
    return this.#room.call((who) => this.#native.producer(who, choice), take);
  }

  /** A producer whose records become visible in transactions. It shuts the former holder of the id out, durably. */
  async transactionalProducer(id: string, options?: TransactionalOptions): Promise<TransactionalProducer> {
    const name = text(id, "the transactional id");
    const { durability, compression, transactionBuffer, transactionTimeoutMs } = given(
      options,
      "the options of transactionalProducer",
    );
    const choice = {
      durability: maybeText(durability, "durability"),
      compression: maybeText(compression, "compression"),
      transactionBuffer: count(transactionBuffer, "transactionBuffer"),
      transactionTimeoutMs: amount(transactionTimeoutMs, "transactionTimeoutMs"),
    };
    const take = (who: number) => {
      const producer = hub.native.takeTransactional(who, this.#native);
      return new TransactionalProducer(producer, this.#room, choice.transactionBuffer);
    };
    return this.#room.call((who) => this.#native.transactionalProducer(who, name, choice), take);
  }

  /** Forgets a named producer or transactional id: its position and its decisions. Final when the promise is kept. */
  async deleteProducer(name: string): Promise<void> {
    const producer = text(name, "name");
    return this.#room.call((who) => this.#native.deleteProducer(who, producer));
  }

  /** A consumer of the topics that are named, with all partitions they have now. */
  consumer<O extends Offsets = "bigint">(options?: ConsumerOptions<O>): Consumer<O> {
    const all = given(options, "the options of consumer");
    const { topics, group, isolation, start, offsets, maxBytes, maxRecords } = all;
    const choice = {
      group: maybeText(group, "group"),
      isolation: maybeText(isolation, "isolation"),
      start: maybeText(start, "start"),
      maxBytes: count(maxBytes, "maxBytes"),
      maxRecords: count(maxRecords, "maxRecords"),
    };
    const partitions = topics === undefined ? undefined : this.#partitions(topics);
    const consumer = new Consumer(run(() => this.#native.consumer(choice)), offsets, this.#room);
    if (partitions !== undefined) consumer.assign(partitions);
    return consumer;
  }

  #partitions(topics: Iterable<string | TopicPartition>): TopicPartition[] {
    const all = this.topics();
    return Array.from(iterable(topics, "topics")).flatMap((topic) => {
      if (typeof topic !== "string") return [partitionName(topic)];
      // One that does not exist is named nevertheless, so that the engine says so.
      const count = all.find(({ name }) => name === topic)?.partitions ?? 1;
      return Array.from({ length: count }, (_, partition) => ({ topic, partition }));
    });
  }

  /**
   * An identity for raw batches: for callers that keep producer id, epoch and sequences themselves, as a broker does.
   * With a transactional id the epoch is raised, older holders are shut out, and a transaction that one of them left
   * open is aborted, durably, before the promise is kept; null stands for none. A call that is repeated because its
   * answer was lost gets the same answer. When the epochs of an id are used up, the answer has a new producer id.
   *
   * Answers `ProducerFenced` if `current` is not the newest holder.
   */
  async initProducer(transactionalId: string | null, options?: IdentityOptions): Promise<Identity> {
    const id = transactionalId === null ? undefined : text(transactionalId, "the transactional id");
    const { timeoutMs, current } = given(options, "the options of initProducer");
    const timeout = amount(timeoutMs, "timeoutMs") ?? limits.transactionTimeoutMs;
    const holder = current === undefined || current === null ? undefined : identityOf(current, "current");
    return this.#room.call((who) => this.#native.initProducer(who, id, timeout, holder), takeIdentity);
  }

  /**
   * Adds offsets to the transaction of a raw identity: they are committed if it commits, and until it is decided
   * `Consumer.committed` answers `UnstableOffsets` at read_committed. The transaction begins with them if none is open;
   * later offsets take the place of earlier ones. Kept when they have met the strongest level of the engine and of
   * their topics.
   */
  async sendOffsets(identity: IdentityInput, metadata: GroupMetadata, offsets: Iterable<Position>): Promise<void> {
    const [sender, group, rows] = [identityOf(identity, "the identity"), groupOf(metadata), positions(offsets)];
    return this.#room.call((who) => this.#native.sendOffsets(who, sender, group, rows), undefined, bytesOf(rows));
  }

  /**
   * Ends the transaction of a raw identity and raises its epoch (KIP-890): the answer is the identity of its next
   * transaction, whose sequences begin at 0 again. Kept when the decision has met the strongest level of the engine and
   * of the topics it reached. A call that is repeated because its answer was lost gets the same answer.
   *
   * Answers `InvalidTransactionState` for a commit without a transaction, or of one that was aborted meanwhile, and
   * `ProducerFenced` if a newer identity took over.
   */
  async endTransaction(identity: IdentityInput, outcome: Outcome): Promise<Identity> {
    const [sender, end] = [identityOf(identity, "the identity"), text(outcome, "outcome")];
    return this.#room.call((who) => this.#native.endTransaction(who, sender, end), takeIdentity);
  }

  /**
   * Aborts a transaction by its number, whoever owns it: one that holds the stable offset back and whose owner does not
   * answer. Its owner hears of it with the next call. Answers `InvalidTransactionState` if it is not open.
   */
  async abortTransaction(number: Whole): Promise<void> {
    const transaction = whole(number, "number");
    return this.#room.call((who) => this.#native.abortTransaction(who, transaction));
  }

  /**
   * How a transaction stands: what an `Indeterminate` commit left open is known once the log is opened again. The last
   * 64 decisions of each transactional id are kept. What is answered survives a power cut.
   */
  async transactionStatus(number: Whole): Promise<TransactionStatus> {
    const transaction = whole(number, "number");
    const take = (who: number) => hub.native.takeStatus(who) as TransactionStatus;
    return hub.wait((who) => this.#native.transactionStatus(who, transaction), take);
  }

  /**
   * The transactions that have something in the log and are not decided, in the order in which they began: who holds
   * the stable offset of which partitions back, and since when. One that is memory only holds nothing back and is not
   * among them.
   */
  describeTransactions(): OpenTransaction[] {
    const all = run(() => this.#native.describeTransactions());
    return all.map((open) => ({ ...open, timeoutMs: open.timeoutMs ?? null }));
  }

  /** Waits until everything up to a frame survives a power cut. `Appended.lsn` and `Committed.lsn` name frames. */
  async waitDurable(lsn: Whole, waiting?: Waiting): Promise<void> {
    const signal = signalOf(waiting);
    const frame = whole(lsn, "lsn");
    return until(hub.wait<void>((who) => this.#native.waitDurable(who, frame)), signal);
  }

  /** Waits until everything sent before the call survives a power cut. */
  async flush(waiting?: Waiting): Promise<void> {
    const signal = signalOf(waiting);
    return until(this.#flush(), signal);
  }

  async #flush(): Promise<void> {
    crossAll(false);
    await this.#room.empty();
    return this.#room.flush((who) => this.#native.flush(who));
  }

  /**
   * Reads all that is durable, segment after segment, and verifies each frame: whether the disk still holds what it was
   * given. Damage is no error here but the answer. It runs on a thread of its own, beside appends and reads; what is not
   * flushed yet is left out.
   */
  async verify(): Promise<Verification> {
    return hub.wait<Verification>((who) => this.#native.verify(who), takeVerification);
  }

  /** What opening found and did: a tail cut, frames copied, damage. Nothing is cut or lost without a word here. */
  opening(): Opening {
    const opening = run(() => this.#native.opening()) as Opening;
    return { ...opening, cut: opening.cut ?? null };
  }

  /**
   * How the log stands and what it has done since it was opened: a snapshot that takes microseconds, and about two more
   * for each partition in which an open consumer of a group has a position, waits for nobody and reads nothing from the
   * disk.
   */
  metrics(): Metrics {
    const { groupFrames, flushNanos, ...numbers } = run(() => this.#native.metrics());
    return { ...numbers, groupFrames: new Histogram(groupFrames), flushNanos: new Histogram(flushNanos) };
  }

  /**
   * The metrics in the OpenMetrics text format 1.0, which Prometheus reads. Answer it with the header `Content-Type:
   * application/openmetrics-text; version=1.0.0; charset=utf-8`.
   */
  openmetrics(): string {
    return run(() => this.#native.openmetrics());
  }

  /** Closes the log for all its handles: what was sent is flushed first. Every later call answers `Closed`. */
  async close(): Promise<void> {
    crossAll(false);
    await this.#room.empty();
    await hub.wait<void>((who) => this.#native.close(who));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function takeVerification(who: number): Verification {
  return hub.native.takeVerification(who) as Verification;
}

function takeIdentity(who: number): Identity {
  return hub.native.takeIdentity(who);
}

/** Hears what an engine has to say. */
class Lines {
  readonly who = hub.listen(this);
  readonly #log: (level: LogLevel, message: string) => void;

  constructor(log: (level: LogLevel, message: string) => void) {
    this.#log = log;
  }

  heard(what: number): void {
    const line = what === LINE ? hub.native.takeLine() : null;
    // In a task of its own: what it throws is the caller's, and must not stop what else was heard.
    if (line !== null) queueMicrotask(() => this.#log(line[0] as LogLevel, line[1]));
  }
}

/**
 * Opens the log in a directory; makes it if there is none. One process writes a directory at a time, alone, or any
 * number read it: otherwise the answer is `Locked`.
 */
export async function open(dir: string, options?: EngineOptions): Promise<Engine> {
  const all = given(options, "the options of open");
  const { durability, segmentBytes, readOnly, create, mappings, acceptLoss, flushIntervalMs, log } = all;
  const { visibility, keepRawTransactions, transactionMemory, transactionTimeoutMaxMs } = all;
  const choice = {
    durability: maybeText(durability, "durability"),
    segmentBytes: count(segmentBytes, "segmentBytes"),
    readOnly: flag(readOnly, "readOnly"),
    create: flag(create, "create"),
    mappings: flag(mappings, "mappings"),
    acceptLoss: flag(acceptLoss, "acceptLoss"),
    flushIntervalMs: amount(flushIntervalMs, "flushIntervalMs"),
    visibility: maybeText(visibility, "visibility"),
    keepRawTransactions: flag(keepRawTransactions, "keepRawTransactions"),
    transactionMemory: count(transactionMemory, "transactionMemory"),
    transactionTimeoutMaxMs: amount(transactionTimeoutMaxMs, "transactionTimeoutMaxMs"),
  };
  const path = text(dir, "the directory");
  if (path.includes("\0")) throw invalid("the directory's name holds a zero byte; give a path");
  if (log !== undefined && typeof log !== "function") throw invalid("log must be a function of level and message");
  const lines = log && new Lines(log);
  const take = (who: number) => new Engine(hub.native.takeEngine(who), lines);
  return hub.wait((who) => hub.native.open(who, path, choice, lines?.who), take);
}
