import assert from "node:assert/strict";
import { test } from "node:test";
import { open } from "../dist/index.mjs";
import { native } from "../dist/native.js";
import { bytes, code, log, values } from "./helpers.mjs";

const range = (n) => Array.from({ length: n }, (_, i) => i);

test("what is sent together goes down together and in order", async (t) => {
  const { engine } = await log(t);
  const producer = await engine.producer();
  const sent = await Promise.all(range(1000).map((i) => producer.send("t", { value: `${i}` })));
  assert.deepEqual(sent.map(({ first }) => Number(first)), range(1000));
  assert.equal(sent[0].lsn, sent[999].lsn > sent[0].lsn ? sent[0].lsn : sent[999].lsn);
  assert.ok(new Set(sent.map(({ lsn }) => lsn)).size <= 4, "a few batches, not one each");
  assert.deepEqual(await values(engine), range(1000).map(String));
});

test("posts, sends and sends of many keep their order", async (t) => {
  const { engine } = await log(t);
  const producer = await engine.producer();
  const promises = [];
  for (let i = 0; i < 300; i += 3) {
    producer.post("t", { value: `${i}` });
    promises.push(producer.send("t", { value: `${i + 1}` }));
    promises.push(producer.sendMany("t", [{ value: `${i + 2}` }]));
  }
  await Promise.all(promises);
  await producer.flush();
  assert.deepEqual(await values(engine), range(300).map(String));
});

test("more than the engine takes at once waits in order, and post says so", async (t) => {
  // What crosses at once is as much as a segment holds: the next one is never there in time, however fast the disk is.
  const { engine } = await log(t, { segmentBytes: 64 << 10 });
  const producer = await engine.producer();
  const padding = "x".repeat(1000);
  let waited = 0;
  for (let i = 0; i < 10_000; i++) {
    if (!producer.post("t", { value: `${i} ${padding}` })) {
      waited++;
      await producer.drained();
    }
  }
  await producer.flush();
  assert.ok(waited > 0, "10 MB went through segments of 64 KiB without any waiting");
  const found = await values(engine);
  assert.equal(found.length, 10_000);
  assert.ok(found.every((value, i) => value.startsWith(`${i} `)));
});

test("what nobody waits for is bounded: a post beyond is refused and can be repeated", async (t) => {
  // Each record takes a segment that is made for it, which takes a turn of the loop.
  const { engine } = await log(t, { segmentBytes: 64 << 10 });
  const producer = await engine.producer();
  const value = Buffer.alloc(500_000);
  let posted = 0;
  const flood = () => {
    for (; posted < 10_000; posted++) producer.post("t", { value });
  };
  assert.throws(flood, code("Busy"));
  await assert.rejects(producer.send("t", { value }), code("Busy"));
  await assert.rejects(producer.sendMany("t", [{ value }]), code("Busy"));
  await producer.drained();
  await producer.send("t", { value: "last" });
  assert.equal(engine.partition("t", 0).bounds().end, BigInt(posted + 1));
});

test("of what waited a MiB crosses in a turn of the loop, however much room there is", async (t) => {
  const { engine } = await log(t);
  const producer = await engine.producer({ compression: "zstd" });
  const { cross, crossOwn } = native;
  t.after(() => Object.assign(native, { cross, crossOwn }));
  // No room at all, and then as much as the engine has.
  Object.assign(native, { cross: () => 0, crossOwn: () => 0 });
  const posted = 16_000;
  for (let n = 0; n < posted; n++) producer.post("t", { value: Buffer.alloc(1_000) });
  const crossed = [];
  let turn = 0;
  native.crossOwn = crossOwn;
  native.cross = (...args) => {
    const bytes = cross(...args);
    crossed[turn] = (crossed[turn] ?? 0) + bytes;
    return bytes;
  };
  let drained = false;
  void producer.drained().then(() => drained = true);
  for (; !drained; turn++) await new Promise(setImmediate);
  const most = Math.max(...crossed.filter(Boolean));
  assert.ok(most < (1 << 20) + (128 << 10), `${most} bytes in one turn`);
  await producer.flush();
  assert.equal(engine.partition("t", 0).bounds().end, BigInt(posted));
});

