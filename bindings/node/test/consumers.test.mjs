import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import v8 from "node:v8";
import vm from "node:vm";
import { open } from "../dist/index.mjs";
import { code, log } from "./helpers.mjs";

const at = { topic: "t", partition: 0 };

/** A log with some records, each its own offset as text. */
async function filled(t, count, options) {
  const { engine, path } = await log(t, options);
  const producer = await engine.producer();
  await producer.sendMany("t", Array.from({ length: count }, (_, i) => ({ value: `${i}` })));
  return { engine, path, producer };
}

test("a poll gives what is there, moves the position and commits it", async (t) => {
  const { engine } = await filled(t, 100);
  const consumer = engine.consumer({ topics: ["t"], group: "g" });
  assert.equal(await consumer.committed(at), null);
  assert.equal(await consumer.lag(at), 100n);
  const records = await consumer.poll();
  assert.equal(records.length, 100);
  assert.equal(records.at(99).value.toString(), "99");
  assert.equal(`${records.at(-1).value} ${records.at(-100).value}`, "99 0");
  assert.deepEqual([100, -101, 0.5, NaN, undefined].map((index) => records.at(index)), Array(5).fill(undefined));
  assert.deepEqual(consumer.positions(), [{ ...at, offset: 100n }]);
  await consumer.commit();
  assert.equal(await consumer.committed(at), 100n);
  assert.equal(await consumer.lag(at), 0n);
  assert.deepEqual(consumer.bounds(at), { start: 0n, stable: 100n, end: 100n });
  assert.deepEqual(consumer.groupMetadata(), { group: "g" });
});

test("what was stored beside an offset comes back", async (t) => {
  const { engine } = await filled(t, 3, { partitions: 2 });
  const consumer = engine.consumer({ group: "g" });
  const stored = { ...at, offset: 1n, metadata: "page 3", leaderEpoch: 7 };
  const both = [at, { ...at, partition: 1 }];
  assert.deepEqual(await consumer.committedOffsets(both), []);
  await consumer.commitOffsets([stored]);
  assert.deepEqual(await consumer.committedOffsets(both), [stored]);
  assert.deepEqual(await consumer.committedOffsets([]), []);
  await consumer.commitOffsets([{ ...both[1], offset: 2 }, ...(await consumer.committedOffsets(both))]);
  const numbers = engine.consumer({ group: "g", offsets: "number" });
  const bare = { ...both[1], offset: 2, metadata: "", leaderEpoch: -1 };
  assert.deepEqual(await numbers.committedOffsets(new Set(both)), [{ ...stored, offset: 1 }, bare]);
  await assert.rejects(consumer.committedOffsets([{ ...at, partition: 2 }]), code("UnknownTopicOrPartition"));
  await assert.rejects(consumer.committedOffsets(at), code("InvalidArgument"));
  await assert.rejects(engine.consumer().committedOffsets([at]), code("InvalidArgument"));
});

test("records name where each of their partitions goes on", async (t) => {
  const { engine } = await log(t, { topics: ["a", "b"], partitions: 2 });
  const producer = await engine.producer();
  const consumer = engine.consumer({ topics: ["a", "b"], offsets: "number", group: "g" });
  const none = await consumer.poll({ timeoutMs: 0 });
  assert.deepEqual([none.nextOffsets(), none.bytes], [[], 0]);
  for (const [topic, partition, count] of [["a", 1, 3], ["b", 0, 2], ["b", 1, 1]]) {
    await producer.sendMany(topic, Array(count).fill({ value: "x", partition }));
  }
  const records = await consumer.poll();
  const byName = (all) => all.sort((a, b) => (`${a.topic}${a.partition}` < `${b.topic}${b.partition}` ? -1 : 1));
  const expected = [
    { topic: "a", partition: 1, offset: 3 }, { topic: "b", partition: 0, offset: 2 },
    { topic: "b", partition: 1, offset: 1 },
  ];
  assert.deepEqual(byName(records.nextOffsets()), expected);
  assert.deepEqual(byName(consumer.positions()).filter(({ offset }) => offset > 0), expected);
  for (const { topic, partition, offset } of expected) assert.equal(records.nextOffset(topic, partition), offset);
  // They can be committed as they are.
  await consumer.commit(records.nextOffsets());
  assert.equal(await consumer.committed({ topic: "a", partition: 1 }), 3);
  // An empty read names the offset that was asked for.
  assert.deepEqual((await engine.partition("a", 1).read(3)).nextOffsets(), [{ topic: "a", partition: 1, offset: 3n }]);
});

