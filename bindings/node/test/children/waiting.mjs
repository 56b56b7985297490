// Far ahead of a log that has no room, in every way: what is sent waits, and so do promises. Then says so to whoever
// ends this worker, or ends it itself.
import { parentPort, workerData } from "node:worker_threads";
import { open } from "../../dist/index.mjs";

const { dir, exits } = workerData;
const engine = await open(dir, { segmentBytes: 64 << 10 });
await engine.createTopic("t", { partitions: 4 }).catch(() => {});
const value = (n) => Buffer.alloc(1000).fill(`${n} `, 0, 8);
const producer = await engine.producer();
const [bulk, other] = [await engine.transactionalProducer("bulk"), await engine.transactionalProducer("other")];

let posted = 0;
const post = () => producer.post("t", { value: value(posted++), partition: 0 });
while (post());
for (const last = posted + 3000; posted < last; ) post();
const many = producer.sendMany("t", Array.from({ length: 3000 }, (_, n) => ({ value: value(n), partition: 1 })));
const sends = Array.from({ length: 500 }, (_, n) => producer.send("t", { value: value(n), partition: 2 }));
const [commits, open_] = [bulk, other].map((from) => {
  const transaction = from.beginTransaction();
  for (let n = 0; n < 3000; n++) transaction.send("t", { value: value(n), partition: 3 });
  return transaction;
});
const calls = [
  many, ...sends, commits.commit(), open_.drained(), producer.flush(), engine.flush(), engine.createTopic("u"),
];
for (const call of calls) call.catch((error) => parentPort.postMessage(`failed: ${error.message}`));
if (exits) process.exit(posted);
parentPort.postMessage("waiting");
