import type { Histogram } from "./histogram.js";

/** Bytes as they are taken: copied at the call, so that the memory may be used again at once. Text is sent as UTF-8. */
export type Bytes = string | NodeJS.ArrayBufferView | ArrayBufferLike;

/** A number of 64 bits; a `number` must be a safe integer. */
export type Whole = bigint | number;

/**
 * When a write is acknowledged. `"disk"`: flushed to the device; it survives a power cut. `"os"`: written to the
 * operating system, flushed within a second; it survives the death of the process. `"memory"`: in the engine's buffer,
 * written within 10 ms and flushed within a second; it survives nothing before that, and what is lost is a suffix.
 */
export type Durability = "disk" | "os" | "memory";

/**
 * Which records a reader sees. `"read_committed"`: those outside transactions and of committed ones, up to the last
 * stable offset. `"read_uncommitted"`: everything visible, records of open and aborted streaming transactions included.
 */
export type Isolation = "read_committed" | "read_uncommitted";

/**
 * What of the records that were appended readers see. `"level"`: a record has met its topic's level. `"durable"`: a
 * record is durable, whatever its topic's level; no reader sees what a power cut could take back. At the levels
 * `"memory"` and `"os"` that is after the next flush, within `flushIntervalMs`, which no reader hastens.
 */
export type Visibility = "level" | "durable";

/**
 * Whose time the records of a topic carry, Kafka's `message.timestamp.type`. `"create"`: the sender's, each record's
 * own. `"append"`: the log's, every record of a batch has the clock's time at its append, whatever it was sent with.
 */
export type TimestampType = "create" | "append";

/**
 * How batches are compressed, in Kafka's formats. `"lz4"` is the quickest, `"zstd"` smaller than `"gzip"` and several
 * times quicker. A batch that would not get smaller is not compressed; reading asks for nothing.
 */
export type Compression = "none" | "gzip" | "snappy" | "lz4" | "zstd";

/** Where a consumer begins if nothing is committed; `"none"`: polls fail until `seek` is called. */
export type Start = "earliest" | "latest" | "none";

/**
 * How a consumer, or one read, gives out offsets: as `bigint`, always right, or as `number`, up to 2^53. It is the
 * choice of that consumer or read alone: whoever writes and whoever looks at a partition is answered with `bigint`
 * always, in `Appended`, `Answers`, `Place`, `OpenTransaction`, `Partition.bounds()`, `offsetAt` and `maxTimestamp`. So
 * `appended.first === record.offset` is false where the record's is a number, as `===` of a `bigint` and a `number`
 * always is: compare `Number(appended.first)`, or with `==`. Calls take both.
 */
export type Offsets = "bigint" | "number";

/** The type of offsets. */
export type OffsetOf<O extends Offsets> = O extends "number" ? number : bigint;

export type LogLevel = "error" | "warn" | "info" | "debug";

/** How to open a log. */
export interface EngineOptions {
  /** The level of topics that have none of their own. Default: `"disk"`. */
  durability?: Durability;
  /** Size of a segment, 64 KiB to 512 MiB. Default: 64 MiB. */
  segmentBytes?: number;
  /** Opens for reading: every call that would write answers `ReadOnly`. Default: false. */
  readOnly?: boolean;
  /** Makes the directory if it is missing. Default: true. */
  create?: boolean;
  /** False: sealed segments are read by read calls, not through memory mappings. Default: true. */
  mappings?: boolean;
  /** Opens for writing although decisions may be lost to damage. Default: false, which opens such a log for reading. */
  acceptLoss?: boolean;
  /**
   * How long what was acknowledged at level `"memory"` or `"os"` may wait for its flush, and readers for it where they
   * see only what is durable. Default: 1,000 ms.
   */
  flushIntervalMs?: number;
  /** What readers see: records that have met their topic's level, or only what is durable. Default: `"level"`. */
  visibility?: Visibility;
  /**
   * True: transactions of raw identities that begin in this life stay open when the log is opened again, until they are
   * decided or their timeout, which begins anew, has passed: for brokers, whose clients outlive them. Default: false,
   * which aborts them then, as those of transactional producers always are.
   */
  keepRawTransactions?: boolean;
  /**
   * Bytes that the buffers of all open transactions may take together. A transaction that finds none left streams: its
   * records go to the log before it is decided. Offsets count past 64 KiB of a transaction; below
   * that they have 8 MiB of their own, all together. Default: 64 MiB.
   */
  transactionMemory?: number;
  /**
   * The longest timeout that a transaction may ask for, 1 ms to 2^32 - 1 ms. From 2^31 - 1 ms on a timeout is none:
   * such a transaction stays open for ever (KIP-939). Default: 900,000 ms.
   */
  transactionTimeoutMaxMs?: number;
  /** Hears what the engine has to say beside its answers. */
  log?: (level: LogLevel, message: string) => void;
}