test("every record of many partitions is found at its place", async (t) => {
  const { engine, producer } = await filled(t, 0, { partitions: 40 });
  // Every third partition has none.
  const counts = Array.from({ length: 40 }, (_, partition) => (partition % 3 === 0 ? 0 : partition));
  const many = counts.flatMap((count, partition) => Array(count).fill({ value: `${partition}`, partition }));
  await producer.sendMany("t", many);
  const records = await engine.consumer({ topics: ["t"] }).poll();
  const all = [...records];
  assert.equal(all.length, many.length);
  assert.deepEqual(all.map((_, index) => records.at(index)), all);
  assert.deepEqual(all.map((_, index) => records.at(index - all.length)), all);
});

test("a poll waits for the first record, for the time given, or for the signal", async (t) => {
  const { engine, producer } = await filled(t, 0);
  const consumer = engine.consumer({ topics: ["t"] });
  assert.equal((await consumer.poll({ timeoutMs: 0 })).length, 0);
  assert.equal((await consumer.poll({ timeoutMs: 5 })).length, 0);
  const controller = new AbortController();
  const stopped = consumer.poll({ signal: controller.signal });
  controller.abort();
  await assert.rejects(stopped, { name: "AbortError" });
  await assert.rejects(consumer.poll({ signal: AbortSignal.abort() }), { name: "AbortError" });
  const waiting = consumer.poll();
  await assert.rejects(consumer.poll(), code("Busy"));
  await producer.send("t", { value: "woken" });
  assert.equal((await waiting).at(0).value.toString(), "woken");
});

test("a poll whose time is infinite waits as one without a time", async (t) => {
  const { engine } = await log(t);
  const consumer = engine.consumer({ topics: ["t"] });
  const waits = consumer.poll({ timeoutMs: Infinity });
  await (await engine.producer()).send("t", { value: "x" });
  assert.equal((await waits).length, 1);
});

test("polls that time out leave nothing behind and the next one is woken", async (t) => {
  const { engine, producer } = await filled(t, 0);
  const consumer = engine.consumer({ topics: ["t"] });
  for (let i = 0; i < 200; i++) await consumer.poll({ timeoutMs: 0.01 });
  for (let i = 0; i < 50; i++) {
    const waiting = consumer.poll();
    await producer.send("t", { value: `${i}` });
    assert.equal((await waiting).at(0).value.toString(), `${i}`);
  }
});

test("for await gives every record once, over breaks and commits in the middle", async (t) => {
  const { engine, path } = await filled(t, 1000);
  const consumer = engine.consumer({ topics: ["t"], group: "g" });
  const seen = [];
  const read = async (count) => {
    for await (const { value } of consumer) {
      seen.push(Number(value));
      if (--count === 0) break;
    }
  };
  await read(10);
  assert.equal(await consumer.position(at), 10n);
  assert.equal(await consumer.lag(at), 990n);
  for await (const { value } of consumer) {
    seen.push(Number(value));
    if (seen.length % 100 === 0) {
      await consumer.commit();
      assert.equal(await consumer.committed(at), BigInt(seen.length), "no more is committed than was given");
      assert.equal(await consumer.position(at), BigInt(seen.length));
      assert.equal(await consumer.lag(at), BigInt(1000 - seen.length));
      assert.deepEqual(consumer.positions(), [{ ...at, offset: BigInt(seen.length) }]);
    }
    if (seen.length === 500) break;
  }
  const polled = await consumer.poll();
  for (const { value } of polled) seen.push(Number(value));
  assert.deepEqual(seen, Array.from({ length: 1000 }, (_, i) => i));
  assert.ok(path);
});

test("who asks for several records at once is given them in order or refused, and loses none", async (t) => {
  const { engine } = await filled(t, 5);
  const consumer = engine.consumer({ topics: ["t"] });
  const given = consumer[Symbol.asyncIterator]();
  const seen = [];
  for (let asked = 0; seen.length < 5 && asked < 1000; asked++) {
    const answers = await Promise.allSettled([given.next(), given.next(), consumer.poll({ timeoutMs: 0 })]);
    for (const { value, reason } of answers) {
      if (reason !== undefined) code("Busy")(reason);
      else if (Symbol.iterator in value) seen.push(...value);
      else seen.push(value.value);
    }
    assert.equal(await consumer.position(at), BigInt(seen.length));
  }
  assert.deepEqual(seen.map(({ offset }) => offset), [0n, 1n, 2n, 3n, 4n]);
});

