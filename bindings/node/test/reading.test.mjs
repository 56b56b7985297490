import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { open } from "../dist/index.mjs";
import { bytes, code, directory, log, values } from "./helpers.mjs";

test("records are found by their time", async (t) => {
  const { engine } = await log(t);
  const partition = engine.partition("t", 0);
  assert.deepEqual([await partition.offsetAt(0), await partition.maxTimestamp()], [null, null]);
  const producer = await engine.producer();
  for (const timestamp of [1_000, 3_000, 2_000, 3_000]) await producer.send("t", { value: "x", timestamp });
  const found = await Promise.all([0, 1_000, 1_001, new Date(2_500), 3_000].map((time) => partition.offsetAt(time)));
  assert.deepEqual(found, [0n, 0n, 1n, 1n, 1n]);
  assert.equal(await partition.offsetAt(3_001), null);
  assert.deepEqual(await partition.maxTimestamp(), { offset: 1n, timestamp: 3_000 });
  for (const time of [undefined, null, -1, 0.5, NaN, "1000", 1000n, new Date(NaN), 2 ** 60]) {
    await assert.rejects(partition.offsetAt(time), code("InvalidArgument"), String(time));
  }
  await engine.close();
  await assert.rejects(partition.offsetAt(0), code("Closed"));
  await assert.rejects(partition.maxTimestamp(), code("Closed"));
});

test("a search by time runs beside JavaScript, and is heard in a turn of the loop", async (t) => {
  const { engine } = await log(t);
  const partition = engine.partition("t", 0);
  await partition.append([{ value: "x", timestamp: 1_000 }]);
  const asked = [partition.offsetAt(0), partition.maxTimestamp()];
  let told = 0;
  for (const answer of asked) void answer.then(() => told++);
  for (let task = 0; task < 100; task++) await undefined;
  assert.equal(told, 0, "answered without a turn, so by JavaScript's thread");
  assert.deepEqual(await Promise.all(asked), [0n, { offset: 0n, timestamp: 1_000 }]);
});

/** A partition of which a search decodes much, and thousands of searches in it. */
async function searched(t, count) {
  const { engine } = await log(t);
  const partition = engine.partition("t", 0);
  const records = Array.from({ length: 5000 }, (_, n) => ({ value: Buffer.alloc(100, n), timestamp: n }));
  await partition.append(records, { compression: "zstd" });
  const ask = (n) => (n % 2 === 0 ? partition.offsetAt(4_999) : partition.maxTimestamp());
  return { engine, asked: (look = () => {}) => Array.from({ length: count }, (_, n) => (look(n), ask(n))) };
}

/** Threads of this process that search by time. */
function searching() {
  return readdirSync("/proc/self/task").filter((task) => {
    try {
      return readFileSync(`/proc/self/task/${task}/comm`, "utf8") === "oncelog-time\n";
    } catch {
      return false;
    }
  }).length;
}

const linux = { skip: process.platform !== "linux" };
test("thousands of searches by time at once share a few threads, which go when nobody asks", linux, async (t) => {
  const { asked } = await searched(t, 4_000);
  let most = 0;
  const answers = asked((n) => n % 100 === 0 && (most = Math.max(most, searching())));
  most = Math.max(most, searching());
  assert.ok(most > 0 && most <= 4, `${most} threads`);
  const found = await Promise.all(answers);
  assert.deepEqual([found[0], found.at(-1)], [4_999n, { offset: 4_999n, timestamp: 4_999 }]);
  assert.ok(found.every((one, n) => (n % 2 === 0 ? one === 4_999n : one.offset === 4_999n)));
  while (searching() > 0) await new Promise(setImmediate);
});

test("searches that wait when their log is closed are all answered", async (t) => {
  const { engine, asked } = await searched(t, 2_000);
  const answers = Promise.allSettled(asked());
  await engine.close();
  const refused = (await answers).filter(({ status }) => status === "rejected");
  assert.ok(refused.length > 0, "none was left when the log was closed");
  for (const { reason } of refused) code("Closed")(reason);
});