/** How a topic is made. */
export interface TopicOptions {
  /** Number of partitions; can be raised later, never lowered. Default: 1. */
  partitions?: number;
  /** The topic's level. Default: the engine's. */
  durability?: Durability;
  /** Whose time its records carry. Default: `"create"`. */
  timestampType?: TimestampType;
}

/** A topic as it stands. */
export interface TopicInfo {
  name: string;
  /** A UUID; another one if the topic is deleted and made again. */
  id: string;
  partitions: number;
  /** The topic's own level, if it has one. */
  durability: Durability | null;
  /** Whose time its records carry. */
  timestampType: TimestampType;
}

/** How a producer works. */
export interface ProducerOptions {
  /** The name whose position the producer carries. */
  name?: string;
  /**
   * A partition's batch is closed when it has reached this many bytes. Past 32 MiB of all partitions together the
   * oldest batches are closed, however small; those of a name, which go into the log as one, past 1 MiB. Default:
   * 16 KiB.
   */
  batchBytes?: number;
  /** A batch of posted records is closed this long after its first. Default: 5 ms. */
  lingerMs?: number;
  /**
   * When sends are acknowledged. Default: the level of their topic. What a name or a transaction writes together takes
   * the strongest of this and of its topics.
   */
  durability?: Durability;
  /** How batches are compressed; `batchBytes` counts what is not compressed yet. Default: `"none"`. */
  compression?: Compression;
}

/** How a transactional producer works. */
export interface TransactionalOptions {
  /** When commits are acknowledged. Default: the strongest level of their topics. */
  durability?: Durability;
  /** How batches are compressed. Default: `"none"`. */
  compression?: Compression;
  /**
   * Bytes up to which a transaction is memory; past them it streams, see `Transaction`. At most 16 MiB; 0: it streams
   * with its first record. Default: 1 MiB.
   */
  transactionBuffer?: number;
  /**
   * How long a transaction that streams may be open, 1 ms to `transactionTimeoutMaxMs`; then it is aborted. From
   * 2^31 - 1 ms on: for ever. One that is memory only holds nobody up and has no timeout. Default: 60,000 ms.
   */
  transactionTimeoutMs?: number;
}

/** How a consumer works. */
export interface ConsumerOptions<O extends Offsets = "bigint"> {
  /** What to read: topics with all their partitions of now, or single partitions. `assign` can do it later. */
  topics?: Iterable<string | TopicPartition>;
  /** The group in whose name offsets are committed. */
  group?: string;
  /** Default: `"read_committed"`. */
  isolation?: Isolation;
  /** Default: `"earliest"`. */
  start?: Start;
  /**
   * How this consumer gives out offsets. Default: `"bigint"`. They are taken either way. What a producer or a partition
   * answers is `bigint` all the same, which is never `===` a number; see `Offsets`.
   */
  offsets?: O;
  /**
   * Most bytes of one poll as they lie in the log, and most that its compressed batches unpack to, but for the last of
   * them; the first batch is given whole even if it is larger. Default: 1 MiB. More than 128 MiB, and 32 MiB of one
   * partition, no poll gives.
   */
  maxBytes?: number;
  /** Most records of one poll. */
  maxRecords?: number;
}

/** How to read a partition. */
export interface ReadOptions<O extends Offsets = "bigint"> {
  /**
   * Most bytes of one read as they lie in the log, and most that its compressed batches unpack to, but for the last of
   * them; the first batch is given whole even if it is larger. Default: 1 MiB. More than 32 MiB no read gives.
   */
  maxBytes?: number;
  /** Default: `"read_committed"`. */
  isolation?: Isolation;
  /** How this read gives out offsets; whatever else a partition answers is `bigint`, see `Offsets`. Default: it. */
  offsets?: O;
  /**
   * Where the reader stands, by `Records.nextPlace` of this life of the log or an earlier one. The offset to read is
   * the place's; the read answers `Truncated` if a crash took records that the place stands behind.
   */
  from?: PlaceInput;
}

/**
 * Where a reader stands: behind the records below an offset, as one life of the log showed them. It may be kept, and
 * used after a restart: reading on from it answers `Truncated` if a crash took what was read, never other records.
 */
export interface Place {
  /** The life of the log that showed them. */
  incarnation: bigint;
  /** The frame that holds the last of them, or one that was no less safe; 0 for none. */
  lsn: bigint;
  /** The offset to read next. */
  offset: bigint;
}

/** A place as it is taken. */
export type PlaceInput = { [field in keyof Place]: Whole };

/** A header: a name, which may come more than once, and a value or null. */
export interface HeaderInput {
  key: string;
  value: Bytes | null;
}

