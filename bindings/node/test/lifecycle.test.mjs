import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { open } from "../dist/index.mjs";
import { code, directory, values } from "./helpers.mjs";

const child = (name) => fileURLToPath(new URL(`children/${name}.mjs`, import.meta.url));

/** Runs a program to its end. */
async function run(args, env = {}) {
  const process_ = spawn(process.execPath, args, { env: { ...process.env, ...env }, timeout: 500_000 });
  let [out, err] = ["", ""];
  process_.stdout.on("data", (data) => (out += data));
  process_.stderr.on("data", (data) => (err += data));
  const [status, signal] = await once(process_, "close");
  assert.equal(signal, null, `ended by a signal: ${err}`);
  return { status, out: out.trim(), err };
}

/** What is in the log after its process has ended. */
async function left(dir) {
  const engine = await open(dir);
  const found = await values(engine);
  const { cut, damage } = engine.opening();
  await engine.close();
  assert.deepEqual([cut, damage], [null, []]);
  return found;
}

for (const [way, status, expected] of [
  ["by itself", 0, ["posted"]],
  ["by process.exit", 3, ["posted", "sent"]],
  ["in a callback", 4, ["sent"]],
  ["by an unhandled rejection", 1, []],
  ["by an exception", 1, ["sent"]],
  ["after a poll", 0, ["polled"]],
  ["while closing", 5, []],
  ["while opening", 6, []],
  ["with listeners that send", 8, ["posted", "sent", "many", "committed", "appended", "last"]],
]) {
  test(`a process that ends ${way} loses nothing that was sent and does not hang`, async (t) => {
    const dir = directory(t);
    const ended = await run([child("ends"), dir, way]);
    assert.equal(ended.status, status, ended.err);
    if (way === "after a poll") assert.equal(ended.out, "polled 1");
    assert.deepEqual(await left(dir), expected);
  });
}

for (const [what, how] of [
  ["records that wait for room", "are written before the process ends"],
  ["promises that wait for room", "have their records written before the process ends"],
  ["appends that wait for room", "are made before the process ends, however many they are"],
  ["a commit that waits for room", "is made before the process ends"],
  ["a transaction that waits for room", "goes with the process unless it commits"],
]) {
  test(`${what} ${how}`, async (t) => {
    const dir = directory(t);
    const ended = await run([child("ends"), dir, `with ${what}`]);
    assert.equal(ended.status, 7, ended.err);
    assert.equal((await left(dir)).length, Number(ended.out));
  });
}

test("an idle log does not hold the process, and a poll that waits does", async (t) => {
  const dir = directory(t);
  const { href } = new URL("../dist/index.mjs", import.meta.url);
  const program = (end) => `import("${href}").then(async ({ open }) => {
    const engine = await open(${JSON.stringify(dir)});
    await engine.createTopic("t").catch(() => {});
    globalThis.kept = [engine, await engine.producer(), engine.consumer({ topics: ["t"] })];
    ${end}
  })`;
  assert.equal((await run(["-e", program("")])).status, 0);
  const polls = "await kept[2].poll({ timeoutMs: 30 }); console.log('waited');";
  assert.equal((await run(["-e", program(polls)])).out, "waited");
});

test("a worker that is terminated in the middle of everything leaves a whole log, again and again", async (t) => {
  const dir = directory(t);
  for (let round = 0; round < 12; round++) {
    const worker = new Worker(child("worker"), { workerData: { dir, exits: round % 3 === 2 } });
    const ended = once(worker, "exit");
    const [message] = await Promise.race([once(worker, "message"), ended]);
    assert.ok(message === "busy" || message === 0, message);
    if (round % 3 === 0) await worker.terminate();
    if (round % 3 === 1) setTimeout(() => worker.terminate(), round);
    await ended;
  }
  const found = await left(dir);
  assert.ok(found.length > 0);
  assert.ok(found.every((value) => ["sent", "posted", "committed"].includes(value)));
});

test("a worker that ends while thousands of searches wait harms nothing, and leaves its log to others", async (t) => {
  const dir = directory(t);
  const rounds = 6;
  for (let round = 0; round < rounds; round++) {
    const exits = round % 2 === 1;
    const worker = new Worker(child("searches"), { workerData: { dir, exits } });
    const ended = once(worker, "exit");
    if (!exits) {
      assert.deepEqual(await once(worker, "message"), ["asked"]);
      await worker.terminate();
    }
    await ended;
  }
  assert.equal((await left(dir)).length, 5000 * rounds);
});

