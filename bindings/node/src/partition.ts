import {
  count, flag, identityOf, iterable, maybeText, milliseconds, options as given, placeOf, shown, signalOf, until, whole,
} from "./arguments.js";
import { copyOf } from "./batch.js";
import { invalid, run } from "./errors.js";
import { hub } from "./hub.js";
import type { NativeAppend, NativePartition } from "./native.js";
import { ENTRY_MAX, Packer, tooLarge } from "./packer.js";
import { makerOf, Records } from "./records.js";
import type { Room } from "./room.js";
import { turnDue, wasRead } from "./turn.js";
import type {
  ActiveProducer, Appended, Bounds, Bytes, Compression, Durability, IdentityInput, Isolation, Offsets, ReadOptions,
  RecordInput, Waiting, Whole,
} from "./types.js";

/** How to append. */
export interface AppendOptions extends Waiting {
  /** When the append is acknowledged; readers see it by the topic's level. Default: the topic's level. */
  durability?: Durability;
  /** How the batch is compressed; it stays as it is where that would not make it smaller. Default: `"none"`. */
  compression?: Compression;
  /** Who sends the batch, as `Engine.initProducer` says; needs `baseSequence`. */
  producer?: IdentityInput;
  /**
   * The sequence number of the batch's first record, 0 to 2^31 - 1. The next batch of the producer in the partition
   * begins behind its last; a batch that is here already is answered as a duplicate.
   */
  baseSequence?: number;
  /**
   * True: the batch belongs to the transaction of `producer`, and begins it if none is open; see
   * `Engine.endTransaction`. Sequences begin at 0 in each. Default: false.
   */
  transactional?: boolean;
}

/** How to append a batch that is encoded already. */
export interface AppendBatchOptions extends Waiting {
  /** When the append is acknowledged; readers see it by the topic's level. Default: the topic's level. */
  durability?: Durability;
}

/** One partition: the log itself, as plain as it gets. */
export class Partition {
  /** The topic's name. */
  readonly topic: string;
  /** The partition's number in its topic. */
  readonly number: number;
  readonly #native: NativePartition;
  readonly #room: Room;

  /** @internal */
  constructor(native: NativePartition, topic: string, number: number, room: Room) {
    this.#native = native;
    this.topic = topic;
    this.number = number;
    this.#room = room;
  }

