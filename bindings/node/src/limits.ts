import { native } from "./native.js";

/** The bounds that a caller meets. A value past one answers `LimitExceeded`, `RecordTooLarge` or `InvalidArgument`. */
export interface Limits {
  /** Longest topic name, bytes. */
  readonly topicNameMax: number;
  /** Longest group name, producer name or transactional id, bytes. */
  readonly nameMax: number;
  /** Longest metadata stored with an offset, characters of a string. */
  readonly offsetMetadataMax: number;
  /** Most partitions one topic may have. */
  readonly topicPartitionsMax: number;
  /** Most partitions a log may have, deleted ones not counted. */
  readonly partitionsMax: number;
  /** Greatest offset. */
  readonly offsetMax: bigint;
  /** Largest batch, bytes, header included. */
  readonly batchMax: number;
  /** Most bytes that the records of one compressed batch may unpack to. */
  readonly unpackedMax: number;
  /** Bytes that a producer without a name gathers before it closes its oldest batches. */
  readonly producerMemory: number;
  /** Memory of one transaction unless the options say otherwise; past it, it streams. */
  readonly transactionBuffer: number;
  /** Largest buffer that the options may give one transaction. */
  readonly transactionBufferMax: number;
  /** Memory of all open transactions' buffers together unless the options say otherwise. */
  readonly transactionMemory: number;
  /** Partitions that a transaction may reach with batches that lie in the log before its decision. */
  readonly transactionPartitions: number;
  /** Offsets that a raw transaction may have pending. */
  readonly transactionOffsets: number;
  /** Transactions that may be open with something in the log. */
  readonly openTransactions: number;
  /** How long a transaction may be open in the log unless the options say otherwise, milliseconds. */
  readonly transactionTimeoutMs: number;
  /** The longest that may be asked for, unless the options say otherwise, milliseconds. */
  readonly transactionTimeoutMaxMs: number;
  /** Smallest segment, bytes. */
  readonly segmentMin: number;
  /** Segment size unless the options say otherwise. */
  readonly segmentDefault: number;
  /** Largest size that segments may be told to grow to. */
  readonly segmentOptionMax: number;
  /** Largest frame, bytes. */
  readonly frameMax: number;
}

/** The bounds that a caller meets, as the engine has them. */
export const limits: Limits = Object.freeze(native.limits());
