// Forgets the engine but not a handle of it, and hears what it has to say all the same. Run with --expose-gc.
import { setTimeout } from "node:timers/promises";
import { open } from "../../dist/index.mjs";

const heard = [];

async function handle() {
  const engine = await open(process.argv[2], { log: (_, message) => heard.push(message) });
  await engine.createTopic("t");
  return engine.transactionalProducer("x", { transactionBuffer: 0, transactionTimeoutMs: 1 });
}

const producer = await handle();
for (let turn = 0; turn < 20; turn++) await setTimeout(1, global.gc());
heard.length = 0;
const transaction = producer.beginTransaction();
transaction.send("t", { value: "never committed" });
// It is aborted when its time is over, which nobody asks for.
for (let waited = 0; heard.length === 0 && waited < 1_000; waited++) await setTimeout(10);
console.log(heard.length > 0 ? "heard" : "nothing");
await transaction.abort().catch(() => {});
await producer.close();
