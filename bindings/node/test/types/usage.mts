// Assertions about the types, checked by the compiler alone; nothing of it runs.
import * as oncelog from "oncelog";
import {
  type ActiveProducer, type Answers,
  open, OncelogError, type Appended, type AppendOptions, type Committed, type Consumer, type Engine,
  type EngineOptions, type ErrorCode, type Identity, type OpenTransaction, type Place, type PositionInfo, type Producer,
  type Record, type Records, type TopicInfo, type Transaction, type TransactionalOptions, type TransactionStatus,
} from "oncelog";

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <A, B>(_: Same<A, B>): void => {};

const engine = await open("dir", { durability: "os", log: (level, message) => console.log(level, message.length) });
same<typeof engine, Engine>(true);
same<ReturnType<Engine["topics"]>, TopicInfo[]>(true);

const producer = await engine.producer({ name: "loader", batchBytes: 1, lingerMs: 0.5 });
same<typeof producer, Producer>(true);
same<Producer["position"], bigint | null>(true);
const appended = await producer.send("t", { value: "v", key: Buffer.from("k"), timestamp: new Date(), position: 1 });
same<typeof appended, Appended>(true);
same<Appended["first"], bigint>(true);
const posted: boolean = producer.post("t", { value: null, headers: [{ key: "h", value: new Uint8Array(1) }] });
const many = await producer.sendMany("t", new Set([{ value: "x", position: 1n }]));
same<typeof many, Answers>(true);
const all: Appended[] = [...many];
console.log(posted, all, many.at(0)?.first, many.length);

const big = engine.consumer({ topics: ["t", { topic: "u", partition: 1 }], group: "g", isolation: "read_committed" });
same<typeof big, Consumer<"bigint">>(true);
same<ReturnType<typeof big.position>, Promise<bigint>>(true);
for await (const record of big) {
  same<typeof record, Record<"bigint">>(true);
  same<typeof record.offset, bigint>(true);
  same<typeof record.value, Buffer | null>(true);
}
for await (const { offset } of big.records({ signal: AbortSignal.timeout(1) })) same<typeof offset, bigint>(true);
const small = engine.consumer({ offsets: "number" });
same<ReturnType<typeof small.records>, AsyncIterable<Record<"number">>>(true);
same<ReturnType<typeof small.committed>, Promise<number | null>>(true);
const records = await small.poll({ timeoutMs: 1, signal: AbortSignal.timeout(1) });
same<typeof records, Records<"number">>(true);
for (const { offset } of records) same<typeof offset, number>(true);
same<ReturnType<typeof records.nextOffsets>, PositionInfo<"number">[]>(true);

const transactional = await engine.transactionalProducer("id");
const transaction: Transaction = transactional.beginTransactionFor(small);
transaction.send("t", { value: "v" });
transaction.sendOffsets(big.groupMetadata(), [{ topic: "t", partition: 0, offset: 1 }, ...big.positions()]);
const committed: Committed = await transaction.commit({ signal: AbortSignal.timeout(1) });
console.log(committed.lsn);

const choices: EngineOptions = {
  visibility: "durable", keepRawTransactions: true, transactionMemory: 1 << 20, transactionTimeoutMaxMs: 1_000,
};
const streaming: TransactionalOptions = { compression: "zstd", transactionBuffer: 0, transactionTimeoutMs: 1_000 };
const goesOn: boolean = transaction.send("t", { value: "v" }) && transaction.sendMany("t", []);
if (transaction.isOpen && !goesOn) await transaction.drained({ signal: AbortSignal.timeout(1) });
console.log(choices, streaming);
await engine.createTopic("stamped", { timestampType: "append" });
same<TopicInfo["timestampType"], "create" | "append">(true);

const partition = engine.partition("t", 0);
same<Awaited<ReturnType<typeof partition.offsetAt>>, bigint | null>(true);
console.log(await partition.offsetAt(new Date()), (await partition.maxTimestamp())?.timestamp);
console.log(await partition.offsetAt(0, { isolation: "read_uncommitted" }));
const place: Place | undefined = records.nextPlace("t", 0);
if (place !== undefined) await partition.read(place.offset, { from: place, isolation: "read_uncommitted" });
await partition.read(1, { from: { incarnation: 1, lsn: 2n, offset: 1 } });

