/**
 * oncelog: an embedded log with Kafka's delivery semantics. One directory, one library, no server.
 *
 * @packageDocumentation
 */
import "./polyfill.js";

export { Answers } from "./answers.js";
export { Batch, compressionIsAvailable, type BatchHeader, type BatchRecord } from "./batch.js";
export { Consumer, type PollOptions } from "./consumer.js";
export { Engine, open } from "./engine.js";
export { OncelogError, type ErrorCode } from "./errors.js";
export { Histogram } from "./histogram.js";
export { limits, type Limits } from "./limits.js";
export { Partition, type AppendBatchOptions, type AppendOptions } from "./partition.js";
export { Producer } from "./producer.js";
export { Records } from "./records.js";
export { Transaction, TransactionalProducer } from "./transaction.js";
export type * from "./types.js";
