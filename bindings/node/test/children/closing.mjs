// The disk takes nothing while a log is closed, by its owner or because nobody holds it, and the process exits.
import { writeFileSync, writeSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import v8 from "node:v8";
import vm from "node:vm";
import { open } from "../../dist/index.mjs";

const [forgotten] = process.argv.slice(2);
let engine = await open("log", { durability: "os" });
await engine.createTopic("t");
let producer = await engine.producer({ lingerMs: 0 });
await producer.send("t", { value: "0" });
writeFileSync("stuck", "");
for (let n = 1; n < 100; n++) producer.post("t", { value: `${n}` });
await setImmediate();
if (forgotten) {
  v8.setFlagsFromString("--expose-gc");
  const gc = vm.runInNewContext("gc");
  producer = engine = undefined;
  for (let turn = 0; turn < 20; turn++) await setImmediate(gc());
} else {
  void engine.close();
  try {
    for (;;) await setImmediate(engine.topics());
  } catch {
    // From here on it takes nothing any more.
  }
}
// Whoever hears this lets the disk go on, a while later.
writeSync(1, "exits\n");
process.exit();