test("times count below the stable offset, or below the end for who reads what is undecided", async (t) => {
  const { engine } = await log(t);
  const partition = engine.partition("t", 0);
  const transactional = await engine.transactionalProducer("x", { transactionBuffer: 0 });
  const transaction = transactional.beginTransaction();
  transaction.send("t", { value: "x", timestamp: 5_000 });
  await engine.flush();
  assert.deepEqual([await partition.offsetAt(0), await partition.maxTimestamp()], [null, null]);
  const dirty = { isolation: "read_uncommitted" };
  assert.equal(await partition.offsetAt(0, dirty), 0n);
  assert.deepEqual(await partition.maxTimestamp(dirty), { offset: 0n, timestamp: 5_000 });
  for (const isolation of ["dirty", 1, null]) {
    await assert.rejects(partition.offsetAt(0, { isolation }), code("InvalidArgument"), String(isolation));
    await assert.rejects(partition.maxTimestamp({ isolation }), code("InvalidArgument"), String(isolation));
  }
  await transaction.commit();
  const found = [await partition.offsetAt(0), await partition.maxTimestamp()];
  assert.deepEqual(found, [0n, { offset: 0n, timestamp: 5_000 }]);
});

test("records say how many bytes were read for them", async (t) => {
  const { engine } = await log(t);
  const partition = engine.partition("t", 0);
  assert.equal((await partition.read(0)).bytes, 0);
  const value = Buffer.alloc(10_000, 7);
  await partition.append(Array(10).fill({ value }));
  const whole = await partition.read(0);
  assert.ok(whole.bytes > 100_000 && whole.bytes < 101_000, String(whole.bytes));
  // What is not shown of a batch was read all the same.
  assert.deepEqual([(await partition.read(9)).length, (await partition.read(9)).bytes], [1, whole.bytes]);
  await partition.append(Array(10).fill({ value }), { compression: "zstd" });
  const packed = await partition.read(10);
  assert.equal(packed.length, 10);
  assert.ok(packed.bytes > 0 && packed.bytes < 10_000, String(packed.bytes));
});

test("a topic may give records the time of their append", async (t) => {
  const { engine } = await log(t, { topics: [] });
  await engine.createTopic("sent", { timestampType: "create" });
  await engine.createTopic("appended", { timestampType: "append", partitions: 2 });
  const types = engine.topics().map(({ name, timestampType, partitions }) => [name, timestampType, partitions]);
  assert.deepEqual(types, [["appended", "append", 2], ["sent", "create", 1]]);
  const producer = await engine.producer();
  for (const [topic, own] of [["sent", true], ["appended", false]]) {
    const { timestamp } = await producer.send(topic, { value: "x", timestamp: 5, partition: 0 });
    assert.equal(timestamp === 5, own);
    assert.ok(own || timestamp > 1_600_000_000_000, String(timestamp));
    assert.equal((await engine.partition(topic, 0).read(0)).at(0).timestamp, timestamp);
  }
});

test("batches of every codec come back as they were sent, and are smaller", async (t) => {
  const { engine } = await log(t, { topics: [] });
  const value = "compress me ".repeat(50);
  const records = Array(100).fill({ value });
  const written = {};
  for (const compression of ["none", "gzip", "snappy", "lz4", "zstd"]) {
    await engine.createTopic(compression);
    const before = engine.metrics().bytes;
    await (await engine.producer({ compression })).sendMany(compression, records);
    await engine.partition(compression, 0).append(records, { compression });
    const transaction = (await engine.transactionalProducer(compression, { compression })).beginTransaction();
    transaction.sendMany(compression, records);
    await transaction.commit();
    written[compression] = Number(engine.metrics().bytes - before);
    assert.deepEqual(await values(engine, compression), Array(300).fill(value));
  }
  const { none, ...packed } = written;
  for (const [codec, size] of Object.entries(packed)) assert.ok(size < none / 3, `${codec}: ${size} of ${none}`);
  for (const compression of ["zip", 1, null, "NONE"]) {
    await assert.rejects(engine.producer({ compression }), code("InvalidArgument"));
    await assert.rejects(engine.transactionalProducer("x", { compression }), code("InvalidArgument"));
  }
});

test("readers of a log that shows what is durable see nothing before its flush", async (t) => {
  for (const visibility of ["level", "durable"]) {
    const { engine } = await log(t, { visibility, flushIntervalMs: 3_600_000 });
    const partition = engine.partition("t", 0);
    await partition.append([{ value: "x" }]);
    const shown = partition.bounds().end;
    assert.equal(shown, visibility === "level" ? 1n : 0n);
    await engine.flush();
    assert.deepEqual([partition.bounds().end, await values(engine)], [1n, ["x"]]);
  }
});

