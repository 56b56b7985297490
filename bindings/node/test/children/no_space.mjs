// The disk is full while a transaction is far ahead: it hears so, and so does its commit; the next one goes on. So does
// a flush of more than there is room for.
import { rmSync, writeFileSync, writeSync } from "node:fs";
import { open } from "../../dist/index.mjs";

const engine = await open("log", { durability: "os", segmentBytes: 1 << 20 });
await engine.createTopic("t");
const producer = await engine.transactionalProducer("bulk", { transactionBuffer: 0 });
const heard = [];
const hear = (error) => heard.push(error.code);
writeFileSync("full", "");
for (const waits of ["drained", "commit"]) {
  const transaction = producer.beginTransaction();
  for (let i = 0; i < 20_000; i++) transaction.send("t", { value: Buffer.alloc(1000) });
  await transaction[waits]().catch(hear);
  if (waits === "drained") await transaction.commit().catch(hear);
  heard.push(await engine.transactionStatus(transaction.number));
}
const plain = await engine.producer({ batchBytes: 1 << 20, lingerMs: 3_600_000 });
for (let i = 0; i < 4; i++) plain.post("t", { value: Buffer.alloc(900_000) });
await plain.flush().catch(hear);
await plain.flush();
rmSync("full");
const transaction = producer.beginTransaction();
for (let i = 0; i < 20_000; i++) transaction.send("t", { value: "x" });
await transaction.commit();
const seen = await engine.partition("t", 0).read(0);
await engine.close();
writeSync(1, `${heard} ${seen.at(0).value}\n`);