for (const exits of [false, true]) {
  const ends = exits
    ? "that calls process.exit writes what waits for room"
    : "that is terminated leaves what has gone in";
  test(`a worker ${ends}, in order, and harms nothing`, async (t) => {
    for (let round = 0; round < 5; round++) {
      const dir = directory(t);
      const worker = new Worker(child("waiting"), { workerData: { dir, exits } });
      const ended = once(worker, "exit");
      if (!exits) {
        assert.deepEqual(await once(worker, "message"), ["waiting"]);
        await new Promise((resolve) => setTimeout(resolve, 3 * round));
        await worker.terminate();
      }
      const [status] = await ended;
      const engine = await open(dir);
      const numbers = (await values(engine)).map((value) => parseInt(value));
      const counts = [0, 1, 2].map((number) => Number(engine.partition("t", number).bounds().stable));
      const { cut, damage } = engine.opening();
      await engine.close();
      assert.deepEqual([cut, damage], [null, []]);
      // What is left is that of the one transaction that was to commit: all of it, or nothing.
      const rows = [...counts.map((count) => numbers.splice(0, count)), numbers];
      for (const row of rows) assert.deepEqual(row, Array.from(row.keys()));
      assert.ok([0, 3000].includes(numbers.length), `${numbers.length} records of the transaction`);
      if (exits) assert.deepEqual(rows.map(({ length }) => length), [status, 3000, 500, 3000]);
    }
  });
}

test("a worker terminated before it has finished loading or opening does no harm", async (t) => {
  const dir = directory(t);
  for (let round = 0; round < 10; round++) {
    const worker = new Worker(child("worker"), { workerData: { dir } });
    await new Promise((resolve) => setTimeout(resolve, 4 * round));
    await worker.terminate();
  }
  for (;;) {
    // An open that was under way may hold the log for a moment more.
    try {
      await left(dir);
      break;
    } catch (error) {
      if (error.code === "UnknownTopicOrPartition" || error instanceof TypeError) break;
      if (error.code !== "Locked") throw error;
      await new Promise(setImmediate);
    }
  }
});

test("workers have environments of their own, and so has the main thread", async (t) => {
  const workers = await Promise.all([0, 1, 2].map(async () => {
    const worker = new Worker(child("worker"), { workerData: { dir: directory(t) } });
    await once(worker, "message");
    return worker;
  }));
  const engine = await open(directory(t));
  await engine.createTopic("t");
  const producer = await engine.producer();
  const sends = Array.from({ length: 50 }, () => producer.send("t", { value: "main" }));
  await Promise.all([...sends, ...workers.map((worker) => worker.terminate())]);
  await producer.send("t", { value: "still here" });
  await engine.close();
});

test("handles that are forgotten in any order are collected, and the log with them", async (t) => {
  const dir = directory(t);
  const { status, out, err } = await run(["--expose-gc", child("collected"), dir]);
  assert.equal(status, 0, err);
  assert.deepEqual(JSON.parse(out), [60, 20, 20, 0]);
});

test("a consumer that waited in vain is collected and keeps nothing of its waits; one that waits stays", async (t) => {
  const { status, out, err } = await run(["--expose-gc", child("idle"), directory(t)]);
  assert.equal(status, 0, err);
  assert.equal(out, "woken, small, collected");
});

test("what an engine says is heard as long as any handle of it is held", async (t) => {
  const { status, out, err } = await run(["--expose-gc", child("heard"), directory(t)]);
  assert.equal(status, 0, err);
  assert.equal(out, "heard");
});

// A pipe that nobody writes keeps the one thread busy.
const pipes = { skip: process.platform === "win32" };

test("nothing waits on libuv's threads", pipes, async (t) => {
  const { status, out, err } = await run([child("pool"), directory(t)], { UV_THREADPOOL_SIZE: "1" });
  assert.equal(status, 0, err);
  assert.equal(out, "done while the pool was stuck");
});

test("another process is locked out until this one has closed", async (t) => {
  const dir = directory(t);
  const engine = await open(dir);
  const locked = await run([child("ends"), dir, "by itself"]);
  assert.equal(locked.status, 1);
  assert.match(locked.err, /Locked/);
  await engine.close();
  assert.equal((await run([child("ends"), dir, "by itself"])).status, 0);
});

test("what is called in a callback works, and what is thrown there harms nothing", async (t) => {
  const engine = await open(directory(t));
  await engine.createTopic("t");
  const producer = await engine.producer();
  const nested = producer.send("t", { value: "1" }).then(() => producer.send("t", { value: "2" }));
  const thrown = producer.send("t", { value: "3" }).then(() => {
    throw new Error("mine");
  });
  await assert.rejects(thrown, /mine/);
  assert.equal((await nested).duplicate, false);
  await producer.send("t", { value: "4" }).then(() => engine.close());
  await assert.rejects(producer.send("t", { value: "5" }), code("Closed"));
});
