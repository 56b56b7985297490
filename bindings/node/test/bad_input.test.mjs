import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";
import vm from "node:vm";
import { limits, OncelogError, open } from "../dist/index.mjs";
import { code, directory, log, values } from "./helpers.mjs";

const invalid = code("InvalidArgument");
const junk = [undefined, null, 1, NaN, true, Symbol("s"), {}, [], () => {}, 1n];
const notText = junk;

test("what is no path and no option opens nothing", async (t) => {
  for (const dir of [...notText, "zero\0byte"]) await assert.rejects(open(dir), invalid);
  const path = directory(t);
  for (const options of [null, 1, "x", { durability: "none" }, { durability: 1 }, { segmentBytes: -1 },
    { segmentBytes: NaN }, { segmentBytes: "64" }, { segmentBytes: 1 }, { segmentBytes: Infinity }, { readOnly: 1 },
    { create: "no" }, { mappings: null }, { acceptLoss: 0 }, { flushIntervalMs: -5 }, { log: "console" },
    { visibility: "all" }, { visibility: 1 }, { keepRawTransactions: 1 }, { transactionMemory: -1 },
    { transactionMemory: "1" }, { transactionMemory: 0.5 }, { segmentBytes: 65_536.5 },
    { transactionTimeoutMaxMs: NaN }, { transactionTimeoutMaxMs: -1 }]) {
    await assert.rejects(open(path, options), invalid, JSON.stringify(options));
  }
  await assert.rejects(open(`${path}/missing`, { create: false }), (error) => error.name === "OncelogError");
});

test("topics take names and numbers only", async (t) => {
  const { engine } = await log(t);
  for (const name of notText) {
    await assert.rejects(engine.createTopic(name), invalid);
    await assert.rejects(engine.deleteTopic(name), invalid);
    await assert.rejects(engine.addPartitions(name, 2), invalid);
    await assert.rejects(engine.deleteProducer(name), invalid);
    await assert.rejects(engine.transactionalProducer(name), invalid);
    assert.throws(() => engine.partition(name, 0), invalid);
  }
  for (const partitions of [null, 0, -1, 1.5, NaN, Infinity, "3", 2 ** 32, 3n]) {
    await assert.rejects(engine.createTopic("x", { partitions }), invalid, String(partitions));
  }
  await assert.rejects(engine.createTopic("x", { partitions: 100_001 }), code("LimitExceeded"));
  for (const durability of [1, "none", {}]) await assert.rejects(engine.createTopic("x", { durability }), invalid);
  for (const timestampType of [1, "none", {}, "CreateTime"]) {
    await assert.rejects(engine.createTopic("x", { timestampType }), invalid);
  }
  for (const number of [-1, 1.5, NaN, "0", 2 ** 32]) assert.throws(() => engine.partition("t", number), invalid);
  assert.throws(() => engine.partition("t", 1), code("UnknownTopicOrPartition"));
  for (const lsn of [-1, 1.5, NaN, "1", 2 ** 53, 2n ** 64n, 2n ** 70n, -1n]) {
    await assert.rejects(engine.waitDurable(lsn), invalid);
  }
  await assert.rejects(engine.waitDurable(1_000_000), invalid);
});

test("what is as long as a limit is taken, and what is longer is not", async (t) => {
  const { engine, path } = await log(t);
  const long = "n".repeat(limits.topicNameMax);
  await engine.createTopic(long);
  await assert.rejects(engine.createTopic(`${long}n`), invalid);
  await engine.producer({ name: "n".repeat(limits.nameMax) });
  await assert.rejects(engine.producer({ name: "n".repeat(limits.nameMax + 1) }), invalid);
  const consumer = engine.consumer({ topics: ["t"], group: "g" });
  const at = { topic: "t", partition: 0, offset: limits.offsetMax };
  assert.throws(() => consumer.seek(at, limits.offsetMax + 1n), code("OffsetOutOfRange"));
  await consumer.commit([{ ...at, metadata: "ž".repeat(limits.offsetMetadataMax) }]);
  const tooLong = [{ ...at, metadata: "ž".repeat(limits.offsetMetadataMax + 1) }];
  await assert.rejects(consumer.commit(tooLong), (error) => error.name === "OncelogError");
  await engine.transactionalProducer("x", { transactionBuffer: limits.transactionBufferMax });
  const buffer = { transactionBuffer: limits.transactionBufferMax + 1 };
  await assert.rejects(engine.transactionalProducer("y", buffer), invalid);
  for (const segmentBytes of [limits.segmentMin - 1, limits.segmentOptionMax + 1]) {
    await assert.rejects(open(`${path}-none`, { segmentBytes }), invalid);
  }
});