test("a body that throws gives the rest back", async (t) => {
  const { engine } = await filled(t, 10);
  const consumer = engine.consumer({ topics: ["t"] });
  await assert.rejects(async () => {
    for await (const { offset } of consumer) if (offset === 3n) throw new Error("mine");
  }, /mine/);
  assert.equal((await consumer.poll()).at(0).offset, 4n);
});

test("seek, rewind and assign in the middle of for await count at once", async (t) => {
  const { engine } = await filled(t, 10, { topics: ["t", "u"] });
  const consumer = engine.consumer({ topics: ["t"], group: "g" });
  const seen = [];
  for await (const { offset } of consumer) {
    seen.push(Number(offset));
    if (seen.length === 2) consumer.seek(at, 8);
    if (seen.length === 4) break;
  }
  assert.deepEqual(seen, [0, 1, 8, 9]);
  consumer.seek(at, 5n);
  await consumer.commit();
  for await (const { offset } of consumer) {
    seen.push(Number(offset));
    if (seen.length === 6) consumer.rewind();
    if (seen.length === 7) consumer.assign([at, { topic: "u", partition: 0 }]);
    if (seen.length === 8) break;
  }
  assert.deepEqual(seen.slice(4), [5, 6, 5, 6]);
});

test("several partitions are read in turn and all of them are committed right", async (t) => {
  const { engine, producer } = await filled(t, 0, { partitions: 4 });
  const records = Array.from({ length: 400 }, (_, i) => ({ value: `${i}`, partition: i % 4 }));
  await producer.sendMany("t", records);
  const consumer = engine.consumer({ topics: ["t"], group: "g" });
  const seen = new Set();
  for await (const { value, partition } of consumer) {
    seen.add(`${partition} ${value}`);
    if (seen.size === 150) await consumer.commit();
    if (seen.size === 151) break;
  }
  const committed = await Promise.all([0, 1, 2, 3].map((partition) => consumer.committed({ ...at, partition })));
  assert.equal(committed.reduce((sum, offset) => sum + (offset ?? 0n), 0n), 150n);
  for await (const { value, partition } of consumer) if (seen.add(`${partition} ${value}`).size === 400) break;
  assert.equal(consumer.positions().length, 4);
});

test("offsets are numbers where asked for, in and out", async (t) => {
  const { engine } = await filled(t, 3);
  const consumer = engine.consumer({ topics: [at], group: "g", offsets: "number" });
  for await (const { offset } of consumer) if (offset === 1) break;
  assert.equal(await consumer.position(at), 2);
  await consumer.commit([{ ...at, offset: 1, metadata: "note" }]);
  assert.equal(await consumer.committed(at), 1);
  assert.equal(await consumer.lag(at), 1);
  assert.deepEqual(consumer.bounds(at), { start: 0, stable: 3, end: 3 });
  assert.equal((await consumer.poll()).nextOffset("t", 0), 3);
});

test("start rules say where to begin", async (t) => {
  const { engine, producer } = await filled(t, 5);
  const latest = engine.consumer({ topics: ["t"], start: "latest" });
  const none = engine.consumer({ topics: ["t"], start: "none" });
  assert.equal((await latest.poll({ timeoutMs: 0 })).length, 0);
  await producer.send("t", { value: "5" });
  assert.equal((await latest.poll()).at(0).offset, 5n);
  await assert.rejects(none.poll(), code("OffsetOutOfRange"));
  none.seek(at, 2);
  assert.equal((await none.poll()).at(0).offset, 2n);
});

test("closing ends for await and a poll that waits", async (t) => {
  const { engine } = await filled(t, 1);
  const consumer = engine.consumer({ topics: ["t"] });
  let seen = 0;
  for await (const record of consumer) {
    assert.ok(record);
    seen++;
    setImmediate(() => consumer.close());
  }
  assert.equal(seen, 1);
  await assert.rejects(consumer.position(at), code("Closed"));
  const other = engine.consumer({ topics: ["t"], start: "latest" });
  const waiting = other.poll();
  await other.close();
  await assert.rejects(waiting, code("Closed"));
});

test("the engine's close ends a poll that waits", async (t) => {
  const { engine } = await filled(t, 0);
  const consumer = engine.consumer({ topics: ["t"] });
  const waiting = assert.rejects(consumer.poll(), code("Closed"));
  await engine.close();
  await waiting;
});

test("a poll gives no more than it is allowed", async (t) => {
  const { engine } = await filled(t, 1000);
  const few = engine.consumer({ topics: ["t"], maxRecords: 7 });
  assert.equal((await few.poll()).length, 7);
  assert.equal((await few.poll()).at(0).offset, 7n);
});

