// Works while the only thread of libuv's pool is stuck: it opens a pipe that has no other end.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import { open } from "../../dist/index.mjs";

const dir = process.argv[2];
execFileSync("mkfifo", [`${dir}/pipe`]);
let stuck = true;
fs.open(`${dir}/pipe`, "r", () => (stuck = false));

const engine = await open(`${dir}/log`);
await engine.createTopic("t");
const producer = await engine.producer({ name: "n" });
await producer.send("t", { value: "x", position: 1 });
const consumer = engine.consumer({ topics: ["t"], group: "g" });
const transactional = await engine.transactionalProducer("x");
const transaction = transactional.beginTransactionFor(consumer);
for (const { value } of await consumer.poll()) transaction.send("t", { value });
await transaction.commit();
await consumer.commit();
await engine.close();
console.log(stuck ? "done while the pool was stuck" : "the pool was free");
fs.closeSync(fs.openSync(`${dir}/pipe`, "r+"));
process.exit(0);
