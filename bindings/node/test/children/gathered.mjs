// Far more is gathered than the log has room for, and only JavaScript itself lets the disk go on: no flush may hold it.
import { rmSync, writeFileSync, writeSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { open } from "../../dist/index.mjs";

const partitions = 8;
const engine = await open("log", { durability: "os", segmentBytes: 1 << 20 });
await engine.createTopic("t", { partitions });
const large = { batchBytes: 1 << 20, lingerMs: 3_600_000 };
const [producer, closed] = [await engine.producer(large), await engine.producer(large)];
const named = await engine.producer({ name: "n", batchBytes: 1 << 20, lingerMs: 1 });
await named.send("t", { value: "first", partition: 0, position: 1 });

writeFileSync("stuck", "");
const value = Buffer.alloc(900_000);
const gathers = (sender, more) => {
  for (let partition = 0; partition < partitions; partition++) {
    sender.post("t", { value, partition, ...more?.(partition) });
  }
};
gathers(producer);
gathers(closed);
// Its keeper closes what it has gathered, and waits with it.
gathers(named, (partition) => ({ position: 2 + partition }));
await setTimeout(100);

let ticks = 0;
const timer = setInterval(() => ticks++, 1);
const calls = [producer.flush(), closed.close(), engine.flush(), named.flush()];
let told = 0;
for (const call of calls) void call.then(() => told++);
const before = named.position;
await setTimeout(500);
const early = [told, ticks > 50, before];
clearInterval(timer);
rmSync("stuck");
await Promise.all(calls);
const after = named.position;
await engine.close();
let records = 0n;
const again = await open("log", { readOnly: true });
for (let partition = 0; partition < partitions; partition++) records += again.partition("t", partition).bounds().end;
await again.close();
writeSync(1, `${early} ${told} ${after} ${records}\n`);