test("a reader goes on from a place, in the same life and in the next", async (t) => {
  const { engine, path } = await log(t, { partitions: 2 });
  const producer = await engine.producer();
  const records = ["a", "b", "c"].map((value) => ({ value, partition: 0 }));
  const sent = [...(await producer.sendMany("t", records))];
  const partition = engine.partition("t", 0);
  const empty = (await partition.read(0, { maxBytes: 1 })).nextPlace("t", 1);
  assert.equal(empty, undefined);
  const place = (await partition.read(0)).nextPlace("t", 0);
  assert.equal(place.offset, 3n);
  assert.equal(place.incarnation, sent[2].incarnation);
  assert.ok(place.lsn >= sent[2].lsn);
  const consumer = engine.consumer({ topics: ["t"], maxRecords: 2 });
  const polled = (await consumer.poll()).nextPlace("t", 0);
  assert.equal(polled.offset, 2n);
  const rest = await partition.read(polled.offset, { from: polled, offsets: "number" });
  assert.deepEqual([...rest].map(({ offset }) => offset), [2]);
  assert.deepEqual(rest.nextPlace("t", 0), place);

  await producer.send("t", { value: "d", partition: 0 });
  await engine.close();
  const again = await open(path);
  const kept = JSON.parse(JSON.stringify(place, (_, value) => typeof value === "bigint" ? Number(value) : value));
  const more = await again.partition("t", 0).read(3, { from: kept });
  assert.deepEqual([...more].map(({ value }) => `${value}`), ["d"]);
  assert.equal(more.nextPlace("t", 0).incarnation, 2n);
  await again.close();
});

test("a place is taken as it is answered, and read from its own offset", async (t) => {
  const { engine } = await log(t);
  const partition = engine.partition("t", 0);
  await partition.append([{ value: "x" }]);
  const place = (await partition.read(0)).nextPlace("t", 0);
  for (const from of [null, 1, "x", {}, { ...place, lsn: -1 }, { ...place, incarnation: "1" },
    { ...place, offset: undefined }, { ...place, lsn: 2n ** 64n }]) {
    await assert.rejects(partition.read(1, { from }), code("InvalidArgument"));
  }
  await assert.rejects(partition.read(0, { from: place }), code("InvalidArgument", /own offset/));
  await assert.rejects(partition.read(1, { from: { ...place, incarnation: 99 } }), code("Truncated"));
});

test("a reader whose records a crash took is told so, and never reads others in their place", async (t) => {
  const dir = directory(t);
  const child = fileURLToPath(new URL("children/cut.mjs", import.meta.url));
  const { stdout, stderr, signal } = spawnSync(process.execPath, [child, dir], { encoding: "utf8" });
  // Windows ends a process, but knows no signal that did.
  assert.equal(signal, process.platform === "win32" ? null : "SIGKILL", stderr);
  const [safe, lost] = JSON.parse(stdout);
  // What the disk had not got when the power went.
  for (const name of readdirSync(dir)) {
    const content = readFileSync(join(dir, name));
    const found = content.indexOf("lost with the power");
    if (found < 0) continue;
    content[found] ^= 1;
    writeFileSync(join(dir, name), content);
  }
  const engine = await open(dir);
  const { cut, framesFolded, bytesFolded, foldingMs } = engine.opening();
  assert.notEqual(cut, null);
  assert.ok(framesFolded > 0n && bytesFolded > framesFolded && foldingMs > 0);
  const partition = engine.partition("t", 0);
  await partition.append([{ value: "another in its place" }, { value: "more" }]);
  await assert.rejects(partition.read(lost.offset, { from: lost }), code("Truncated"));
  const records = await partition.read(safe.offset, { from: safe });
  assert.deepEqual([...records].map(({ value }) => `${value}`), ["another in its place", "more"]);
  await engine.close();
});

test("a poll of many batches and partitions says of each where it goes on", async (t) => {
  const { engine } = await log(t, { partitions: 3 });
  const producer = await engine.producer({ batchBytes: 0 });
  const sent = await Promise.all(Array.from({ length: 30 }, (_, i) => {
    return producer.send("t", { value: bytes(50), partition: i % 3 });
  }));
  const records = await engine.consumer({ topics: ["t"] }).poll();
  assert.equal(records.length, 30);
  for (let number = 0; number < 3; number++) {
    const { lsn } = sent.findLast(({ partition }) => partition === number);
    const place = records.nextPlace("t", number);
    assert.deepEqual(place, { incarnation: 1n, lsn, offset: 10n });
    const more = await engine.partition("t", number).read(10, { from: place });
    assert.deepEqual([more.length, more.nextOffset("t", number)], [0, 10n]);
  }
});
