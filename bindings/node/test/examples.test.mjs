import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { open } from "../dist/index.mjs";
import { directory } from "./helpers.mjs";

const LINES = 500;
const at = (path) => fileURLToPath(new URL(path, import.meta.url));

/** Runs the bank's child to its end, letting it go on whenever it asks; what it said. */
async function bank(...words) {
  const child = spawn(process.execPath, [at("../examples/bank.mjs"), ...words], { stdio: ["pipe", "pipe", "inherit"] });
  const said = [];
  for await (const line of createInterface({ input: child.stdout })) {
    said.push(line);
    if (line.startsWith("half ")) child.stdin.write("go\n");
  }
  if (child.exitCode === null) await once(child, "exit");
  assert.equal(child.exitCode, 0, said.join("\n"));
  return said;
}

for (const delivery of ["exactly-once", "at-least-once", "at-most-once"]) {
  test(`the bank's child loads the lines and works through them, ${delivery}`, async (t) => {
    const path = directory(t);
    const [log, file] = [join(path, "log"), join(path, "lines.csv")];
    const packed = readFileSync(at("../../../core/examples/data/bank-transactions.csv.gz"));
    const text = gunzipSync(packed).toString("latin1");
    writeFileSync(file, text.split("\n").slice(0, LINES).join("\n"), "latin1");
    let engine = await open(log);
    for (const [topic, partitions] of [["transactions", 4], ["ledger", 4], ["transfers", 4], ["transactions.dlt", 1]]) {
      await engine.createTopic(topic, { partitions });
    }
    await engine.close();

    const loaded = await bank(log, delivery, "loader", file);
    assert.deepEqual([loaded[1], loaded.at(-2), loaded.at(-1)], ["ready 0", `committed ${LINES}`, "done"]);
    const worked = await bank(log, delivery, "worker", file);
    assert.deepEqual([worked[1], worked.at(-1)], ["ready 0", "done"]);
    assert.equal((await bank(log, delivery, "worker", file))[1], `ready ${LINES}`, "nothing is left for the next one");

    engine = await open(log);
    const consumer = engine.consumer({ topics: ["ledger", "transactions.dlt"] });
    let results = 0;
    for (let n; (n = (await consumer.poll({ timeoutMs: 0 })).length) > 0; ) results += n;
    assert.equal(results, LINES, "a posting or a dead letter for each line");
    await engine.close();
  });
}
