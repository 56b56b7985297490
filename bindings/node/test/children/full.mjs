// The log's buffers are full and the disk takes nothing: calls that decide something wait beside JavaScript.
import { writeFileSync, writeSync } from "node:fs";
import { open } from "../../dist/index.mjs";

const engine = await open("log", { durability: "os" });
for (const topic of ["t", "gone"]) await engine.createTopic(topic);
const at = { topic: "t", partition: 0 };
const producer = await engine.producer();
await producer.sendMany("t", Array.from({ length: 3 }, () => ({ value: "read" })));
await engine.producer({ name: "forgotten" });
const identity = await engine.initProducer("raw");
const transactional = await engine.transactionalProducer("tp");
const transaction = transactional.beginTransaction();
transaction.send("t", { value: "never" });
const consumer = engine.consumer({ topics: ["t"], group: "g", maxRecords: 2 });
await consumer.poll();

writeFileSync("stuck", "");
const value = Buffer.alloc(60_000);
while (producer.post("t", { value }));
const calls = [
  engine.createTopic("u"), engine.deleteTopic("gone"), engine.addPartitions("t", 2), engine.producer({ name: "n" }),
  engine.transactionalProducer("x"), engine.deleteProducer("forgotten"), engine.initProducer("raw2"),
  engine.sendOffsets(identity, { group: "h" }, [{ ...at, offset: 2 }]), engine.endTransaction(identity, "commit"),
  consumer.commit(), consumer.commitOffsets([{ topic: "gone", partition: 0, offset: 1 }]), transaction.abort(),
];
const next = consumer.poll();
const moves = [() => consumer.seek(at, 0), () => consumer.rewind(), () => consumer.assign([at])].map((move) => {
  try {
    return move() ?? "went";
  } catch (refusal) {
    return refusal.code;
  }
});
const t = engine.partition("t", 0);
const appended = Array.from({ length: 20 }, (_, i) => t.append([{ value: Buffer.alloc(i % 2 ? 10 : 900_000) }]));
// Whoever hears this lets the disk go on.
writeSync(1, "asked\n");
const answers = await Promise.allSettled(calls);
const refused = answers.flatMap(({ reason }) => (reason === undefined ? [] : [reason.code]));
const raw = engine.consumer({ topics: ["t"], group: "h" });
const offsets = [await consumer.committed(at), await raw.committed(at), `${(await next).at(0).value}`];
const firsts = (await Promise.all(appended)).map(({ first }) => first);
const inOrder = firsts.every((first, i) => i === 0 || first > firsts[i - 1]);
await producer.close();
await engine.close();
const counts = JSON.stringify([engine.metrics().transactionsOpen, ...offsets].map(String));
writeSync(1, `${counts} ${refused} ${moves} ${inOrder}\n`);