const current = { producerId: 1, epoch: 0 };
const identity: Identity = await engine.initProducer("shop", { timeoutMs: 1_000, current });
const raw: AppendOptions = { producer: identity, baseSequence: 0, transactional: true, compression: "gzip" };
await partition.append([{ value: "x" }], raw);
same<Awaited<ReturnType<typeof partition.appendBatch>>, Appended>(true);
await partition.appendBatch(new Uint8Array(61), { durability: "os", signal: AbortSignal.timeout(1_000) });
const batch: oncelog.Batch = oncelog.Batch.fromBytes(new Uint8Array(61));
same<typeof batch.header.producer, Identity | null>(true);
const inside: oncelog.BatchRecord[] = batch.records();
same<oncelog.BatchRecord["offset"], bigint>(true);
console.log(inside, batch.header.compression === "zstd");
same<Parameters<typeof oncelog.compressionIsAvailable>, [oncelog.Compression]>(true);
const available: boolean = oncelog.compressionIsAvailable("zstd");
console.log(available);
// @ts-expect-error Kafka has no such codec
oncelog.compressionIsAvailable("brotli");
// @ts-expect-error text is no batch
oncelog.Batch.fromBytes("text");
// @ts-expect-error text is no batch
await partition.appendBatch("text");
// @ts-expect-error what an encoded batch has of its own is not given beside it
await partition.appendBatch(new Uint8Array(61), { baseSequence: 0 });
await engine.sendOffsets(identity, { group: "g" }, [{ topic: "t", partition: 0, offset: 1n }]);
same<Awaited<ReturnType<Engine["endTransaction"]>>, Identity>(true);
await engine.endTransaction(await engine.initProducer(null), "abort");
await engine.abortTransaction(transaction.number);
same<Awaited<ReturnType<Engine["transactionStatus"]>>, TransactionStatus>(true);
const [held]: OpenTransaction[] = engine.describeTransactions();
const [active]: ActiveProducer[] = partition.producers();
console.log(active?.identity.epoch, active?.lastSequence === null, active?.transactionStartOffset);
const first: bigint | undefined = held?.partitions[0]?.offset;
console.log(first, held?.timeoutMs === null);

same<ReturnType<oncelog.Histogram["quantile"]>, bigint | null>(true);
const half: bigint | null = engine.metrics().flushNanos.quantile(0.5);
console.log(half);

same<typeof oncelog.limits, oncelog.Limits>(true);
const [most, bound]: [number, bigint] = [oncelog.limits.batchMax, oncelog.limits.offsetMax];
console.log(most, bound);

const code: ErrorCode = new OncelogError("Busy", "").code;
if (code === "Busy") console.log("busy");

// @ts-expect-error: a record has a value, or says null
producer.post("t", { key: "k" });
// @ts-expect-error: numbers are no bytes
producer.post("t", { value: 1 });
// @ts-expect-error: there is no such level
await open("dir", { durability: "never" });
// @ts-expect-error: there is no such code
if (code === "Nonsense") console.log();
// @ts-expect-error: what is only for the package is not shown
producer.crossPacked(true);
// @ts-expect-error: an offset is a number of either kind
big.seek({ topic: "t", partition: 0 }, "0");
// @ts-expect-error: a transaction ends in one of two ways
await engine.endTransaction(identity, "perhaps");
// @ts-expect-error: there is no such codec
await engine.producer({ compression: "zip" });
// @ts-expect-error: an identity has an epoch
await engine.endTransaction({ producerId: 1n }, "commit");
// @ts-expect-error: a plain producer has no transactions
await engine.producer({ transactionBuffer: 1 });
// @ts-expect-error: an engine is opened
new oncelog.Engine();
// @ts-expect-error: a consumer is an engine's
new oncelog.Consumer();
// @ts-expect-error: a producer is an engine's
new oncelog.Producer();
// @ts-expect-error: a partition is an engine's
new oncelog.Partition();
// @ts-expect-error: records are read
new oncelog.Records();
// @ts-expect-error: answers are a producer's
new oncelog.Answers();
// @ts-expect-error: a batch is made of bytes
new oncelog.Batch();
// @ts-expect-error: limits are the engine's
oncelog.limits.batchMax = 1;
// @ts-expect-error: histograms are an engine's
new oncelog.Histogram();
// @ts-expect-error: a transaction is begun
new oncelog.Transaction();
// @ts-expect-error: a transactional producer is an engine's
new oncelog.TransactionalProducer();
// @ts-expect-error: nobody adds to a handle
class Mine extends oncelog.Engine {}
console.log(Mine);
