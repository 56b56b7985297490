// A reader that keeps its place elsewhere, here as text: after a crash it never takes other records for those it has
// read.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { open } from "oncelog";

const directory = mkdtempSync(join(tmpdir(), "oncelog-"));
let engine = await open(directory, { durability: "os" });
await engine.createTopic("events");
let events = engine.partition("events", 0);
await events.append([{ value: "one", timestamp: 1_000 }, { value: "two", timestamp: 2_000 }]);

// Not from the beginning: from the first event of a time.
const from = await events.offsetAt(new Date(1_500));
const { incarnation, lsn, offset } = (await events.read(from)).nextPlace("events", 0);
const kept = `${incarnation} ${lsn} ${offset}`;
await events.append([{ value: "three" }]);
await engine.close();

engine = await open(directory);
events = engine.partition("events", 0);
const [life, frame, next] = kept.split(" ").map(BigInt);
const place = { incarnation: life, lsn: frame, offset: next };
// It would answer Truncated if a crash had taken what was read, for others may have those offsets.
for (const { offset, value } of await events.read(place.offset, { from: place })) console.log(`${offset}: ${value}`);
await engine.close();
rmSync(directory, { recursive: true });