test("producers and consumers take options of the right kind only", async (t) => {
  const { engine } = await log(t);
  for (const options of [null, 1, { name: 1 }, { batchBytes: -1 }, { batchBytes: 1.5 },
    { batchBytes: null }, { batchBytes: 2 ** 40 }, { lingerMs: "5" }, { durability: "none" },
    { name: "" }, { name: "x".repeat(2000) }]) {
    await assert.rejects(engine.producer(options), invalid, JSON.stringify(options));
  }
  for (const options of [null, 1, { durability: "none" }, { transactionBuffer: -1 }, { transactionBuffer: 2 ** 30 },
    { transactionBuffer: 0.5 }, { transactionBuffer: "1" }, { transactionTimeoutMs: 0 }, { transactionTimeoutMs: -1 },
    { transactionTimeoutMs: "1" }, { transactionTimeoutMs: 900_001 }]) {
    await assert.rejects(engine.transactionalProducer("x", options), invalid, JSON.stringify(options));
  }
  for (const options of [null, 1, { maxBytes: -1 }, { maxBytes: "1" }, { isolation: "x" }, { isolation: 1 },
    { offsets: "float" }, { offsets: 5n }, { offsets: null }, { maxBytes: 0.5 }, { maxBytes: null }]) {
    await assert.rejects(engine.partition("t", 0).read(0, options), invalid, inspect(options));
  }
  for (const options of [null, 1, { topics: "t" }, { topics: [1] }, { topics: [{}] }, { group: 1 }, { group: "" },
    { isolation: "x" }, { start: "middle" }, { offsets: "float" }, { maxRecords: 0 }, { maxBytes: -1 },
    { topics: [] }, { topics: ["t", "t"] }, { maxRecords: NaN }, { maxRecords: 1.5 }, { maxBytes: 1.5 },
    { topics: null }, { group: null }, { start: null }, { maxRecords: null }]) {
    assert.throws(() => engine.consumer(options), invalid, JSON.stringify(options));
  }
  assert.throws(() => engine.consumer({ topics: ["nope"] }), code("UnknownTopicOrPartition"));
});

/** Views that lie outside of their memory since that was made smaller. */
function shrunk() {
  const memory = new ArrayBuffer(16, { maxByteLength: 32 });
  const views = [new Uint8Array(memory, 8, 8), new DataView(memory, 8, 8), new Uint16Array(memory, 4)];
  memory.resize(2);
  return views;
}

/** Things that no record can be. */
function badRecords() {
  const gone = new Uint8Array(8);
  structuredClone(gone, { transfer: [gone.buffer] });
  const goneBuffer = new ArrayBuffer(8);
  structuredClone(goneBuffer, { transfer: [goneBuffer] });
  return [
    ...[undefined, null, 1, "text", Symbol("s")],
    ...[{}, { value: undefined }, { value: 1 }, { value: {} }, { value: [1, 2] }, { value: true }, { value: 1n }],
    ...[{ value: gone }, { value: new DataView(new ArrayBuffer(1)), key: gone }, { value: goneBuffer }],
    ...shrunk().map((value) => ({ value })),
    // What says that it is bytes and is none.
    ...[new Proxy(new Uint8Array(1), {}), Object.create(Uint8Array.prototype), Object.create(Buffer.prototype)]
      .map((value) => ({ value })),
    ...[{ length: 3 }, { byteLength: 3, buffer: new ArrayBuffer(3) }].map((value) => {
      return { value: Object.setPrototypeOf(value, Uint8Array.prototype) };
    }),
    ...[{ value: "x", key: 1 }, { value: "x", key: {} }],
    ...[NaN, 1.5, Infinity, "0", 2 ** 53, 1n, new Date(NaN), {}].map((timestamp) => ({ value: "x", timestamp })),
    ...[-1, NaN, 1.5, 2 ** 32, "0", 1n, {}].map((partition) => ({ value: "x", partition })),
    ...[-1, NaN, 1.5, 2 ** 53, -1n, 2n ** 64n, "1", {}].map((position) => ({ value: "x", position })),
    ...[1, "h", {}, [1], [null], [{}], [{ key: 1, value: "" }], [{ key: "h" }], [{ key: "h", value: 1 }],
      [{ key: "h", value: gone }], [["h", "v"]]].map((headers) => ({ value: "x", headers })),
  ];
}