/** A record to send. */
export interface RecordInput {
  /** Chooses the partition unless `partition` does; null, the default, and empty are different things. */
  key?: Bytes | null;
  /** The content; null marks the key as deleted. */
  value: Bytes | null;
  /** Kept in this order. */
  headers?: Iterable<HeaderInput> | null;
  /** Milliseconds since 1970, or -1 for none. Default: now. */
  timestamp?: number | Date | null;
  /** The partition to go to. Default: the key's, or the producer's choice. */
  partition?: number | null;
  /** A named producer's position: strictly increasing, gaps allowed. */
  position?: Whole | null;
}

/** A header as it was sent. */
export interface Header {
  /** The name. What is no UTF-8, in batches that a Kafka client made, is U+FFFD here. */
  key: string;
  value: Buffer | null;
  /** The bytes of a name in which there is U+FFFD. */
  keyBytes?: Buffer;
}

/**
 * A record as it lies in the log. Its Buffers are views of one piece of memory that all records of a poll share: copy
 * what you keep for long, or send to another thread.
 */
export interface Record<O extends Offsets = "bigint"> {
  topic: string;
  partition: number;
  offset: OffsetOf<O>;
  /** Milliseconds since 1970, -1 for none. Rounded beyond 2^53, where only other languages write. */
  timestamp: number;
  key: Buffer | null;
  value: Buffer | null;
  headers: readonly Header[];
}

/** A partition by its name. */
export interface TopicPartition {
  topic: string;
  partition: number;
}

/** A position to commit: the offset to read next. */
export interface Position extends TopicPartition {
  offset: Whole;
  /** Free text, at most 4,096 characters of a string, as in Kafka. */
  metadata?: string;
  /** The leader epoch of the last record read, if the caller keeps one. */
  leaderEpoch?: number;
}

/** Where a consumer stands. */
export interface PositionInfo<O extends Offsets = "bigint"> extends TopicPartition {
  offset: OffsetOf<O>;
}

/** What a group has committed: the offset to read next, and what was stored with it. */
export interface CommittedOffset<O extends Offsets = "bigint"> extends PositionInfo<O> {
  /** The text that was stored; empty if none was. */
  metadata: string;
  /** The leader epoch that was stored; -1 if none was. */
  leaderEpoch: number;
}

/** The ends of a partition. */
export interface Bounds<O extends Offsets = "bigint"> {
  /** The first offset that can be read. */
  start: OffsetOf<O>;
  /** The last stable offset: read_committed sees what lies below. */
  stable: OffsetOf<O>;
  /** The offset that the next visible record will have. */
  end: OffsetOf<O>;
}

/** Names the group whose offsets a transaction commits. */
export interface GroupMetadata {
  group: string;
}

/** A raw producer's identity, as in Kafka: `Engine.initProducer` gives it. */
export interface Identity {
  /** The producer id. */
  producerId: bigint;
  /** The producer epoch, 0 to 32,766; an older one is fenced. */
  epoch: number;
}

/** An identity as it is taken. */
export interface IdentityInput {
  producerId: Whole;
  epoch: number;
}

/** How an identity is asked for. */
export interface IdentityOptions {
  /**
   * How long a transaction of the identity may be open, 1 ms to `transactionTimeoutMaxMs`; then it is aborted. From
   * 2^31 - 1 ms on: for ever (KIP-939). Without a transactional id it says nothing. Default: 60,000 ms.
   */
  timeoutMs?: number;
  /** The caller's identity so far: the next is given only if nobody else took over since (KIP-360). */
  current?: IdentityInput | null;
}

/** How a transaction of an identity is to end. */
export type Outcome = "commit" | "abort";

/**
 * How a transaction stands. `"forgotten"`: nothing is known of it; it was never begun, was aborted before anything of
 * it lay in the log, or was decided so long ago that its transactional id has decided 64 others since.
 */
export type TransactionStatus = "open" | "committed" | "aborted" | "forgotten";

/** A transaction that is open and has something in the log: it holds the stable offset of its partitions back. */
export interface OpenTransaction {
  number: bigint;
  transactionalId: string;
  /** The producer id and epoch of its batches. */
  identity: Identity;
  /** When its first batch or offset came to the log, milliseconds since 1970. */
  since: number;
  /** How long it may stay open, counted anew from each opening; null: for ever. */
  timeoutMs: number | null;
  /** True if its owner sends raw batches; false if it belongs to a `TransactionalProducer`. */
  raw: boolean;
  /** The partitions that hold records of it, each with the offset of the first: the stable offset is no greater. */
  partitions: PositionInfo[];
}

/**
 * A producer that is active in a partition: what Kafka's DescribeProducers (KIP-664) tells of one. There are no markers
 * here, so a coordinator epoch has no meaning and is left out, and the end of a transaction changes nothing of what its
 * last batch left.
 */
