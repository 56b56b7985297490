// The package as programs load it that keep modules apart: twice beside one native half, or with globals of its own.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, sep } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import vm from "node:vm";
import * as first from "../dist/index.mjs";
import { code, directory, log, values } from "./helpers.mjs";

const require = createRequire(import.meta.url);
const dist = dirname(fileURLToPath(new URL("../dist/index.js", import.meta.url)));

/** The package once more, beside the native half that is there. */
function again() {
  for (const name of Object.keys(require.cache)) if (name.startsWith(dist + sep)) delete require.cache[name];
  return require("../dist/index.js");
}

/** The package with globals of its own, as a test runner loads it: all but the native half and Node's modules. */
function isolated() {
  const timers = { clearInterval, clearTimeout, queueMicrotask, setImmediate, setInterval, setTimeout };
  const context = vm.createContext({ AbortController, Buffer, performance, process, ...timers });
  const loaded = new Map();
  const load = (name) => {
    const path = join(dist, name);
    if (loaded.has(path)) return loaded.get(path).exports;
    const module = { exports: {} };
    loaded.set(path, module);
    const near = (wanted) => (wanted.startsWith("./") ? load(wanted) : require(wanted));
    const parameters = ["require", "module", "exports", "__dirname"];
    const options = { filename: path, parsingContext: context };
    vm.compileFunction(readFileSync(path, "utf8"), parameters, options)(near, module, module.exports, dist);
    return module.exports;
  };
  return load("index.js");
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

test("in a realm of its own the package works, and every error is its own", async (t) => {
  const by = isolated();
  const { engine, path } = await log(t, { by });
  const mine = (name) => (error) => {
    assert.ok(error instanceof by.OncelogError, `${error}`);
    return code(name)(error);
  };
  const producer = await engine.producer();
  await producer.sendMany("t", [{ value: "1" }, { value: new Uint8Array(1) }, { value: Buffer.from("3"), key: "k" }]);
  await assert.rejects(producer.send("nope", { value: "x" }), mine("UnknownTopicOrPartition"));
  assert.throws(() => engine.partition("nope", 0), mine("UnknownTopicOrPartition"));
  await assert.rejects(by.open(path), mine("Locked"));
  await assert.rejects(by.open(join(directory(t), "none", "deep"), { create: false }), (error) => {
    assert.equal(typeof error.cause?.message, "string", "the cause comes over");
    return true;
  });
  assert.deepEqual(await values(engine), ["1", "\0", "3"]);
  const seen = [];
  for await (const { value } of engine.consumer({ topics: ["t"] })) if (seen.push(`${value}`) === 3) break;
  assert.deepEqual(seen, ["1", "\0", "3"]);
});