  /** Appends records as one batch, all or none. `signal` stops the waiting, never the write. */
  async append(records: Iterable<RecordInput>, options?: AppendOptions): Promise<Appended> {
    const signal = signalOf(options);
    const choice = choiceOf(given(options, "the options of append"));
    let packer = new Packer(16 << 10);
    for (const record of iterable(records, "records")) {
      if (record?.partition !== undefined || record?.position !== undefined) {
        throw invalid("what is appended to a partition has no partition and no position of its own; leave them out");
      }
      for (let left = record; !packer.pack(left, 0, 0, 0); packer = larger(packer)) left = packer.left!;
      // However many there are to come.
      if (packer.at > ENTRY_MAX) throw tooLarge(packer.at);
    }
    const bytes = packer.bytes.subarray(0, packer.at);
    const appended = (who: number) => this.#native.append(who, bytes, choice);
    return until(this.#room.call<Appended>(appended, undefined, bytes.length), signal);
  }

  /**
   * Appends one record batch of Kafka's format 2 as a client encoded it, byte for byte. What it holds is checked, its
   * offsets are set; its producer, its transaction and its codec are its own. `signal` stops the waiting, never the
   * write.
   *
   * Rejects with `Corrupt` or `InvalidRecord` if the bytes are no batch that may be appended: one that claims the log's
   * time where the topic sets it, too.
   */
  async appendBatch(batch: Exclude<Bytes, string>, options?: AppendBatchOptions): Promise<Appended> {
    const signal = signalOf(options);
    const level = maybeText(given(options, "the options of appendBatch").durability, "durability");
    const bytes = copyOf(batch);
    const appended = (who: number) => this.#native.appendBatch(who, bytes, level);
    return until(this.#room.call<Appended>(appended, undefined, bytes.length), signal);
  }

  /**
   * Reads from an offset on, up to about `maxBytes`: what is visible now, none if that is nothing yet. Go on with
   * `records.nextOffset`, or, over lives of the log, with `records.nextPlace`.
   *
   * At read_committed a read ends at the last stable offset and leaves out what was aborted: behind `bounds().stable`
   * there is nothing to read before the open transaction that holds it back is decided.
   */
  async read<O extends Offsets = "bigint">(offset: Whole, options?: ReadOptions<O>): Promise<Records<O>> {
    const { maxBytes, isolation, offsets, from } = given(options, "the options of read");
    const at = whole(offset, "offset");
    const maker = makerOf(offsets);
    const choice = {
      maxBytes: count(maxBytes, "maxBytes"),
      isolation: maybeText(isolation, "isolation"),
      from: from === undefined ? undefined : placeOf(from),
    };
    for (let turn; (turn = turnDue()) !== undefined; ) await turn;
    const memory = run(() => this.#native.read(at, choice));
    wasRead(memory);
    return new Records(memory, maker);
  }

  /**
   * The offset of the first record, by offsets, whose timestamp is that time or later; null if there is none yet. As
   * Kafka's ListOffsets: at read_committed only what lies below the last stable offset counts, at read_uncommitted what
   * is undecided too; what was aborted counts at both. Little is decoded, but every segment may be asked: so the search
   * runs on another thread; of one log four run at once, and the others wait for their turn. Where timestamps do not
   * follow the offsets, records behind the one found may be older.
   *
   * @param timestamp - Whole milliseconds since 1970, 0 or more, or a Date.
   */
  async offsetAt(timestamp: number | Date, options?: { isolation?: Isolation }): Promise<bigint | null> {
    const { isolation } = given(options, "the options of offsetAt");
    const [time, seen] = [milliseconds(timestamp), maybeText(isolation, "isolation")];
    return hub.wait((who) => this.#native.offsetAt(who, time, seen), (who) => hub.native.takeOffset(who));
  }

  /**
   * The greatest timestamp there is, in milliseconds, and the offset of the first record that has it; null while no
   * record has one. Bounded as `offsetAt`.
   */
  async maxTimestamp(options?: { isolation?: Isolation }): Promise<{ offset: bigint; timestamp: number } | null> {
    const { isolation } = given(options, "the options of maxTimestamp");
    const seen = maybeText(isolation, "isolation");
    return hub.wait((who) => this.#native.maxTimestamp(who, seen), (who) => hub.native.takeTime(who));
  }

  /**
   * The producers that are active here, in the order of their ids: whoever's last batches are remembered,
   * and whoever has a transaction open here. What Kafka's DescribeProducers answers, to find who holds the
   * stable offset back.
   *
   * A raw identity without a transactional id is forgotten after a day without a batch, counted anew from each opening;
   * one with a transactional id when that is deleted or gets another producer id. A `Producer` is never among them, and
   * a `TransactionalProducer` only while a transaction of its streams: nobody repeats their batches. The answer is of
   * this moment, whether or not what it speaks of is durable or visible yet.
   *
   * @example
   * ```js
   * const shop = await engine.initProducer("shop");
   * await partition.append([{ value: "42" }], { producer: shop, baseSequence: 0, transactional: true });
   * const [active] = partition.producers();
   * console.log(active.identity.producerId === shop.producerId, active.lastSequence, active.transactionStartOffset);
   * // true 0 0n
   * ```
   */
  producers(): ActiveProducer[] {
    const all = run(() => this.#native.producers());
    return all.map(({ identity, lastSequence, lastTimestamp, transactionStartOffset }) => ({
      identity,
      lastSequence: lastSequence ?? null,
      lastTimestamp: lastTimestamp ?? null,
      transactionStartOffset: transactionStartOffset ?? null,
    }));
  }

  /** The first offset, the last stable one and the end, as readers see them now. */
  bounds(): Bounds {
    return run(() => this.#native.bounds());
  }
}

/** How to append, for the native half; nothing where all is as usual. */
function choiceOf(options: AppendOptions): NativeAppend | undefined {
  const { durability, compression, producer, baseSequence, transactional } = options;
  const choice = {
    durability: maybeText(durability, "durability"),
    compression: maybeText(compression, "compression"),
    producer: producer === undefined ? undefined : identityOf(producer, "producer"),
    baseSequence,
    transactional: flag(transactional, "transactional"),
  };
  if ((producer === undefined) !== (baseSequence === undefined)) {
    throw invalid("producer and baseSequence go together: who sends the batch, and its first record's number");
  }
  if (transactional === true && producer === undefined) {
    throw invalid("a transactional batch needs a producer; give the identity that initProducer answered");
  }
  const first = baseSequence === undefined ? 0 : baseSequence;
  if (!Number.isInteger(first) || first < 0 || first > 0x7fff_ffff) {
    throw invalid(`baseSequence must be an integer from 0 to 2147483647; got ${shown(baseSequence)}`);
  }
  return Object.values(choice).some((chosen) => chosen !== undefined) ? choice : undefined;
}

function larger(packer: Packer): Packer {
  const more = new Packer(Math.max(2 * packer.bytes.length, packer.at + packer.needed));
  more.bytes.set(packer.bytes.subarray(0, packer.at));
  more.at = packer.at;
  return more;
}