export interface ActiveProducer {
  /** The producer id, and the epoch of its last batch in this partition. */
  identity: Identity;
  /** Sequence of the last record of that batch; null for a `TransactionalProducer`, whose batches have no sequence. */
  lastSequence: number | null;
  /**
   * The greatest timestamp of that batch, milliseconds since 1970, as its sender gave it, or the time of the append
   * where the topic has that; null if it has none, and for a `TransactionalProducer`.
   */
  lastTimestamp: number | null;
  /** Offset of the first record here of the transaction that it has open; null if it has none open here. */
  transactionStartOffset: bigint | null;
}

/** Where an append went. */
export interface Appended {
  partition: number;
  /** Offset of the first record; a `bigint` also where a consumer gives out numbers, see `Offsets`. */
  first: bigint;
  /** Offset of the last record. */
  last: bigint;
  /** The greatest timestamp of the batch; the time of the append where the topic has that. */
  timestamp: number;
  /** True if these records were here already and nothing was written: then partition and offsets mean nothing. */
  duplicate: boolean;
  /** The frame that holds the records. */
  lsn: bigint;
  /** The life of the log that answered. */
  incarnation: bigint;
}

/** What a committed transaction left. */
export interface Committed {
  /** The transaction's number. */
  number: bigint;
  /** The frame that holds it; 0 for one that was empty and wrote nothing. */
  lsn: bigint;
  /** The life of the log that answered. */
  incarnation: bigint;
}

/** Durable frames that are damaged on disk. */
export interface Damage {
  /** First frame lost. */
  firstLsn: bigint;
  /** Last frame lost. */
  lastLsn: bigint;
  /** The file. */
  file: string;
  /** The byte where the damage was met. */
  position: bigint;
  /** Only records are lost, no decision: appends go on. */
  recordsOnly: boolean;
}

/** What reading a log through found. */
export interface Verification {
  /** Segments read. */
  segments: bigint;
  /** Frames in them that are whole. */
  frames: bigint;
  /** Their bytes. */
  bytes: bigint;
  /** Durable frames that are damaged. */
  damage: Damage[];
}

/** What opening a log found and did. */
export interface Opening {
  /** The log was made by this open. */
  created: boolean;
  /** The life that this open began; 0 if it was opened for reading. */
  incarnation: bigint;
  /** Frames that were not known durable and were copied, so that they are now. */
  framesCopied: bigint;
  /** A torn tail that was cut. */
  cut: { lastKept: bigint; lastSeen: bigint; bytes: bigint } | null;
  /** Durable frames that are damaged. */
  damage: Damage[];
  /** Time it took to read the newest checkpoint and build the state from it, milliseconds and parts of one. */
  loadingMs: number;
  /** Time it took to read and fold the frames behind that checkpoint, milliseconds and parts of one. */
  foldingMs: number;
  /** Those frames; a handful of its own after a clean close. */
  framesFolded: bigint;
  /** Their bytes. */
  bytesFolded: bigint;
}

/** How far a group is behind in a partition, by the position of its open consumer. */
export interface ConsumerLag {
  group: string;
  topic: string;
  partition: number;
  /** The offset to read next. Of several consumers in one group, the least. */
  position: bigint;
  /** Records between the position and the end that the consumer sees. */
  lag: bigint;
}

/** How an open log stands and what it has done. Counts begin with 0 at each open and only grow. */
export interface Metrics {
  /** Batches written, those of transactions included. */
  appends: bigint;
  /** Records written. */
  records: bigint;
  /** Bytes of all frames written: batches and what the log keeps about them. */
  bytes: bigint;
  /** Appends and sends that were there already, so that nothing was written. */
  duplicates: bigint;
  /** Calls refused because a newer holder of their name or producer id had taken over. */
  fenced: bigint;
  transactionsCommitted: bigint;
  /** Transactions aborted, by their owner or by what befell them. */
  transactionsAborted: bigint;
  /** Transactions open now. */
  transactionsOpen: bigint;
  /** Frames of each group that was written: how many appends share a write. */
  groupFrames: Histogram;
  /** How long each flush to the device took, nanoseconds. */
  flushNanos: Histogram;
  /** Rolls to the next segment that had to wait for it. */
  lateRolls: bigint;
  /** Checkpoints completed. */
  checkpoints: bigint;
  /** Segment files now. */
  segments: bigint;
  /** Bytes that the segment files hold on the disk, with the room ahead of the frames. */
  diskUsed: bigint;
  /** Bytes of it that are frames. Frames of deleted topics count too: nothing is cleaned away in this version. */
  diskLive: bigint;
  /** A write or flush has failed: nothing is written until the log is opened again. */
  poisoned: boolean;
  /** How far the groups of open consumers are behind, where they have a position. */
  lags: ConsumerLag[];
}

/** Stops the waiting, never the write. */
export interface Waiting {
  signal?: AbortSignal;
}
