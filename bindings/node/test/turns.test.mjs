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

for (const [name, way] of Object.entries(WAYS)) {
  test(`while ${name} works a backlog off, timers fire and promises are kept`, async (t) => {
    const from = await backlog(t);
    let ticks = 0;
    let kept = false;
    const timer = setInterval(() => ticks++, 1);
    t.after(() => clearInterval(timer));
    from.producer.send("t", { value: "x" }).then(() => kept = true);
    for await (const read of way(from)) if (read >= COUNT) break;
    // One turn for 4 MiB at the least.
    assert.ok(ticks >= 3, `${ticks} ticks`);
    assert.ok(kept, "the record that was sent is not answered yet");
  });
}

test("a signal that is raised by time stops a reader of a backlog", async (t) => {
  const { engine } = await backlog(t);
  const consumer = engine.consumer({ topics: ["t"] });
  const signal = AbortSignal.timeout(1);
  let read = 0;
  await assert.rejects(async () => {
    while (read < COUNT) read += (await consumer.poll({ signal })).length;
  }, { name: "TimeoutError" });
  // It is heard where the records were not taken yet: nothing is lost.
  assert.equal(await consumer.position({ topic: "t", partition: 0 }), BigInt(read));
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
  let turns = 0;
  const timer = setInterval(() => turns++, 0);
  t.after(() => clearInterval(timer));
  await Promise.all(Array.from({ length: 20 }, () => partition.read(0)));
  assert.ok(turns >= 3, `${turns} turns`);
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
