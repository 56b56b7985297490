// The disk takes nothing for longer than anybody is patient, and only JavaScript itself lets it go on: no call may hold
// it.
import { rmSync, writeFileSync, writeSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { open } from "../../dist/index.mjs";

const engine = await open("log", { durability: "os", segmentBytes: 1 << 20 });
await engine.createTopic("t", { partitions: 2 });
const [producer, named] = [await engine.producer(), await engine.producer({ name: "n" })];
const bulk = await engine.transactionalProducer("bulk");
const [ahead, aborted] = [bulk.beginTransaction(), (await engine.transactionalProducer("x")).beginTransaction()];
aborted.sendMany("t", Array(1100).fill({ value: Buffer.alloc(1000), partition: 1 }));

writeFileSync("stuck", "");
const value = Buffer.alloc(60_000);
let sent = 0;
while (ahead.send("t", { value, partition: 0 })) sent++;
for (const last = ++sent + 100; sent < last; sent++) ahead.send("t", { value, partition: 0 });
while (producer.post("t", { value, partition: 1 }));
const [streamed, other] = [engine.partition("t", 0), engine.partition("t", 1)];
const calls = [
  ahead.drained(), ahead.commit(), aborted.abort(), producer.flush(), engine.flush(), other.append([{ value }]),
  engine.createTopic("u"), named.sendMany("t", [{ value, position: 1, partition: 1 }]),
];
let told = 0;
for (const call of calls) void call.then(() => told++);
await setTimeout(4_000);
const early = told;
rmSync("stuck");
await Promise.all(calls);
await engine.close();
writeSync(1, `${early} ${told} ${other.bounds().end > 2n} ${streamed.bounds().stable === BigInt(sent)}\n`);