test("a poll gives 128 MiB at the most, whatever it is allowed, and the next one goes on", async (t) => {
  const { engine } = await log(t, { partitions: 6 });
  const producer = await engine.producer({ compression: "zstd" });
  const value = Buffer.alloc(1_000_000);
  for (let n = 0; n < 6 * 34; n += 6) {
    await producer.sendMany("t", Array.from({ length: 6 }, (_, partition) => ({ value, partition })));
  }
  const consumer = engine.consumer({ topics: ["t"], maxBytes: 2 ** 33 });
  const counts = [];
  for (let left = 6 * 34; left > 0; left -= counts.at(-1)) counts.push((await consumer.poll({ timeoutMs: 0 })).length);
  assert.ok(counts.every((count) => count > 0 && count <= 136), `${counts}`);
});

test("buffers of a poll share one piece of memory, and outlive everything else", async (t) => {
  const { engine } = await filled(t, 100);
  let records = await engine.consumer({ topics: ["t"] }).poll();
  const kept = [...records].map(({ value }) => value);
  assert.equal(new Set(kept.map(({ buffer }) => buffer)).size, 1);
  records = undefined;
  // As `postMessage` does.
  assert.equal(structuredClone(kept[0]).buffer.byteLength, kept[0].buffer.byteLength);
  await engine.close();
  globalThis.gc?.();
  assert.deepEqual(kept.map(String), Array.from({ length: 100 }, (_, i) => `${i}`));
});

test("records whose memory was transferred away are not shown as empty ones, and are read again", async (t) => {
  v8.setFlagsFromString("--harmony-rab-gsab-transfer");
  const transfer = vm.runInNewContext("(memory) => ArrayBuffer.prototype.transfer.call(memory)");
  const { engine } = await filled(t, 3);
  const consumer = engine.consumer({ topics: ["t"] });
  const gone = code("InvalidState", /transferred/);
  await assert.rejects(async () => {
    for await (const { value } of consumer) transfer(value.buffer);
  }, gone);
  assert.deepEqual(Array.from(await consumer.poll(), ({ value }) => `${value}`), ["1", "2"]);
  const records = await engine.partition("t", 0).read(0);
  transfer(records.at(0).value.buffer);
  assert.throws(() => records.at(1), gone);
  assert.throws(() => [...records], gone);
});

test("a group goes on where it committed, with another consumer and in another life", async (t) => {
  const { engine } = await filled(t, 10);
  const first = engine.consumer({ topics: ["t"], group: "g" });
  for await (const { offset } of first) if (offset === 3n) break;
  await first.commit();
  await first.close();
  const second = engine.consumer({ topics: ["t"], group: "g" });
  assert.equal((await second.poll()).at(0).offset, 4n);
});

test("offsets of the group are committed by their own call, or by commit", async (t) => {
  const { engine } = await filled(t, 10);
  const consumer = engine.consumer({ topics: ["t"], group: "g" });
  await consumer.commitOffsets([{ ...at, offset: 3 }]);
  assert.equal(await consumer.committed(at), 3n);
  await consumer.commit([{ ...at, offset: 5n }], { signal: new AbortController().signal });
  assert.equal(await consumer.committed(at), 5n);
  await assert.rejects(consumer.commitOffsets(), code("InvalidArgument"));
  await assert.rejects(consumer.commitOffsets([], { signal: AbortSignal.abort() }), { name: "AbortError" });
  assert.equal(await consumer.position(at), 5n, "the first look settles the position");
});

test("a poll that ends in damage says where it goes on, as the consumer does", async (t) => {
  const { engine, path, producer } = await filled(t, 3);
  await producer.send("t", { value: "to be damaged" });
  await engine.close();
  for (const name of readdirSync(path)) {
    const bytes = readFileSync(join(path, name));
    const found = bytes.indexOf("to be damaged");
    if (found < 0) continue;
    bytes[found] ^= 1;
    writeFileSync(join(path, name), bytes);
  }
  const again = await open(path);
  const consumer = again.consumer({ topics: ["t"], group: "g" });
  const records = await consumer.poll();
  assert.throws(() => [...records], code("Corrupt"));
  assert.deepEqual([records.length, records.nextOffset("t", 0), await consumer.position(at)], [3, 4n, 4n]);
  assert.equal((await again.partition("t", 0).read(3)).nextOffset("t", 0), 4n);
  consumer.seek(at, 0);
  const seen = [];
  await assert.rejects(async () => {
    for await (const { offset } of consumer) seen.push(offset);
  }, code("Corrupt"));
  assert.deepEqual([seen, await consumer.position(at)], [[0n, 1n, 2n], 4n]);
  // Before its directory goes, where it makes files.
  await again.close();
});