test("many records of one call cross in pieces and are answered one by one", async (t) => {
  const { engine } = await log(t, { partitions: 3 });
  const producer = await engine.producer();
  const records = range(20_000).map((i) => ({ key: `${i % 10}`, value: `${i} ${"y".repeat(100)}` }));
  const answers = await producer.sendMany("t", records);
  assert.equal(answers.length, 20_000);
  const all = [...answers];
  assert.equal(new Set(all.map(({ partition, first }) => `${partition} ${first}`)).size, 20_000);
  assert.deepEqual(all.map((_, index) => answers.at(index)), all);
  assert.deepEqual([answers.at(-1), answers.at(-20_000)], [all[19_999], all[0]]);
  assert.deepEqual([20_000, -20_001, 0.5, NaN, undefined].map((index) => answers.at(index)), Array(5).fill(undefined));
  assert.equal((await values(engine)).length, 20_000);
  assert.deepEqual([...(await producer.sendMany("t", []))], []);
  assert.equal((await producer.sendMany("t", new Set([{ value: "any iterable" }]))).length, 1);
});

test("a refused record of many leaves those before it and drops those behind it", async (t) => {
  const { engine } = await log(t);
  const producer = await engine.producer();
  const many = range(10).map((i) => ({ value: `${i}`, partition: i === 4 ? 9 : 0 }));
  await assert.rejects(producer.sendMany("t", many), code("UnknownTopicOrPartition"));
  await producer.send("t", { value: "after" });
  assert.deepEqual(await values(engine), ["0", "1", "2", "3", "after"]);
});

test("a refusal in one piece of many drops all pieces behind it", async (t) => {
  const { engine } = await log(t);
  const producer = await engine.producer();
  const many = range(20_000).map((i) => ({ value: `${i} ${"z".repeat(100)}`, partition: i === 100 ? 9 : 0 }));
  await assert.rejects(producer.sendMany("t", many), code("UnknownTopicOrPartition"));
  assert.equal((await producer.sendMany("t", [{ value: "next" }])).length, 1);
  assert.equal((await values(engine)).length, 101);
});

test("a record of many that cannot be taken leaves all of them unsent", async (t) => {
  const { engine } = await log(t);
  const producer = await engine.producer();
  const many = range(20_000).map((i) => ({ value: i === 19_999 ? undefined : "v".repeat(100) }));
  await assert.rejects(producer.sendMany("t", many), code("InvalidArgument"));
  await producer.flush();
  assert.deepEqual(await values(engine), []);
});

test("a refused post is told by the next post, by flush, drained and close, once each", async (t) => {
  const { engine } = await log(t);
  const producer = await engine.producer();
  const refused = () => producer.post("nope", { value: "x" });
  refused();
  await assert.rejects(producer.flush(), code("UnknownTopicOrPartition", /posted/));
  await producer.flush();
  refused();
  while (true) {
    await new Promise(setImmediate);
    try {
      producer.post("t", { value: "told" });
    } catch (error) {
      assert.equal(error.code, "UnknownTopicOrPartition");
      break;
    }
  }
  refused();
  await assert.rejects(producer.close(), code("UnknownTopicOrPartition"));
  await assert.rejects(producer.send("t", { value: "x" }), code("Closed"));
  assert.throws(() => producer.post("t", { value: "x" }), code("Closed"));
  assert.ok((await values(engine)).every((value) => value === "told"));
});

test("posts behind the engine's close are told by the producer's close, and those before it are kept", async (t) => {
  for (const turns of [0, 5]) {
    const { engine, path } = await log(t);
    const [producer, silent] = [await engine.producer(), await engine.producer()];
    producer.post("t", { value: "kept" });
    silent.post("t", { value: "kept" });
    await engine.close();
    await silent.close();
    producer.post("t", { value: "too late" });
    for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate);
    await assert.rejects(producer.close(), code("Closed", /posted/));
    const again = await open(path);
    assert.deepEqual(await values(again), ["kept", "kept"]);
    await again.close();
  }
});

test("posts while the engine closes are in the log, or told by the producer's close", async (t) => {
  const gathers = { lingerMs: 3_600_000, batchBytes: 1_000_000 };
  let told = 0;
  for (let round = 0; round < 20; round++) {
    const { engine, path } = await log(t, { topics: ["t", "u"] });
    const producer = await engine.producer(gathers);
    // What takes the close a while, behind its look at the first producer.
    for (let n = 0; n < 30; n++) {
      const other = await engine.producer(gathers);
      for (let m = 0; m < 9; m++) other.post("u", { value: Buffer.alloc(90_000) });
      await new Promise(setImmediate);
    }
    const closes = engine.close();
    const ends = performance.now() + round / 2;
    let [posted, refusal] = [0, undefined];
    const tell = (error) => (refusal = error);
    do {
      try {
        producer.post("t", { value: "x" });
      } catch (error) {
        tell(error);
      }
      if (++posted % 50 === 0) await new Promise(setImmediate);
      else await null;
    } while (performance.now() < ends);
    await closes;
    await producer.close().catch(tell);
    const again = await open(path);
    const kept = Number(again.partition("t", 0).bounds().end);
    await again.close();
    if (kept < posted) code("Closed", /posted/)(refusal ?? new Error(`round ${round}: nobody was told`));
    told += kept < posted;
  }
  t.diagnostic(`${told} of 20 closes refused posts`);
});

