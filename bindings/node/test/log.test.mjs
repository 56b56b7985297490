import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { closeSync, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { open, OncelogError } from "../dist/index.mjs";
import { code, directory, log, values } from "./helpers.mjs";

test("a record comes back as it was sent, with key, headers and timestamp", async (t) => {
  const { engine } = await log(t, { partitions: 2 });
  const producer = await engine.producer();
  const headers = [{ key: "trace", value: "7f" }, { key: "", value: null }, { key: "trace", value: new Uint8Array(0) }];
  const timestamp = 1_700_000_000_123;
  const sent = await producer.send("t", { key: "k", value: "žluťoučký", headers, timestamp, partition: 1 });
  assert.deepEqual({ ...sent, incarnation: 0n, lsn: 0n }, {
    partition: 1, first: 0n, last: 0n, timestamp: 1_700_000_000_123, duplicate: false, lsn: 0n, incarnation: 0n,
  });
  const records = await engine.partition("t", 1).read(0);
  assert.equal(records.length, 1);
  assert.deepEqual(records.at(0), {
    topic: "t",
    partition: 1,
    offset: 0n,
    timestamp: 1_700_000_000_123,
    key: Buffer.from("k"),
    value: Buffer.from("žluťoučký"),
    headers: [
      { key: "trace", value: Buffer.from("7f") },
      { key: "", value: null },
      { key: "trace", value: Buffer.alloc(0) },
    ],
  });
});

test("null and empty are different things", async (t) => {
  const { engine } = await log(t);
  const producer = await engine.producer();
  await producer.sendMany("t", [{ value: null }, { value: "" }, { value: null, key: "" }, { value: "", key: null }]);
  const found = [...(await engine.partition("t", 0).read(0n))].map(({ key, value }) => [key?.length, value?.length]);
  assert.deepEqual(found, [[undefined, undefined], [undefined, 0], [0, undefined], [undefined, 0]]);
});

test("topics are made, grown, listed and deleted", async (t) => {
  const { engine } = await log(t, { topics: ["b", "a"] });
  await engine.addPartitions("a", 3);
  await engine.createTopic("c", { durability: "disk" });
  const list = engine.topics().map(({ name, partitions, durability }) => [name, partitions, durability]);
  assert.deepEqual(list, [["a", 3, null], ["b", 1, null], ["c", 1, "disk"]]);
  assert.match(engine.topics()[0].id, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  await engine.deleteTopic("b");
  assert.deepEqual(engine.topics().map(({ name }) => name), ["a", "c"]);
  await assert.rejects(engine.createTopic("a"), code("TopicExists"));
  await assert.rejects(engine.deleteTopic("b"), code("UnknownTopicOrPartition"));
  await assert.rejects(engine.createTopic("no/slash"), code("InvalidArgument"));
});

test("a batch is appended to a partition and read from any offset", async (t) => {
  const { engine } = await log(t);
  const partition = engine.partition("t", 0);
  assert.deepEqual([partition.topic, partition.number], ["t", 0]);
  const appended = await partition.append([{ value: "one" }, { value: "two", key: "k" }], { durability: "disk" });
  assert.deepEqual([appended.first, appended.last], [0n, 1n]);
  const records = await partition.read(1n);
  assert.deepEqual([...records].map(({ offset, value }) => [offset, value.toString()]), [[1n, "two"]]);
  assert.equal(records.nextOffset("t", 0), 2n);
  assert.equal(records.nextOffset("t", 1), undefined);
  assert.deepEqual(partition.bounds(), { start: 0n, stable: 2n, end: 2n });
  assert.equal((await partition.read(2n)).length, 0);
  await assert.rejects(partition.read(3n), code("OffsetOutOfRange"));
  await engine.waitDurable(appended.lsn);
});

test("a large batch is appended whole", async (t) => {
  const { engine } = await log(t);
  const partition = engine.partition("t", 0);
  const value = Buffer.alloc(50_000, 1);
  assert.equal((await partition.append(Array(20).fill({ value }))).last, 19n);
  assert.equal((await partition.read(0, { maxBytes: 1 })).length, 20);
});

test("numbers instead of bigints are given out where asked for", async (t) => {
  const { engine } = await log(t);
  const appended = await (await engine.producer()).send("t", { value: "x" });
  const partition = engine.partition("t", 0);
  const records = await partition.read(0, { offsets: "number" });
  const [record] = records;
  assert.deepEqual([record.offset, records.nextOffset("t", 0)], [0, 1]);
  // The choice is the reader's alone, as `Offsets` says.
  assert.deepEqual([appended.first, partition.bounds().end, records.nextPlace("t", 0).offset], [0n, 1n, 1n]);
  assert.ok(Number(appended.first) === record.offset);
});

test("opening tells what it found, metrics what was done, and the log function hears of it", async (t) => {
  const path = directory(t);
  const heard = [];
  const engine = await open(path, { log: (level, message) => heard.push([level, message]) });
  const { loadingMs, foldingMs, ...found } = engine.opening();
  assert.ok(loadingMs >= 0 && foldingMs >= 0);
  assert.deepEqual(found, {
    created: true, incarnation: 1n, framesCopied: 0n, cut: null, damage: [], framesFolded: 0n, bytesFolded: 0n,
  });
  await engine.createTopic("t");
  assert.ok(engine.metrics().flushNanos.count > 0n);
  await engine.close();
  const again = await open(path);
  const reopened = again.opening();
  assert.equal(reopened.incarnation, 2n);
  assert.ok(reopened.loadingMs > 0 && reopened.framesFolded < 10n && reopened.bytesFolded < 10_000n);
  await again.close();
  assert.match(heard[0].join(" "), /^info opened the log/);
});

test("a log that may have lost a decision takes no appends until the loss is accepted", async (t) => {
  const path = directory(t);
  const child = fileURLToPath(new URL("children/killed.mjs", import.meta.url));
  spawnSync(process.execPath, [child, path, "first", "hidden", "last"]);
  const segment = join(path, "00000000000000000001.0.seg");
  const content = readFileSync(segment);
  // 90 bytes before its value lies the number of the frame, which may be anything then, and the frame behind it says
  // that it was durable.
  content[content.indexOf("hidden") - 90] ^= 1;
  writeFileSync(segment, content);
  const hurt = await open(path);
  const { damage } = hurt.opening();
  assert.equal(damage.length, 1);
  assert.deepEqual([damage[0].recordsOnly, damage[0].firstLsn], [false, damage[0].lastLsn]);
  await assert.rejects(hurt.partition("t", 0).append([{ value: "refused" }]), code("Corrupt", /first_lsn=/));
  await assert.rejects(hurt.createTopic("u"), code("Corrupt"));
  assert.equal(`${(await hurt.partition("t", 0).read(0)).at(0).value}`, "first");
  await hurt.close();
  const accepting = await open(path, { acceptLoss: true });
  await accepting.partition("t", 0).append([{ value: "again" }]);
  await accepting.close();
  // Accepted once, it is accepted for good; what is lost is told where it lay.
  const engine = await open(path);
  const partition = engine.partition("t", 0);
  await partition.append([{ value: "later" }]);
  await assert.rejects(values(engine), code("Corrupt", /offsets=1\.\.2/));
  assert.deepEqual([...(await partition.read(2))].map(({ value }) => `${value}`), ["last", "again", "later"]);
  // Before its directory goes, where it makes files.
  await engine.close();
});

test("what rots on the disk is found before somebody reads it", async (t) => {
  const path = directory(t);
  const engine = await open(path);
  await engine.createTopic("t");
  await engine.partition("t", 0).append([{ value: "sound" }]);
  await engine.partition("t", 0).append([{ value: "rotten" }]);
  await engine.flush();
  const whole = await engine.verify();
  assert.ok(whole.segments === 1n && whole.frames > 3n && whole.bytes > 400n);
  assert.deepEqual(whole.damage, []);
  const segment = join(path, "00000000000000000001.0.seg");
  const file = openSync(segment, "r+");
  writeSync(file, "R", readFileSync(segment).indexOf("rotten"));
  closeSync(file);
  const found = await engine.verify();
  const [{ file: name, recordsOnly, firstLsn, lastLsn }] = found.damage;
  assert.deepEqual([name, recordsOnly, firstLsn], ["00000000000000000001.0.seg", true, lastLsn]);
  assert.deepEqual([found.damage.length, found.frames], [1, whole.frames - 1n]);
  await engine.close();
  await assert.rejects(engine.verify(), code("Closed"));
});

test("metrics are numbers of one moment, and a text that ends", async (t) => {
  const { engine } = await log(t);
  await engine.createTopic("counted");
  const producer = await engine.producer();
  await producer.sendMany("counted", [{ value: "a" }, { value: "b" }]);
  const consumer = engine.consumer({ topics: ["counted"], group: 'a "group"' });
  assert.equal((await consumer.poll({ timeoutMs: 500_000 })).length, 2);
  await producer.send("counted", { value: "c" });
  const metrics = engine.metrics();
  assert.ok(metrics.records >= 3n && metrics.appends >= 2n && metrics.bytes > 100n);
  assert.equal(metrics.poisoned, false);
  assert.equal(metrics.groupFrames.counts.length, metrics.groupFrames.bounds.length + 1);
  assert.equal(metrics.groupFrames.counts.reduce((a, b) => a + b), metrics.groupFrames.count);
  assert.ok(metrics.flushNanos.sum > 0n && metrics.segments >= 1n && metrics.diskUsed >= metrics.diskLive);
  const { groupFrames, flushNanos } = metrics;
  const half = groupFrames.quantile(0.5);
  assert.ok(groupFrames.bounds.includes(half) && half <= groupFrames.quantile(1), String(half));
  // The first bucket that holds a value has the least of them.
  assert.equal(flushNanos.quantile(0), flushNanos.bounds[flushNanos.counts.findIndex((count) => count > 0n)]);
  assert.deepEqual([-1, NaN, 2].map((q) => groupFrames.quantile(q)), [0, 0, 1].map((q) => groupFrames.quantile(q)));
  for (const q of [undefined, null, "0.5", 1n, {}, []]) {
    assert.throws(() => groupFrames.quantile(q), code("InvalidArgument"), String(q));
  }
  const lag = { group: 'a "group"', topic: "counted", partition: 0, position: 2n, lag: 1n };
  assert.deepEqual(metrics.lags, [lag]);
  const text = engine.openmetrics();
  assert.ok(text.includes('\noncelog_consumer_lag{group="a \\"group\\"",topic="counted",partition="0"} 1\n'), text);
  assert.ok(text.endsWith("\n# EOF\n"));
});

test("a histogram without values has no quantile", async (t) => {
  const path = directory(t);
  await (await open(path)).close();
  const engine = await open(path, { readOnly: true });
  const { flushNanos } = engine.metrics();
  const { count, sum } = flushNanos;
  assert.deepEqual([count, sum, flushNanos.quantile(0), flushNanos.quantile(1)], [0n, 0n, null, null]);
  await engine.close();
  assert.equal(flushNanos.quantile(0.5), null, "it is a snapshot");
});

test("a second open is locked out and says by whom, and reading is not", async (t) => {
  const { engine, path } = await log(t);
  await assert.rejects(open(path), code("Locked", new RegExp(`pid=${process.pid}`)));
  await engine.close();
  const readers = await Promise.all([open(path, { readOnly: true }), open(path, { readOnly: true })]);
  await assert.rejects(readers[0].createTopic("x"), code("ReadOnly"));
  await assert.rejects(readers[1].producer(), code("ReadOnly"));
  await Promise.all(readers.map((reader) => reader.close()));
});

test("an error says what it is and what can be done", async (t) => {
  const { engine } = await log(t);
  const error = await engine.deleteTopic("nope").catch((error) => error);
  assert.ok(error instanceof OncelogError && error instanceof Error);
  const { name, code: kind, number, retriable, fatal, requiresAbort } = error;
  assert.deepEqual([name, kind, number, retriable, fatal, requiresAbort],
    ["OncelogError", "UnknownTopicOrPartition", 18, false, false, false]);
  assert.equal(error.kafkaCode, 3);
  assert.deepEqual([3, 0, 90, -1, -0x8000].map(OncelogError.fromKafkaCode),
    ["UnknownTopicOrPartition", null, "ProducerFenced", "Internal", "Internal"]);
  for (const wrong of [0x8000, 1.5, 3n, "3", undefined]) {
    assert.throws(() => OncelogError.fromKafkaCode(wrong), code("InvalidArgument"));
  }
  const missing = await open(join(directory(t), "log"), { create: false }).catch((error) => error);
  assert.ok(missing.cause instanceof Error, "the operating system's error is chained");
});

test("everything answers Closed after the close, and closing again does nothing", async (t) => {
  const { engine } = await log(t);
  const producer = await engine.producer();
  const transactional = await engine.transactionalProducer("x");
  const transaction = transactional.beginTransaction();
  const consumer = engine.consumer({ topics: ["t"], group: "g" });
  const partition = engine.partition("t", 0);
  await Promise.all([engine.close(), engine.close()]);
  await engine.close();
  for (const call of [
    () => producer.send("t", { value: "x" }),
    () => producer.sendMany("t", [{ value: "x" }]),
    () => producer.flush(),
    () => consumer.poll(),
    () => consumer.commit(),
    () => partition.read(0),
    () => partition.append([{ value: "x" }]),
    () => transaction.commit(),
    () => engine.createTopic("u"),
    () => engine.producer(),
    () => engine.flush(),
    async () => engine.topics(),
    async () => engine.consumer(),
    async () => transactional.beginTransaction(),
    async () => consumer.seek({ topic: "t", partition: 0 }, 0),
  ]) await assert.rejects(call, code("Closed"), call.toString());
  await producer.close();
  await consumer.close();
});

test("handles are disposed of with await using", async (t) => {
  const path = directory(t);
  const engine = await open(path);
  await engine.createTopic("t");
  const producer = await engine.producer();
  const consumer = engine.consumer({ topics: ["t"] });
  producer.post("t", { value: "kept" });
  for (const handle of [consumer, producer, engine]) await handle[Symbol.asyncDispose]();
  const again = await open(path);
  assert.equal(again.partition("t", 0).bounds().end, 1n);
  await again[Symbol.asyncDispose]();
});

test("a read says where it goes on also where it has nothing to give", async (t) => {
  const { engine } = await log(t);
  const partition = engine.partition("t", 0);
  assert.equal((await partition.read(0)).nextOffset("t", 0), 0n);
  await partition.append([{ value: "a" }, { value: "b" }]);
  for (const [from, next] of [[0, 2n], [1, 2n], [2, 2n]]) {
    const records = await partition.read(from);
    assert.deepEqual([records.nextOffset("t", 0), records.nextOffset("t", 1)], [next, undefined]);
    assert.equal([...records].length, records.length);
  }
});

test("each level is taken by logs, topics, producers and appends, and a clean end keeps all of them", async (t) => {
  const { engine, path } = await log(t, { durability: "memory", topics: [] });
  const levels = ["disk", "os", "memory"];
  for (const durability of levels) {
    await engine.createTopic(durability, { durability });
    const producer = await engine.producer({ durability });
    await producer.send(durability, { value: "sent" });
    for (const level of levels) await engine.partition(durability, 0).append([{ value: level }], { durability: level });
    const transactional = await engine.transactionalProducer(durability, { durability });
    const transaction = transactional.beginTransaction();
    transaction.send(durability, { value: "committed" });
    await transaction.commit();
    assert.deepEqual(await values(engine, durability), ["sent", ...levels, "committed"]);
  }
  assert.deepEqual(engine.topics().map(({ durability }) => durability), [...levels].sort((a, b) => a < b ? -1 : 1));
  await engine.close();
  const again = await open(path);
  for (const topic of levels) assert.deepEqual(await values(again, topic), ["sent", ...levels, "committed"]);
  await again.close();
});
