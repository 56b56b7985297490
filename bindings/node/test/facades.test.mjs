// The package as programs load it that keep modules apart: twice beside one native half, or with globals of its own.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { dirname, sep } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import * as first from "../dist/index.mjs";
import { log, values } from "./helpers.mjs";

const require = createRequire(import.meta.url);
const dist = dirname(fileURLToPath(new URL("../dist/index.js", import.meta.url)));

/** The package once more, beside the native half that is there. */
function again() {
  for (const name of Object.keys(require.cache)) if (name.startsWith(dist + sep)) delete require.cache[name];
  return require("../dist/index.js");
}

test("two facades beside one native half each write their own records, once", { timeout: 60_000 }, async (t) => {
  const second = again();
  assert.notEqual(first.Engine, second.Engine);
  const logs = [];
  for (const by of [first, second]) {
    const { engine } = await log(t, { by });
    logs.push({ engine, producer: await engine.producer(), bulk: await engine.transactionalProducer("bulk") });
  }
  const ways = ["sent", "posted", "committed"];
  for (let round = 0; round < 3; round++) {
    for (const [n, { engine, producer, bulk }] of [...logs.entries()].reverse()) {
      await producer.send("t", { value: `sent ${n}` });
      producer.post("t", { value: `posted ${n}` });
      await producer.flush();
      const transaction = bulk.beginTransaction();
      transaction.send("t", { value: `committed ${n}` });
      await transaction.commit();
      assert.deepEqual((await values(engine)).slice(3 * round), ways.map((way) => `${way} ${n}`));
    }
  }
});
