// A named producer: after a crash it knows where it stood, and what it sends again is refused.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { open } from "oncelog";

const LINES = ["one", "two", "three", "four", "five"];

/** Sends lines up to the given one; the number of a line is its position. Answers how many the log already had. */
async function load(engine, to) {
  const producer = await engine.producer({ name: "loader" });
  console.log(`the log has everything up to position ${producer.position}`);
  const lines = LINES.slice(0, to).map((value, index) => ({ value, position: index + 1 }));
  const answers = await producer.sendMany("lines", lines);
  return [...answers].filter(({ duplicate }) => duplicate).length;
}

const directory = mkdtempSync(join(tmpdir(), "oncelog-"));
let engine = await open(directory);
await engine.createTopic("lines");
await load(engine, 3);
await engine.close();

// Another life, which does not trust the first one and sends everything.
engine = await open(directory);
const duplicates = await load(engine, LINES.length);
const { end } = engine.partition("lines", 0).bounds();
console.log(`${duplicates} lines were refused as duplicates; ${end} are in the log`);
await engine.close();
rmSync(directory, { recursive: true });
