import { existsSync } from "node:fs";
import { join } from "node:path";
import type { BatchHeader } from "./batch.js";
import { VERSION } from "./layout.js";
import type { Limits } from "./limits.js";
import { platformName } from "./platform.js";
import type { Metrics } from "./types.js";

// What the native half offers. The facade is its only user.

export interface NativePosition {
  topic: string;
  partition: number;
  offset: bigint;
  leaderEpoch: number;
  metadata: string;
}
export interface NativeBounds {
  start: bigint;
  stable: bigint;
  end: bigint;
}
export interface NativeIdentity {
  producerId: bigint;
  epoch: number;
}
export interface NativePlace {
  incarnation: bigint;
  lsn: bigint;
  offset: bigint;
}
export interface NativeAppend {
  durability?: string;
  compression?: string;
  producer?: NativeIdentity;
  baseSequence?: number;
  transactional?: boolean;
}
export interface NativeOpenTransaction {
  number: bigint;
  transactionalId: string;
  identity: NativeIdentity;
  since: number;
  timeoutMs?: number;
  raw: boolean;
  partitions: { topic: string; partition: number; offset: bigint }[];
}
export interface NativeActiveProducer {
  identity: NativeIdentity;
  lastSequence?: number;
  lastTimestamp?: number;
  transactionStartOffset?: bigint;
}
export interface NativeSender {
  readonly slot: number;
  topic(name: string): number;
}
export interface NativeProducer extends NativeSender {
  flush(who: number): boolean;
  refused(): void;
  position(): bigint | null;
  close(): void;
}
export interface NativeTransaction extends NativeSender {
  readonly number: bigint;
  sendOffsets(group: string, rows: NativePosition[]): void;
  sendPosition(position: bigint): void;
  commit(who: number): void;
  abort(): void;
}
export interface NativeTransactional {
  begin(consumer?: NativeConsumer): NativeTransaction;
  position(): bigint | null;
  close(): void;
}
export interface NativeConsumer {
  assign(partitions: { topic: string; partition: number }[]): void;
  settled(): boolean;
  settle(who: number): void;
  poll(last: boolean): ArrayBuffer | null;
  onReady(who: number): void;
  seek(topic: string, partition: number, offset: bigint): void;
  position(topic: string, partition: number): bigint;
  settlePosition(who: number, topic: string, partition: number): void;
  positions(): NativePosition[];
  committed(who: number, topic: string, partition: number): void;
  committedOffsets(who: number, partitions: { topic: string; partition: number }[]): void;
  lag(topic: string, partition: number): bigint;
  settleLag(who: number, topic: string, partition: number): void;
  bounds(topic: string, partition: number): NativeBounds;
  commit(who: number): void;
  commitOffsets(who: number, rows: NativePosition[]): void;
  rewind(): void;
  group(): string;
  close(): void;
}
export interface NativePartition {
  append(who: number, bytes: Uint8Array, choice?: NativeAppend): void;
  appendBatch(who: number, bytes: Uint8Array, durability?: string): void;
  read(offset: bigint, choice?: { maxBytes?: number; isolation?: string; from?: NativePlace }): ArrayBuffer;
  offsetAt(who: number, timestamp: number, isolation?: string): void;
  maxTimestamp(who: number, isolation?: string): void;
  producers(): NativeActiveProducer[];
  bounds(): NativeBounds;
}
export interface NativeBatch {
  header(): Partial<BatchHeader> & Omit<BatchHeader, "producer" | "baseSequence" | "lastSequence">;
  records(): ArrayBuffer;
}
export interface NativeHistogram {
  readonly count: bigint;
  readonly sum: bigint;
  readonly bounds: bigint[];
  readonly counts: bigint[];
  quantile(q: number): bigint | null;
}
export interface NativeMetrics extends Omit<Metrics, "groupFrames" | "flushNanos"> {
  groupFrames: NativeHistogram;
  flushNanos: NativeHistogram;
}
export interface NativeEngine {
  createTopic(
    who: number, name: string, choice: { partitions: number; durability?: string; timestampType?: string },
  ): void;
  deleteTopic(who: number, name: string): void;
  addPartitions(who: number, topic: string, total: number): void;
  deleteProducer(who: number, name: string): void;
  waitDurable(who: number, lsn: bigint): void;
  flush(who: number): boolean;
  closeGathered(who: number): void;
  close(who: number): void;
  topics(): { name: string; id: string; partitions: number; durability?: string; timestampType: string }[];
  partition(topic: string, number: number): NativePartition;
  producer(who: number, choice: object): void;
  transactionalProducer(who: number, id: string, choice: object): void;
  consumer(choice: object): NativeConsumer;
  initProducer(who: number, transactionalId: string | undefined, timeoutMs: number, current?: NativeIdentity): void;
  sendOffsets(who: number, identity: NativeIdentity, group: string, rows: NativePosition[]): void;
  endTransaction(who: number, identity: NativeIdentity, outcome: string): void;
  abortTransaction(who: number, number: bigint): void;
  transactionStatus(who: number, number: bigint): void;
  describeTransactions(): NativeOpenTransaction[];
  hasRoom(bytes: number): boolean;
  awaitRoom(who: number, bytes: number): void;
  verify(who: number): void;
  opening(): object;
  metrics(): NativeMetrics;
  openmetrics(): string;
}
export interface NativeHub {
  hold(hold: boolean): void;
  exits(): void;
  open(who: number, dir: string, options: object, lines?: number): void;
  drain(cells: Buffer): number;
  fail(who: number): void;
  takeLine(): [string, string] | null;
  takeEngine(who: number): NativeEngine;
  takeProducer(who: number, engine: NativeEngine, memory: Uint8Array, refusals: number): NativeProducer;
  takeTransactional(who: number, engine: NativeEngine): NativeTransactional;
  takeMany(who: number): ArrayBuffer;
  takeIdentity(who: number): NativeIdentity;
  takeVerification(who: number): object;
  takeStatus(who: number): string;
  takeOffset(who: number): bigint | null;
  takeTime(who: number): { offset: bigint; timestamp: number } | null;
  takeOffsets(who: number): NativePosition[];
}
export interface Native {
  Hub: new (wake: () => void) => NativeHub;
  layout(): [string, number][];
  kinds(): {
    name: string; number: number; kafkaCode: number; retriable: boolean; fatal: boolean; requiresAbort: boolean;
  }[];
  kindOfKafkaCode(code: number): string | null;
  limits(): Limits;
  compressionIsAvailable(name: string): boolean;
  batchFromBytes(bytes: Uint8Array): NativeBatch;
  share(words: Uint32Array, scratch: Uint8Array): boolean;
  crossOwn(): number;
  cross(slot: number, bytes: Uint8Array, from: number, to: number, wait: boolean): number;
}

function load(): Native {
  const name = platformName();
  const built = join(__dirname, "..", `oncelog.${name}.node`);
  if (existsSync(built)) return require(built) as Native;
  try {
    return require(`oncelog-${name}`) as Native;
  } catch (cause) {
    const text = `oncelog has no build for ${name} here; install the package oncelog-${name}, or build it with`;
    throw new Error(`${text} "npm run build" in bindings/node of the repository`, { cause });
  }
}

export const native = load();

// Two halves of different versions would read each other's bytes wrongly.
const version = native.layout().find(([name]) => name === "VERSION")?.[1];
if (version !== VERSION) {
  throw new Error(`oncelog's two halves do not fit together; install it again, native=${version} facade=${VERSION}`);
}
