import assert from "node:assert/strict";
import { test } from "node:test";
import { log } from "./helpers.mjs";

const COUNT = 200_000;

/** A log with some 20 MB of small records. */
async function backlog(t) {
  const { engine } = await log(t, { durability: "memory" });
  const producer = await engine.producer();
  const records = Array(1000).fill({ value: Buffer.alloc(100, 1) });
  for (let sent = 0; sent < COUNT; sent += records.length) await producer.sendMany("t", records);
  return { engine, producer, partition: engine.partition("t", 0) };
}

/** The ways to read a backlog; each tells how many records it has read so far. */
const WAYS = {
  async *poll({ engine }) {
    const consumer = engine.consumer({ topics: ["t"], maxBytes: 100_000 });
    for (let read = 0; ; yield read) read += (await consumer.poll()).length;
  },
  async *"for await"({ engine }) {
    let read = 0;
    for await (const _ of engine.consumer({ topics: ["t"] })) if (++read % 100 === 0) yield read;
  },
  async *read({ partition }) {
    for (let at = 0n; ; yield Number(at)) at = (await partition.read(at)).nextOffset("t", 0);
  },
};

/** Counts turns of the event loop, to the end of the test. */
function turns(t) {
  const seen = { count: 0, ends: false };
  const turn = () => {
    seen.count++;
    if (!seen.ends) setImmediate(turn);
  };
  setImmediate(turn);
  t.after(() => seen.ends = true);
  return seen;
}

/** However fast it is read, and however late the system is with a timer: a backlog is read so often at the most. */
const PASSES = 20;

for (const [name, way] of Object.entries(WAYS)) {
  test(`while ${name} works a backlog off, timers fire and promises are kept`, async (t) => {
    const from = await backlog(t);
    const seen = turns(t);
    let [fired, kept] = [false, false];
    setTimeout(() => fired = true, 1);
    from.producer.send("t", { value: "x" }).then(() => kept = true);
    let passes = 0;
    do for await (const read of way(from)) if (read >= COUNT) break;
    while (++passes < PASSES && !(fired && kept));
    assert.deepEqual({ fired, kept }, { fired: true, kept: true });
    // One turn for 4 MiB at the least.
    assert.ok(seen.count >= 3 * passes, `${seen.count} turns in ${passes} passes`);
  });
}

test("a signal that is raised by time stops a reader of a backlog", async (t) => {
  const { engine } = await backlog(t);
  const consumer = engine.consumer({ topics: ["t"] });
  const at = { topic: "t", partition: 0 };
  const signal = AbortSignal.timeout(1);
  let read = 0;
  await assert.rejects(async () => {
    for (let passes = 0; passes < PASSES; passes++) {
      consumer.seek(at, read = 0);
      while (read < COUNT) read += (await consumer.poll({ signal })).length;
    }
  }, { name: "TimeoutError" });
  // It is heard where the records were not taken yet: nothing is lost.
  assert.equal(await consumer.position(at), BigInt(read));
});

test("polls and reads that find nothing let the loop turn as well", async (t) => {
  const { engine } = await log(t);
  const consumer = engine.consumer({ topics: ["t"] });
  for (const look of [() => consumer.poll({ timeoutMs: 0 }), () => engine.partition("t", 0).read(0)]) {
    let fired = false;
    setTimeout(() => fired = true, 1);
    for (let looks = 0; !fired; looks++) {
      await look();
      assert.ok(looks < 1_000_000, "no timer has fired");
    }
  }
});

test("many reads at once take turns, too", async (t) => {
  const { partition } = await backlog(t);
  const seen = turns(t);
  await Promise.all(Array.from({ length: 20 }, () => partition.read(0)));
  assert.ok(seen.count >= 3, `${seen.count} turns`);
});

test("the memory of what was read goes back while a backlog is read", async (t) => {
  const { engine } = await log(t, { durability: "memory" });
  const producer = await engine.producer();
  const value = Buffer.alloc(900_000, 1);
  for (let i = 0; i < 16; i++) await producer.send("t", { value });
  const consumer = engine.consumer({ topics: ["t"] });
  const partition = engine.partition("t", 0);
  const poll = async () => {
    const records = await consumer.poll({ timeoutMs: 0 });
    if (records.length === 0) consumer.seek({ topic: "t", partition: 0 }, 0);
    return records;
  };
  let at = 0n;
  const read = async () => {
    const records = await partition.read(at % 16n);
    at = records.nextOffset("t", 0);
    return records;
  };
  for (const next of [poll, read]) {
    const before = process.memoryUsage.rss();
    let peak = 0;
    for (let bytes = 0; bytes < 2e9; peak = Math.max(peak, process.memoryUsage.rss() - before)) {
      for (const { value } of await next()) bytes += value.length;
    }
    assert.ok(peak < 600e6, `${next.name}: ${peak} bytes`);
  }
});