test("records of wrong kinds are refused by every way of sending, and nothing of them is sent", async (t) => {
  const { engine } = await log(t);
  const producer = await engine.producer();
  const named = await engine.producer({ name: "named" });
  const transaction = (await engine.transactionalProducer("x")).beginTransaction();
  for (const [number, record] of badRecords().entries()) {
    const which = `record ${number}`;
    await assert.rejects(producer.send("t", record), invalid, which);
    await assert.rejects(named.send("t", record), invalid, which);
    await assert.rejects(producer.sendMany("t", [{ value: "good" }, record]), invalid, which);
    await assert.rejects(engine.partition("t", 0).append([record]), invalid, which);
    assert.throws(() => producer.post("t", record), invalid, which);
    assert.throws(() => transaction.send("t", record), invalid, which);
  }
  for (const records of [undefined, null, 1, "text", {}]) {
    await assert.rejects(producer.sendMany("t", records), invalid);
    await assert.rejects(engine.partition("t", 0).append(records), invalid);
    assert.throws(() => transaction.sendMany("t", records), invalid);
  }
  for (const topic of notText) {
    await assert.rejects(producer.send(topic, { value: "x" }), invalid);
    assert.throws(() => producer.post(topic, { value: "x" }), invalid);
    assert.throws(() => transaction.send(topic, { value: "x" }), invalid);
  }
  // A sender that has sent nothing yet has no last topic either.
  const first = (await engine.transactionalProducer("first")).beginTransaction();
  for (const topic of notText) {
    const fresh = await engine.producer();
    assert.throws(() => fresh.post(topic, { value: "x" }), invalid);
    await assert.rejects(fresh.send(topic, { value: "x" }), invalid);
    assert.throws(() => first.send(topic, { value: "x" }), invalid);
    await fresh.close();
  }
  await assert.rejects(engine.partition("t", 0).append([]), code("InvalidRecord"));
  await assert.rejects(producer.send("t", { value: "x", timestamp: -2 }), (error) => error.name === "OncelogError");
  await assert.rejects(producer.send("t", { value: "x", position: 1 }), invalid);
  await producer.flush();
  await transaction.commit();
  assert.deepEqual(await values(engine), []);
});

test("bytes of every kind are taken, also shared ones and those of another realm", async (t) => {
  const { engine } = await log(t);
  const producer = await engine.producer();
  const shared = new Uint8Array(new SharedArrayBuffer(3)).fill(65);
  const plain = Uint8Array.from([65, 65, 65]);
  const padded = Uint8Array.from([0, 0, 65, 65, 65, 0, 0, 0]);
  const kinds = [
    ...["AAA", plain, Buffer.from("AAA"), plain.buffer, new DataView(plain.buffer), shared, shared.buffer],
    ...[new Int8Array(plain.buffer), new Uint8ClampedArray(plain.buffer), padded.subarray(2, 5)],
    ...[new DataView(padded.buffer, 2, 3), vm.runInNewContext("new Uint8Array([65, 65, 65])")],
    vm.runInNewContext("new Uint8Array([65, 65, 65]).buffer"),
  ];
  for (const value of kinds) await producer.send("t", { value, key: value, headers: [{ key: "h", value }] });
  await producer.send("t", { value: new Uint16Array([0x4141]) });
  assert.deepEqual(await values(engine), [...kinds.map(() => "AAA"), "AA"]);
  for (const { key, headers } of await engine.partition("t", 0).read(0, { maxBytes: 1 })) {
    assert.deepEqual([`${key}`, `${headers[0].value}`], ["AAA", "AAA"]);
  }
});

test("bytes that grow, or are gone before they are packed, are taken as they are then, or refused", async (t) => {
  const { engine } = await log(t);
  const producer = await engine.producer();
  const memory = new ArrayBuffer(2, { maxByteLength: 8 });
  const grows = new Uint8Array(memory);
  const headers = function* () {
    memory.resize(4);
    yield { key: "h", value: "x" };
  };
  await producer.send("t", { value: grows.fill(65), headers: headers() });
  const shared = new Uint8Array(new SharedArrayBuffer(2, { maxByteLength: 4 })).fill(66);
  shared.buffer.grow(3);
  await producer.send("t", { value: shared });
  const taken = () => Uint8Array.from([1, 2, 3]);
  for (const make of [
    (bytes, headers) => ({ value: bytes, headers }),
    (bytes, headers) => ({ value: "x", key: bytes, headers }),
    (bytes, headers) => ({
      value: "x",
      headers: (function* () { yield { key: "h", value: bytes }; yield* headers; })(),
    }),
  ]) {
    const bytes = taken();
    const record = make(bytes, (function* () {
      structuredClone(bytes, { transfer: [bytes.buffer] });
      yield { key: "h", value: "x" };
    })());
    await assert.rejects(producer.send("t", record), code("InvalidArgument", /transferred/));
  }
  assert.deepEqual(await values(engine), ["AA\0\0", "BB\0"]);
});

