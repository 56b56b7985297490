import {
  amount, flag, iterable, maybeText, options as given, partitionName, signalOf, small, text, until, whole,
} from "./arguments.js";
import { Consumer } from "./consumer.js";
import { invalid, run } from "./errors.js";
import { hub } from "./hub.js";
import { LINE } from "./layout.js";
import type { NativeEngine } from "./native.js";
import { Partition } from "./partition.js";
import { Producer } from "./producer.js";
import { Room } from "./room.js";
import { crossAll } from "./schedule.js";
import { TransactionalProducer } from "./transaction.js";
import type {
  ConsumerOptions, EngineOptions, LogLevel, Metrics, Offsets, Opening, ProducerOptions, TopicInfo, TopicOptions,
  TopicPartition, TransactionalOptions, Waiting, Whole,
} from "./types.js";

/** Bytes that there must be room for when batches are closed. */
const CLOSES = 64 << 10;

/**
 * An open log. Close it when you are through: `await using`, or `close`. Without that it is closed when the process or
 * the worker ends, or when nobody holds any handle of it.
 */
export class Engine {
  readonly #native: NativeEngine;
  readonly #room: Room;
  /** @internal Held, so that it is not collected while the engine may speak. */
  readonly lines: Lines | undefined;

  /** @internal */
  constructor(native: NativeEngine, lines: Lines | undefined) {
    this.#native = native;
    this.#room = new Room(native);
    this.lines = lines;
  }

  /** Creates a topic. It survives a power cut when the promise is kept. */
  async createTopic(name: string, options?: TopicOptions): Promise<void> {
    const { partitions, durability } = given(options, "the options of createTopic");
    const [topic, count] = [text(name, "topic"), small(partitions ?? 1, "partitions")];
    return hub.wait((who) => this.#native.createTopic(who, topic, count, durability));
  }

  /** Deletes a topic with its records and with what groups have committed for it. Final when the promise is kept. */
  async deleteTopic(name: string): Promise<void> {
    const topic = text(name, "topic");
    return hub.wait((who) => this.#native.deleteTopic(who, topic));
  }

  /** Raises the number of a topic's partitions to `total`. Keys may go to other partitions from here on. */
  async addPartitions(topic: string, total: number): Promise<void> {
    const [name, count] = [text(topic, "topic"), small(total, "total")];
    return hub.wait((who) => this.#native.addPartitions(who, name, count));
  }

  /** All topics, by name. */
  topics(): TopicInfo[] {
    return run(() => this.#native.topics()).map(({ name, id, partitions, durability }) => {
      return { name, id, partitions, durability: (durability as TopicInfo["durability"] | undefined) ?? null };
    });
  }

  /** A handle to one partition: the log itself, without producers and consumers. */
  partition(topic: string, number: number): Partition {
    const [name, at] = [text(topic, "topic"), small(number, "partition")];
    return new Partition(run(() => this.#native.partition(name, at)), name, at, this.#room);
  }

  /** A producer. With a name it shuts the name's former holder out, durably, before the promise is kept. */
  async producer(options?: ProducerOptions): Promise<Producer> {
    const { name, batchBytes, lingerMs, durability } = given(options, "the options of producer");
    const choice = {
      name: maybeText(name, "name"),
      batchBytes: amount(batchBytes, "batchBytes"),
      lingerMs: amount(lingerMs, "lingerMs"),
      durability,
    };
    const take = (who: number) => {
      const taken = (memory: Uint8Array, refusals: number) => {
        return hub.native.takeProducer(who, this.#native, memory, refusals);
      };
      return new Producer(taken, this.#room);
    };
    return hub.wait((who) => this.#native.producer(who, choice), take);
  }

  /** A producer whose records become visible in transactions. It shuts the former holder of the id out, durably. */
  async transactionalProducer(id: string, options?: TransactionalOptions): Promise<TransactionalProducer> {
    const [name, choice] = [text(id, "the transactional id"), given(options, "the options of transactionalProducer")];
    const take = (who: number) => {
      return new TransactionalProducer(hub.native.takeTransactional(who, this.#native), this.#room);
    };
    const { durability } = choice;
    return hub.wait((who) => this.#native.transactionalProducer(who, name, { durability }), take);
  }

  /** Forgets a named producer or transactional id: its position and its decisions. Final when the promise is kept. */
  async deleteProducer(name: string): Promise<void> {
    const producer = text(name, "name");
    return hub.wait((who) => this.#native.deleteProducer(who, producer));
  }

  /** A consumer of the topics that are named, with all partitions they have now. */
  consumer<O extends Offsets = "bigint">(options?: ConsumerOptions<O>): Consumer<O> {
    const all = given(options, "the options of consumer");
    const { topics, group, isolation, start, offsets, maxBytes, maxRecords } = all;
    const choice = {
      group: maybeText(group, "group"),
      isolation: maybeText(isolation, "isolation"),
      start: maybeText(start, "start"),
      maxBytes: amount(maxBytes, "maxBytes"),
      maxRecords: amount(maxRecords, "maxRecords"),
    };
    const partitions = topics === undefined ? undefined : this.#partitions(topics);
    const consumer = new Consumer(run(() => this.#native.consumer(choice)), offsets);
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
    await this.#room.until(CLOSES);
    return hub.wait((who) => this.#native.flush(who));
  }

  /** What opening found and did: a tail cut, frames copied, damage. Nothing is cut or lost without a word here. */
  opening(): Opening {
    const opening = run(() => this.#native.opening()) as Opening;
    return { ...opening, cut: opening.cut ?? null };
  }

  /**
   * How the log stands and what it has done since it was opened: a snapshot that takes microseconds, waits for nobody
   * and reads nothing from the disk.
   */
  metrics(): Metrics {
    return run(() => this.#native.metrics()) as Metrics;
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
  const { durability, segmentBytes, readOnly, create, mappings, acceptLoss, flushIntervalMs, log } = given(
    options,
    "the options of open",
  );
  const choice = {
    durability: maybeText(durability, "durability"),
    segmentBytes: amount(segmentBytes, "segmentBytes"),
    readOnly: flag(readOnly, "readOnly"),
    create: flag(create, "create"),
    mappings: flag(mappings, "mappings"),
    acceptLoss: flag(acceptLoss, "acceptLoss"),
    flushIntervalMs: amount(flushIntervalMs, "flushIntervalMs"),
  };
  const path = text(dir, "the directory");
  if (path.includes("\0")) throw invalid("the directory's name holds a zero byte; give a path");
  if (log !== undefined && typeof log !== "function") throw invalid("log must be a function of level and message");
  const lines = log && new Lines(log);
  const take = (who: number) => new Engine(hub.native.takeEngine(who), lines);
  return hub.wait((who) => hub.native.open(who, path, choice, lines?.who), take);
}
