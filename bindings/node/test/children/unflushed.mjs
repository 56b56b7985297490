// Where a group stands is not on the disk yet, and the disk takes no flush: JavaScript goes on all the same.
import { rmSync, writeFileSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { open } from "../../dist/index.mjs";

const engine = await open("log", { durability: "os" });
await engine.createTopic("t");
const at = { topic: "t", partition: 0 };
const options = { topics: ["t"], group: "g", maxRecords: 1 };
await (await engine.producer()).sendMany("t", [{ value: "a" }, { value: "b" }]);
const transactional = await engine.transactionalProducer("tp");
const first = engine.consumer(options);
await first.poll();
writeFileSync("slow", "");
await first.commit();

const second = engine.consumer(options);
const bound = engine.consumer(options);
const transaction = transactional.beginTransactionFor(bound);
const asked = [second.committed(at), second.position(at), second.lag(at), second.poll(), bound.poll({ timeoutMs: 0 })];
let told = 0;
for (const answer of asked) void answer.then(() => told++);
for (let turn = 0; turn < 100; turn++) await setImmediate();
const early = told;
rmSync("slow");
const [committed, position, lag, ...polls] = await Promise.all(asked);
await transaction.abort();
await engine.close();
console.log(early, committed, position, lag, ...polls.map((records) => `${records.at(0).value}`));
