// The log itself: append a batch to a partition, read it back.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { open } from "oncelog";

const directory = mkdtempSync(join(tmpdir(), "oncelog-"));
const engine = await open(directory);
await engine.createTopic("greetings");
const partition = engine.partition("greetings", 0);

// The promise is kept when the batch survives a power cut.
const appended = await partition.append([
  { key: "en", value: "good morning" },
  { key: "de", value: "guten Morgen" },
]);
console.log(`offsets ${appended.first} to ${appended.last}`);

for (const record of await partition.read(appended.first)) console.log(`${record.offset}: ${record.value}`);
await engine.close();
rmSync(directory, { recursive: true });