/** A producer whose batch is refused once it is closed: its topic went meanwhile. */
async function doomed(t, options = {}, record = { value: "x" }) {
  const { engine } = await log(t, { topics: ["t", "u"] });
  const producer = await engine.producer({ lingerMs: 3_600_000, ...options });
  producer.post("u", record);
  await producer.drained();
  await engine.deleteTopic("u");
  return { engine, producer };
}

test("a named producer that was refused tells so when it is closed", async (t) => {
  for (const alone of [true, false]) {
    const { engine, producer } = await doomed(t, { name: "n" }, { value: "A", position: 1 });
    if (!alone) {
      // This closes the batch and tells nobody of it.
      await engine.flush();
      producer.post("t", { value: "B", position: 2 });
    }
    await assert.rejects(producer.close(), code("Closed", /an earlier send/));
    assert.deepEqual(await values(engine), []);
  }
});

test("a post on a refused producer that closes does not close the engine", async (t) => {
  const { engine, producer } = await doomed(t, { name: "n" }, { value: "A", position: 1 });
  const closes = producer.close();
  const refused = assert.rejects(closes, code("Closed", /an earlier send/));
  // The flush is made, and is not answered: that takes a turn of the loop.
  for (let n = 0; n < 20; n++) await null;
  assert.throws(() => producer.post("t", { value: "B", position: 2 }), code("Closed", /this producer/));
  await closes.catch(() => {});
  assert.deepEqual(engine.topics().map(({ name }) => name), ["t"]);
  await refused;
});

test("a refused post of which its flush did not tell is told by the close, also behind the engine's", async (t) => {
  for (const closed of [false, true]) {
    const { engine, producer } = await doomed(t);
    producer.post("nope", { value: "x" });
    await assert.rejects(producer.flush(), code("UnknownTopicOrPartition", /^the partition is gone/));
    if (closed) await engine.close();
    await assert.rejects(producer.close(), code("UnknownTopicOrPartition", /posted.*"nope"/));
  }
});

test("a post that a flush under way did not take is told by the close behind the engine's", async (t) => {
  for (const turns of [0, 1, 2, 3]) {
    const { engine } = await log(t, { topics: ["u"] });
    const producer = await engine.producer({ lingerMs: 3_600_000 });
    const flushes = producer.flush();
    for (let n = 0; n < turns; n++) await null;
    producer.post("u", { value: "x" });
    await flushes;
    await engine.deleteTopic("u");
    await engine.close();
    const told = code("UnknownTopicOrPartition", /posted.*the partition is gone/);
    await assert.rejects(producer.close(), told, `${turns} turns behind the flush`);
  }
});

test("a refused send leaves the others of its task", async (t) => {
  const { engine } = await log(t);
  const producer = await engine.producer();
  const answers = await Promise.allSettled([
    producer.send("t", { value: "a" }),
    producer.send("nope", { value: "b" }),
    producer.send("t", { value: "c", partition: 7 }),
    producer.send("t", { value: "d", position: 3 }),
    producer.send("t", { value: "e" }),
  ]);
  assert.deepEqual(answers.map(({ value, reason }) => value?.first ?? reason.code),
    [0n, "UnknownTopicOrPartition", "UnknownTopicOrPartition", "InvalidArgument", 1n]);
});

test("memory may be used again as soon as the call returns", async (t) => {
  const { engine } = await log(t);
  const producer = await engine.producer();
  const shared = Buffer.from("first");
  const promises = [producer.send("t", { value: shared, key: shared })];
  shared.write("other");
  promises.push(producer.sendMany("t", [{ value: shared }]));
  shared.fill(0);
  await Promise.all(promises);
  assert.deepEqual(await values(engine), ["first", "other"]);
});

test("records of every size come back whole", async (t) => {
  const { engine } = await log(t);
  const producer = await engine.producer();
  const sizes = [0, 1, 7, 8, 9, 65_000, 65_536, 70_000, 262_144, 1_000_000];
  const sent = [...sizes.map((size) => producer.send("t", { value: bytes(size) })),
    producer.sendMany("t", sizes.map((size) => ({ value: bytes(size), key: bytes(size % 1000) })))];
  await Promise.all(sent);
  await assert.rejects(producer.send("t", { value: bytes(1_100_000) }), code("RecordTooLarge"));
  await assert.rejects(producer.send("t", { value: Buffer.alloc(80 << 20) }), code("RecordTooLarge"));
  const consumer = engine.consumer({ topics: ["t"] });
  const found = [];
  while (found.length < 2 * sizes.length) for (const record of await consumer.poll()) found.push(record);
  found.forEach(({ value }, i) => assert.ok(value.equals(bytes(sizes[i % sizes.length])), `record ${i}`));
});

