// Keeps a log of its own busy in every way until it is terminated.
import { parentPort, workerData } from "node:worker_threads";
import { open } from "../../dist/index.mjs";

const { dir, exits } = workerData;
const engine = await open(dir);
await engine.createTopic("t").catch(() => {});
const producer = await engine.producer();
const transactional = await engine.transactionalProducer("worker");
const consumer = engine.consumer({ topics: ["t"], group: "g" });

async function sends() {
  for (;;) await producer.send("t", { value: "sent" });
}
async function posts() {
  for (;;) {
    for (let i = 0; i < 1000; i++) if (!producer.post("t", { value: "posted" })) await producer.drained();
    await producer.flush();
  }
}
async function transactions() {
  for (;;) {
    const transaction = transactional.beginTransactionFor(consumer);
    transaction.send("t", { value: "committed" });
    for (const { value } of await consumer.poll({ timeoutMs: 1 })) if (value === null) throw new Error("no value");
    await transaction.commit();
  }
}
async function polls() {
  const other = engine.consumer({ topics: ["t"] });
  for await (const { value } of other) if (value.length < 4) throw new Error("a value is cut");
}
async function opens() {
  for (;;) await open(dir).catch(() => {});
}
const all = [sends(), posts(), transactions(), polls(), opens()];
for (const one of all) one.catch((error) => parentPort.postMessage(`failed: ${error.message}`));
setTimeout(() => parentPort.postMessage("busy"), 5);
if (exits) setTimeout(() => process.exit(0), 10);
