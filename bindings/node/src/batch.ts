import { types } from "node:util";
import { shown, text } from "./arguments.js";
import { field, lengthOf } from "./bytes.js";
import { invalid, run } from "./errors.js";
import { native, type NativeBatch } from "./native.js";
import { ENTRY_MAX, grown, tooLarge } from "./packer.js";
import { makerOf, Records } from "./records.js";
import type { Bytes, Compression, Identity, Record, TimestampType } from "./types.js";

/** The fields of a batch before its records, and what they say. */
export interface BatchHeader {
  /** Offset of the first record; 0 until the batch is appended. */
  readonly baseOffset: bigint;
  /** Offset of the last record, counted likewise. */
  readonly lastOffset: bigint;
  /** Number of records. */
  readonly count: number;
  /** Who sent the batch; null for nobody in particular. */
  readonly producer: Identity | null;
  /** Sequence number of the first record; null for none. */
  readonly baseSequence: number | null;
  /** Sequence number of the last record: after 2^31 - 1 comes 0. null for none. */
  readonly lastSequence: number | null;
  /** What the records' timestamps are relative to, milliseconds; -1 for none. */
  readonly baseTimestamp: number;
  /** The greatest timestamp of the records; -1 for none. */
  readonly maxTimestamp: number;
  /** Whose time the records carry. */
  readonly timestampType: TimestampType;
  /** How the records are compressed. */
  readonly compression: Compression;
  /** True if the batch belongs to a transaction. */
  readonly transactional: boolean;
  /** True if the records are not data but markers. */
  readonly control: boolean;
  /** True if the base timestamp says when tombstones may go. */
  readonly deleteHorizon: boolean;
  /** The partition's leader epoch at the append; -1 unknown. */
  readonly leaderEpoch: number;
  /** Bytes of the whole batch. */
  readonly size: number;
  /** The format's number: 2. */
  readonly magic: number;
  /** The bits of `timestampType`, `compression`, `transactional`, `control` and `deleteHorizon`. */
  readonly attributes: number;
  /** CRC-32C of what lies behind it. */
  readonly crc: number;
}

/** A record in a batch: its offset counts from 0, and it is in no partition yet. */
export type BatchRecord = Omit<Record, "topic" | "partition">;

/**
 * A record batch of Kafka's format 2, checked as `Partition.appendBatch` checks it: for brokers, which look into what
 * clients send before they append it.
 *
 * @example
 * ```js
 * const { header } = Batch.fromBytes(bytes);
 * if (header.transactional) await mayWrite(header.producer);
 * await partition.appendBatch(bytes);
 * ```
 */
export class Batch {
  /** The fields before the records. */
  readonly header: BatchHeader;
  readonly #native: NativeBatch;

  /** @internal */
  constructor(native: NativeBatch) {
    const header = native.header();
    const { producer = null, baseSequence = null, lastSequence = null } = header;
    this.header = Object.freeze({ ...header, producer, baseSequence, lastSequence });
    this.#native = native;
  }

  /**
   * Takes one batch as a Kafka client encodes it, and checks all that does not depend on the log. A wrong maximal
   * timestamp is set right, and the append time bit cleared, as Kafka does, and the header says so.
   *
   * Throws `Corrupt` or `InvalidRecord` if the bytes are no batch that may be appended, `RecordTooLarge` past
   * `limits.batchMax`, or if it unpacks to more than `limits.unpackedMax`.
   */
  static fromBytes(bytes: Exclude<Bytes, string>): Batch {
    const copy = copyOf(bytes);
    return new Batch(run(() => native.batchFromBytes(copy)));
  }

  /** The records. Their Buffers share one piece of memory. */
  records(): BatchRecord[] {
    const records = new Records(run(() => this.#native.records()), makerOf("bigint"));
    return Array.from(records, ({ topic, partition, ...record }) => record);
  }
}

/**
 * True if this build has a codec. What it leaves out can be neither written nor unpacked, and answers
 * `UnsupportedVersion`. Any worker may ask, without a log.
 *
 * Throws `InvalidArgument` if there is no such codec.
 */
export function compressionIsAvailable(name: Compression): boolean {
  const codec = text(name, "compression");
  return run(() => native.compressionIsAvailable(codec));
}

/** The bytes of a batch, in memory that nobody else has. */
export function copyOf(batch: Exclude<Bytes, string>): Uint8Array {
  if (!ArrayBuffer.isView(batch) && !types.isAnyArrayBuffer(batch)) {
    throw invalid(`a batch must be a Buffer, another view, or a buffer; got ${shown(batch)}`);
  }
  const bytes = field(batch, "a batch");
  const length = lengthOf(bytes, "a batch");
  // However large it is.
  if (length > ENTRY_MAX) throw tooLarge(length);
  const copy = new Uint8Array(length);
  try {
    copy.set(bytes as Uint8Array);
  } catch {
    throw grown();
  }
  return copy;
}