test("what never ends is refused when it is too much", async (t) => {
  const { engine } = await log(t);
  const producer = await engine.producer();
  const transaction = (await engine.transactionalProducer("x")).beginTransaction();
  const endless = function* (item) {
    for (;;) yield item;
  };
  const record = { value: Buffer.alloc(10_000) };
  await assert.rejects(producer.sendMany("t", endless(record)), code("LimitExceeded"));
  await assert.rejects(engine.partition("t", 0).append(endless(record)), code("RecordTooLarge"));
  assert.throws(() => transaction.sendMany("t", endless(record)), code("LimitExceeded"));
  // What it has streamed holds readers back until it is decided.
  await transaction.abort();
  const header = { key: "k".repeat(10_000), value: null };
  const headers = { value: "x", headers: { [Symbol.iterator]: () => endless(header) } };
  await assert.rejects(producer.send("t", headers), code("RecordTooLarge"));
  assert.throws(() => producer.post("t", headers), code("RecordTooLarge"));
  await producer.send("t", { value: "small" });
  assert.deepEqual(await values(engine), ["small"]);
});

test("proxies are seen through, and what they throw reaches the caller as it is", async (t) => {
  const { engine } = await log(t);
  const producer = await engine.producer(new Proxy({ lingerMs: 1 }, {}));
  await producer.send("t", new Proxy({ value: "seen" }, {}));
  await producer.sendMany("t", new Proxy([{ value: "through" }], {}));
  const mine = new Error("mine");
  const throws = new Proxy({}, { get: () => { throw mine; } });
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  for (const call of [
    (bad) => producer.send("t", bad), (bad) => producer.sendMany("t", bad), (bad) => producer.flush(bad),
    (bad) => engine.createTopic("x", bad), (bad) => engine.producer(bad), (bad) => open("x", bad),
    async (bad) => engine.consumer(bad), async (bad) => engine.consumer({ topics: [bad] }),
  ]) {
    await assert.rejects(call(throws), mine);
    await assert.rejects(call(proxy), TypeError);
  }
  assert.deepEqual(await values(engine), ["seen", "through"]);
});

test("calls in the wrong order are refused and change nothing", async (t) => {
  const { engine } = await log(t);
  const transactional = await engine.transactionalProducer("x");
  const transaction = transactional.beginTransaction();
  assert.throws(() => transactional.beginTransaction(), code("InvalidTransactionState"));
  transaction.send("t", { value: "kept" });
  await transaction.commit();
  const ended = code("InvalidTransactionState");
  assert.throws(() => transaction.send("t", { value: "x" }), ended);
  assert.throws(() => transaction.sendMany("t", []), ended);
  assert.throws(() => transaction.sendPosition(1), ended);
  assert.throws(() => transaction.sendOffsets({ group: "g" }, []), ended);
  await assert.rejects(transaction.commit(), ended);
  await assert.rejects(transaction.abort(), ended);
  await transaction[Symbol.asyncDispose]();
  const producer = await engine.producer();
  await producer.close();
  await producer.close();
  await assert.rejects(producer.flush(), code("Closed"));
  assert.throws(() => producer.position, code("Closed"));
  const consumer = engine.consumer({ topics: ["t"], group: "g" });
  await consumer.close();
  for (const call of [() => consumer.positions(), () => consumer.rewind(), () => consumer.groupMetadata(),
    () => transactional.beginTransactionFor(consumer)]) assert.throws(call, code("Closed"));
  await assert.rejects(consumer.commitOffsets([]), code("Closed"));
  assert.deepEqual(await values(engine), ["kept"]);
  await engine.close();
  for (const call of [() => engine.topics(), () => engine.partition("t", 0), () => engine.consumer()]) {
    assert.throws(call, code("Closed"));
  }
  await assert.rejects(engine.flush(), code("Closed"));
  await engine.close();
});

