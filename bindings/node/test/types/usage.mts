// Assertions about the types, checked by the compiler alone; nothing of it runs.
import {
  type Answers,
  open, OncelogError, type Appended, type Committed, type Consumer, type Engine, type ErrorCode, type Producer,
  type Record, type Records, type TopicInfo, type Transaction,
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
same<ReturnType<typeof big.position>, bigint>(true);
for await (const record of big) {
  same<typeof record, Record<"bigint">>(true);
  same<typeof record.offset, bigint>(true);
  same<typeof record.value, Buffer | null>(true);
}
const small = engine.consumer({ offsets: "number" });
same<ReturnType<typeof small.committed>, number | null>(true);
const records = await small.poll({ timeoutMs: 1, signal: AbortSignal.timeout(1) });
same<typeof records, Records<"number">>(true);
for (const { offset } of records) same<typeof offset, number>(true);

const transactional = await engine.transactionalProducer("id");
const transaction: Transaction = transactional.beginTransactionFor(small);
transaction.send("t", { value: "v" });
transaction.sendOffsets(big.groupMetadata(), [{ topic: "t", partition: 0, offset: 1 }, ...big.positions()]);
const committed: Committed = await transaction.commit({ signal: AbortSignal.timeout(1) });
console.log(committed.lsn);

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
