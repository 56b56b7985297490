// Polls in vain, often, forgets the consumer and has it collected. Run with --expose-gc.
import { setImmediate as turn } from "node:timers/promises";
import { open } from "../../dist/index.mjs";

const dir = process.argv[2];
let engine = await open(dir, { durability: "os" });
await engine.createTopic("t");

// Held by nothing but its wait.
const waiting = engine.consumer({ topics: ["t"] }).poll();
for (let i = 0; i < 20; i++) {
  global.gc();
  await turn();
}
await (await engine.producer()).send("t", { value: "x" });
if ((await waiting).length !== 1) process.exit(1);

let consumer = engine.consumer({ topics: ["t"], start: "latest" });
const polls = async (count) => {
  for (let i = 0; i < count; i++) await consumer.poll({ timeoutMs: 0.01 });
  global.gc();
  return process.memoryUsage().heapUsed;
};
const before = await polls(500);
const grown = (await polls(5_000)) - before;

consumer = engine = undefined;
for (;;) {
  global.gc();
  await turn();
  try {
    await (await open(dir)).close();
    break;
  } catch (error) {
    if (error.code !== "Locked") throw error;
  }
}
console.log(`woken, ${grown < 500_000 ? "small" : grown}, collected`);