test("consumers take partitions and offsets only", async (t) => {
  const { engine } = await log(t);
  const consumer = engine.consumer({ topics: ["t"], group: "g" });
  const at = { topic: "t", partition: 0 };
  for (const name of [...junk, {}, { topic: "t" }, { topic: "t", partition: -1 }, { topic: 1, partition: 0 }]) {
    for (const method of ["seek", "bounds"]) assert.throws(() => consumer[method](name, 0), invalid, method);
    for (const method of ["position", "committed", "lag"]) {
      await assert.rejects(consumer[method](name), invalid, method);
    }
    assert.throws(() => consumer.assign([name]), invalid);
  }
  assert.throws(() => consumer.assign("t"), invalid);
  assert.throws(() => consumer.assign([]), invalid);
  for (const offset of [undefined, null, -1, NaN, 0.5, 2 ** 53, -1n, 2n ** 64n, "0", {}]) {
    assert.throws(() => consumer.seek(at, offset), invalid);
    await assert.rejects(consumer.commit([{ ...at, offset }]), invalid);
    await assert.rejects(engine.partition("t", 0).read(offset), invalid);
  }
  assert.throws(() => consumer.seek(at, 1), code("OffsetOutOfRange"));
  await assert.rejects(consumer.commit([{ ...at, offset: 2n ** 63n }]), invalid);
  await assert.rejects(consumer.commit([{ ...at, offset: 0, metadata: 1 }]), invalid);
  await assert.rejects(consumer.commit([{ ...at, offset: 0, metadata: "m".repeat(5000) }]), code("LimitExceeded"));
  await assert.rejects(consumer.commit([{ ...at, offset: 0, leaderEpoch: 2 ** 31 }]), invalid);
  const polls = [null, 1, { timeoutMs: -1 }, { timeoutMs: NaN }, { timeoutMs: "1" }, { signal: 1 }, { signal: {} }];
  for (const options of polls) {
    await assert.rejects(consumer.poll(options), invalid, JSON.stringify(options));
  }
  await assert.rejects(engine.partition("t", 0).append([{ value: "x" }], { baseSequence: null }), invalid);
  assert.throws(() => consumer.seek({ topic: "t", partition: 5 }, 0), code("InvalidState"));
  await assert.rejects(engine.consumer().poll(), code("InvalidState"));
  await assert.rejects(engine.consumer({ topics: ["t"] }).commit(), invalid);
});

test("a partition is named once in what is committed", async (t) => {
  const { engine } = await log(t);
  const consumer = engine.consumer({ topics: ["t"], group: "g" });
  const twice = [1, 2n].map((offset) => ({ topic: "t", partition: 0, offset }));
  const refused = code("InvalidArgument", /twice/);
  await assert.rejects(consumer.commit(twice), refused);
  await assert.rejects(consumer.commitOffsets(twice), refused);
  const identity = await engine.initProducer("raw");
  await assert.rejects(engine.sendOffsets(identity, { group: "g" }, twice), refused);
  const transaction = (await engine.transactionalProducer("x")).beginTransaction();
  assert.throws(() => transaction.sendOffsets({ group: "g" }, twice), refused);
  // A later call takes the place of an earlier one.
  for (const position of twice) transaction.sendOffsets({ group: "g" }, [position]);
  await transaction.commit();
  assert.equal(await consumer.committed({ topic: "t", partition: 0 }), 2n);
});

test("a signal may be of any make, and is heard when it is raised inside the call", async (t) => {
  const { engine } = await log(t);
  const producer = await engine.producer();
  const consumer = engine.consumer({ topics: ["t"], start: "latest" });
  const listens = { addEventListener() {}, removeEventListener() {} };
  for (const signal of [new EventTarget(), listens, { aborted: false }, { aborted: "no", ...listens }, null]) {
    await assert.rejects(producer.send("t", { value: "x" }, { signal }), invalid);
    await assert.rejects(consumer.poll({ signal }), invalid);
  }
  await producer.send("t", { value: "other make" }, { signal: Object.assign(new EventTarget(), { aborted: false }) });
  const raised = { aborted: true, reason: new Error("raised"), ...listens };
  await assert.rejects(producer.send("t", { value: "x" }, { signal: raised }), raised.reason);
  for (const sends of [
    (record, waiting) => producer.send("t", record, waiting),
    (record, waiting) => producer.sendMany("t", [record], waiting),
    (record, waiting) => engine.partition("t", 0).append([record], waiting),
  ]) {
    const control = new AbortController();
    const reason = new Error("stop");
    const record = {
      get value() {
        control.abort(reason);
        return "sent all the same";
      },
    };
    await assert.rejects(sends(record, { signal: control.signal }), reason);
  }
  await engine.flush();
  assert.deepEqual(await values(engine), ["other make", ...Array(3).fill("sent all the same")]);
});