test("text of every kind comes back as UTF-8", async (t) => {
  const { engine } = await log(t);
  const producer = await engine.producer();
  const long = [`${"x".repeat(25)}ž`, "long ".repeat(30_000)];
  const texts = ["", "a", "short ascii", "čtyři", "🙂", "\u0000zero", ...long];
  await producer.sendMany("t", texts.map((value) => ({ value, key: value.slice(0, 30) })));
  await Promise.all(texts.map((value) => producer.send("t", { value })));
  assert.deepEqual(await values(engine), [...texts, ...texts]);
  await producer.send("t", { value: "half \ud800 a pair" });
  assert.equal((await values(engine)).at(-1), "half \ufffd a pair");
});

test("a named producer goes on where it stood and refuses what it has", async (t) => {
  const { engine } = await log(t);
  const first = await engine.producer({ name: "loader" });
  assert.equal(first.position, null);
  await first.sendMany("t", range(10).map((i) => ({ value: `${i}`, position: i + 1 })));
  assert.equal(first.position, 10n);
  const second = await engine.producer({ name: "loader" });
  assert.equal(second.position, 10n);
  assert.equal((await second.send("t", { value: "9", position: 10n })).duplicate, true);
  const again = await second.sendMany("t", range(10).map((i) => ({ value: `${i}`, position: i + 1 })));
  assert.deepEqual([again.length, [...again].every(({ duplicate }) => duplicate)], [10, true]);
  const large = 2n ** 64n - 1n;
  assert.equal((await second.send("t", { value: "10", position: large })).duplicate, false);
  assert.equal(second.position, large);
  await assert.rejects(first.send("t", { value: "late", position: 11 }), code("ProducerFenced"));
  await assert.rejects(second.send("t", { value: "no position" }), code("InvalidArgument"));
  await engine.deleteProducer("loader");
  assert.deepEqual(await values(engine), range(11).map(String));
});

test("positions between 2^32 and 2^53 are taken as numbers", async (t) => {
  const { engine } = await log(t);
  const producer = await engine.producer({ name: "n" });
  for (const position of [2 ** 31, 2 ** 32, 2 ** 40 + 5, Number.MAX_SAFE_INTEGER]) {
    await producer.send("t", { value: "x", position });
    assert.equal(producer.position, BigInt(position));
  }
});

test("a signal stops the waiting and not the write", async (t) => {
  const { engine } = await log(t);
  const producer = await engine.producer();
  const stopped = AbortSignal.abort(new Error("before"));
  await assert.rejects(producer.send("t", { value: "never" }, { signal: stopped }), /before/);
  await assert.rejects(producer.sendMany("t", [{ value: "never" }], { signal: stopped }), /before/);
  const controller = new AbortController();
  const sent = producer.send("t", { value: "written" }, { signal: controller.signal });
  controller.abort();
  await assert.rejects(sent, { name: "AbortError" });
  const kept = await producer.send("t", { value: "kept" }, { signal: new AbortController().signal });
  assert.equal(kept.first, 1n);
  assert.deepEqual(await values(engine), ["written", "kept"]);
});

test("a getter that sends while its record is sent runs once and disturbs nothing", async (t) => {
  const { engine } = await log(t);
  const producer = await engine.producer();
  const big = "b".repeat(40_000);
  const inner = [];
  const record = { get value() { inner.push(producer.send("t", { value: `in ${big}` })); return `out ${big}`; } };
  await producer.send("t", record);
  const many = [{ get value() { inner.push(producer.sendMany("t", [{ value: "nested" }])); return "outer"; } }];
  await producer.sendMany("t", many);
  await Promise.all(inner);
  assert.deepEqual((await values(engine)).map((value) => value.split(" ")[0]), ["in", "out", "nested", "outer"]);
});

test("a post and a send that are refused together each hear of their own", async (t) => {
  const { engine } = await log(t, { topics: [] });
  const producers = await Promise.all([engine.producer(), engine.producer(), engine.producer()]);
  for (const producer of producers) producer.post("posted", { value: "x" });
  const sends = producers.map((producer) => producer.send("sent", { value: "x" }));
  for (const send of sends) await assert.rejects(send, code("UnknownTopicOrPartition", /"sent"/));
  for (const producer of producers) {
    await assert.rejects(producer.flush(), code("UnknownTopicOrPartition", /"posted"/));
  }
});
