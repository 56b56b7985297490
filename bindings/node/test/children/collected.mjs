// Forgets handles in every order and has them collected, again and again. Run with --expose-gc.
import { setImmediate as turn } from "node:timers/promises";
import { open } from "../../dist/index.mjs";

const dir = process.argv[2];

/** Opens the log as soon as the collector has let it go. */
async function reopen() {
  for (;;) {
    try {
      return await open(dir);
    } catch (error) {
      if (error.code !== "Locked") throw error;
      global.gc();
      await turn();
    }
  }
}

let kept = [];
for (let round = 0; round < 20; round++) {
  let handles = { engine: await reopen() };
  if (round === 0) await handles.engine.createTopic("t");
  handles.producer = await handles.engine.producer();
  handles.consumer = handles.engine.consumer({ topics: ["t"], group: "g" });
  handles.transactional = await handles.engine.transactionalProducer("x");
  handles.transaction = handles.transactional.beginTransaction();
  handles.transaction.send("t", { value: "never committed" });
  await handles.producer.send("t", { value: `${round}` });
  handles.producer.post("t", { value: "posted" });
  handles.records = await handles.consumer.poll();
  kept.push([...handles.records].at(-1).value);
  // A promise that nobody waits for any more, and a poll that never ends by itself.
  handles.producer.send("t", { value: "forgotten" });
  const names = Object.keys(handles);
  for (let i = 0; i < names.length; i++) {
    delete handles[names[(i + round) % names.length]];
    global.gc();
    if (i % 2 === 0) await turn();
  }
  handles = undefined;
}
const engine = await reopen();
const last = engine.partition("t", 0);
const found = [];
for (let at = 0n; at < last.bounds().stable; ) {
  const records = await last.read(at);
  for (const { value } of records) found.push(value.toString());
  at = records.nextOffset("t", 0);
}
const count = (text) => found.filter((value) => value === text).length;
console.log(JSON.stringify([found.length, count("posted"), count("forgotten"), count("never committed")]));
if (!kept.every((value) => value.length > 0)) process.exit(1);
kept = undefined;