test("a signal that throws when it is let go harms neither the answer nor the process", async (t) => {
  const { engine } = await log(t);
  const producer = await engine.producer();
  const unhandled = [];
  const heard = (reason) => unhandled.push(reason);
  process.on("unhandledRejection", heard);
  t.after(() => process.off("unhandledRejection", heard));
  const signal = {
    aborted: false,
    addEventListener() {},
    removeEventListener() { throw new Error("not now"); },
  };
  assert.equal((await producer.send("t", { value: "x" }, { signal })).first, 0n);
  await assert.rejects(producer.send("none", { value: "x" }, { signal }), code("UnknownTopicOrPartition"));
  assert.equal((await engine.consumer({ topics: ["t"], start: "latest" }).poll({ timeoutMs: 1, signal })).length, 0);
  await new Promise(setImmediate);
  assert.deepEqual(unhandled, []);
});

test("a signal that cannot be listened to is told, and the call's own error ends no process", async (t) => {
  const { engine } = await log(t);
  const producer = await engine.producer();
  const unhandled = [];
  const heard = (error) => unhandled.push(error);
  process.on("unhandledRejection", heard);
  t.after(() => process.off("unhandledRejection", heard));
  const deaf = new Error("deaf");
  const signal = { aborted: false, addEventListener() { throw deaf; }, removeEventListener() {} };
  await assert.rejects(producer.send("none", { value: "x" }, { signal }), deaf);
  await producer.flush();
  await new Promise(setImmediate);
  assert.deepEqual(unhandled, []);
});

test("transactions take a consumer of their own engine, and metadata of a group", async (t) => {
  const { engine } = await log(t);
  const other = (await log(t)).engine;
  const transactional = await engine.transactionalProducer("x");
  for (const consumer of junk) assert.throws(() => transactional.beginTransactionFor(consumer), invalid);
  const foreign = other.consumer({ topics: ["t"], group: "g" });
  assert.throws(() => transactional.beginTransactionFor(foreign), invalid);
  const transaction = transactional.beginTransaction();
  for (const metadata of junk) assert.throws(() => transaction.sendOffsets(metadata, []), invalid);
  for (const offsets of [null, 1, [1], [{}]]) {
    assert.throws(() => transaction.sendOffsets({ group: "g" }, offsets), invalid);
  }
  for (const position of [-1, NaN, "1", null, 2n ** 64n]) {
    assert.throws(() => transaction.sendPosition(position), invalid);
  }
  await transaction.abort();
});

test("what a getter or an iterator throws reaches the caller as it is", async (t) => {
  const { engine } = await log(t);
  const producer = await engine.producer();
  const mine = new Error("mine");
  const record = { get value() { throw mine; } };
  const records = (function* () { yield { value: "x" }; throw mine; })();
  await assert.rejects(producer.send("t", record), mine);
  await assert.rejects(producer.sendMany("t", records), mine);
  assert.throws(() => producer.post("t", record), mine);
  await assert.rejects(engine.partition("t", 0).append([record]), mine);
  await producer.flush();
  assert.deepEqual(await values(engine), []);
});

test("what is refused is shown, whatever it says of itself", async (t) => {
  const { engine } = await log(t);
  const nameless = [Symbol("name"), Object.create(null), "", undefined].map((name) => ({ constructor: { name } }));
  for (const thing of [...nameless, { constructor: 1 }, Object.create(null), (async function* () {})()]) {
    const refused = code("InvalidArgument", /got an object \(no class\)|got an object \(.+\)/);
    await assert.rejects(engine.createTopic(thing), refused);
    assert.throws(() => engine.partition("t", thing), refused);
    assert.throws(() => OncelogError.fromKafkaCode(thing), code("InvalidArgument", /got object/));
  }
});

test("calls are refused on anything but their own handle", async (t) => {
  const { engine } = await log(t);
  const producer = await engine.producer();
  assert.throws(() => producer.post.call({}, "t", { value: "x" }), TypeError);
  await assert.rejects(async () => producer.send.call({}, "t", { value: "x" }));
  assert.throws(() => engine.topics.call(producer), TypeError);
});
