import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Producer } from "../dist/index.mjs";
import { code, log, values } from "./helpers.mjs";

const require = createRequire(import.meta.url);
const { hub } = require("../dist/hub.js");
const { ANSWER, MANY, MORE } = require("../dist/layout.js");
const { native } = require("../dist/native.js");
const { Packer } = require("../dist/packer.js");

/** Three letters that say of their length what a caller made them say. */
function liars() {
  class Short extends Uint8Array {
    get length() { return 1; }
    get byteLength() { return 1; }
    get buffer() { return new ArrayBuffer(9); }
    keys() { throw new Error("asked"); }
  }
  const own = (bytes, name, value) => Object.defineProperty(bytes, name, { value });
  const letters = () => Buffer.from("abc");
  return [
    ...[-5, 1, 0, 2e9, NaN, "3"].map((length) => own(letters(), "length", length)),
    new Short(letters()),
    own(new Int8Array(letters()), "byteLength", 2e9),
    own(new DataView(new Uint8Array(letters()).buffer), "byteLength", 1),
    Object.setPrototypeOf(new Int8Array(letters()), Uint8Array.prototype),
    Object.setPrototypeOf(letters(), null),
  ];
}

test("buffers are as long as they are, whatever they say, and take no other record along", async (t) => {
  const { engine } = await log(t);
  const producer = await engine.producer();
  const transaction = (await engine.transactionalProducer("x")).beginTransaction();
  const all = [];
  for (const value of liars()) {
    all.push(producer.send("t", { value: "before" }));
    all.push(producer.send("t", { key: value, value, headers: [{ key: "h", value }] }));
    all.push(producer.sendMany("t", [{ value }, { value: "behind" }]));
    all.push(engine.partition("t", 0).append([{ value }]));
    transaction.send("t", { value });
    producer.post("t", { value });
  }
  await Promise.all(all);
  await transaction.commit();
  await producer.flush();
  const found = await values(engine);
  const count = (text) => found.filter((value) => value === text).length;
  const each = liars().length;
  assert.deepEqual([count("before"), count("behind"), count("abc"), found.length], [each, each, 5 * each, 7 * each]);
  for (const { key, value, headers } of await engine.partition("t", 0).read(0)) {
    if (key !== null) assert.deepEqual([`${key}`, `${headers[0].value}`], [`${value}`, `${value}`]);
  }
});

test("what a view is, its prototype does not say", async (t) => {
  const { engine } = await log(t);
  const producer = await engine.producer();
  const views = [Object.setPrototypeOf(new DataView(new ArrayBuffer(3)), Uint8Array.prototype)];
  await producer.send("t", { value: views[0] });
  for (const kind of [Uint8Array, DataView, ArrayBuffer]) {
    await assert.rejects(producer.send("t", { value: Object.create(kind.prototype) }), code("InvalidArgument"));
  }
  assert.deepEqual(await values(engine), ["\0\0\0"]);
});

test("a date, a getter or an iterator that sends as well loses no record", async (t) => {
  const { engine } = await log(t);
  const producer = await engine.producer();
  const transactional = await engine.transactionalProducer("x");
  const transaction = transactional.beginTransaction();
  const senders = [
    (value) => producer.send("t", value),
    async (value) => producer.post("t", value),
    (value) => producer.sendMany("t", [value]),
    async (value) => transaction.send("t", value),
  ];
  const expected = [];
  const sent = [];
  for (const [outer, sendsOuter] of senders.entries()) {
    for (const [inner, sendsInner] of senders.entries()) {
      const once = (name) => {
        let sends = () => {
          sends = () => {};
          expected.push(`${outer}${inner} ${name}`);
          sent.push(sendsInner({ value: `${outer}${inner} ${name}` }));
        };
        return () => sends();
      };
      const runs = Object.fromEntries(["time", "value", "header", "proxy"].map((name) => [name, once(name)]));
      class Late extends Date {
        getTime() {
          runs.time();
          return super.getTime();
        }
        valueOf() {
          return this.getTime();
        }
      }
      const record = {
        get value() {
          runs.value();
          return `${outer}${inner}`;
        },
        timestamp: new Late(5),
        headers: (function* () {
          runs.header();
          yield { key: "h", value: "x" };
        })(),
      };
      expected.push(`${outer}${inner}`);
      sent.push(sendsOuter(record));
      const proxy = new Proxy(new Date(), { getPrototypeOf: () => (runs.proxy(), Date.prototype) });
      await assert.rejects(async () => sendsOuter({ value: "x", timestamp: proxy }), code("InvalidArgument"));
    }
  }
  await Promise.all(sent);
  await transaction.commit();
  await producer.flush();
  assert.deepEqual((await values(engine)).sort(), expected.sort());
});

test("a shared buffer that another thread lets grow while it is copied is as long as it was, or refused", async (t) => {
  const { engine } = await log(t);
  const { set } = Uint8Array.prototype;
  // Looked up when the module is loaded.
  const path = require.resolve("../dist/packer.js");
  delete require.cache[path];
  let [memory, more] = [undefined, 0];
  Uint8Array.prototype.set = function (bytes, at) {
    if (bytes.buffer === memory) memory.grow(memory.byteLength + more);
    return set.call(this, bytes, at);
  };
  t.after(() => (Uint8Array.prototype.set = set));
  const packer = new (require(path).Packer)(1_000);
  const shared = () => new Uint8Array((memory = new SharedArrayBuffer(100, { maxByteLength: 1 << 20 })));
  more = 8;
  assert.equal(packer.pack({ value: shared(), key: "k" }, 0, 0, 0), true);
  const before = packer.at;
  more = 10_000;
  const grown = code("InvalidArgument", /has grown/);
  assert.throws(() => packer.pack({ value: shared() }, 0, 0, 0), grown);
  assert.throws(() => packer.pack({ key: shared(), value: "x" }, 0, 0, 0), grown);
  assert.throws(() => packer.pack({ value: "x", headers: [{ key: "h", value: shared() }] }, 0, 0, 0), grown);
  assert.equal(packer.at, before, "what was refused is nowhere");
  await assert.rejects(engine.partition("t", 0).appendBatch(shared()), grown);
});

/** A producer of the native half, whose entries are packed and crossed by the test. */
async function nativeProducer(t) {
  const path = mkdtempSync(join(tmpdir(), "oncelog-node-"));
  const opens = (who) => hub.native.open(who, path, { durability: "os" }, undefined);
  const engine = await hub.wait(opens, (who) => hub.native.takeEngine(who));
  // In this order: an open log may make a file meanwhile.
  t.after(async () => {
    await hub.wait((who) => engine.close(who));
    rmSync(path, { recursive: true, force: true });
  });
  await hub.wait((who) => engine.createTopic(who, "t", { partitions: 1 }));
  const refusals = [];
  const listener = { heard: () => refusals.push(hub.error(listening).code) };
  const listening = hub.listen(listener);
  const take = (who) => hub.native.takeProducer(who, engine, new Uint8Array(8), listening);
  const producer = await hub.wait((who) => engine.producer(who, {}), take);
  return { engine, producer, topic: producer.topic("t"), refusals };
}

/** A number to pack, and the promise of its answer. */
function expect() {
  let who;
  const answer = new Promise((resolve, reject) => {
    who = hub.expect(resolve, reject, (who) => hub.native.takeMany(who));
  });
  return { who, answer };
}

const codes = async (all) => (await Promise.allSettled(all)).map(({ reason }) => reason?.code);

test("when packed records cannot be read, those before are sent and those behind are refused", async (t) => {
  const { producer, topic, refusals } = await nativeProducer(t);
  const packer = new Packer(10_000);
  const all = [];
  const send = (flags, to = topic) => {
    const { who, answer } = expect();
    all.push(answer);
    packer.pack({ value: "x" }, to, flags, who);
  };
  send(ANSWER);
  send(MANY);
  send(ANSWER, 77);
  send(ANSWER);
  send(MANY);
  packer.pack({ value: "x" }, topic, 0, 0);
  assert.equal(native.cross(producer.slot, packer.bytes, 0, packer.at, false), packer.at);
  assert.deepEqual(await codes(all), [undefined, undefined, "Internal", "Internal", "Internal"]);
  assert.deepEqual(refusals, ["Internal"]);
});

test("what is refused in the second half of a piece keeps the next piece of the call from being sent", async (t) => {
  const { engine, producer, topic } = await nativeProducer(t);
  const [first, second] = [new Packer(10_000), new Packer(10_000)];
  const calls = [expect(), expect()];
  first.pack({ value: "has crossed" }, topic, MANY, calls[0].who);
  const half = first.at;
  first.pack({ value: "x", partition: 9 }, topic, MANY, calls[0].who);
  first.mark(MORE);
  second.pack({ value: "x" }, topic, MANY, calls[1].who);
  native.cross(producer.slot, first.bytes, half, first.at, false);
  native.cross(producer.slot, second.bytes, 0, second.at, false);
  const refused = "UnknownTopicOrPartition";
  assert.deepEqual(await codes(calls.map(({ answer }) => answer)), [refused, refused]);
  assert.equal(engine.partition("t", 0).bounds().end, 0n);
});

test("who waits for records that cannot cross at all is told so", async () => {
  const gone = { slot: 2 ** 31, topic: () => 0, close() {}, flush: (who) => hub.refuse(who, new Error("gone")) };
  const room = { has: () => true, until: async () => {}, wait() {} };
  const producer = new Producer(() => gone, room);
  await assert.rejects(producer.send("t", { value: "x" }), code("Closed"));
  await assert.rejects(producer.sendMany("t", [{ value: "x" }]), code("Closed"));
});

test("a close waits for the flushes that began before it, whichever is answered first", async () => {
  let closed = false;
  const gone = { slot: 2 ** 31, topic: () => 0, close: () => (closed = true) };
  const answer = [];
  const producer = new Producer(() => gone, { flush: () => new Promise((resolve) => answer.push(resolve)) });
  const [flushes, closes] = [producer.flush(), producer.close()];
  await new Promise(setImmediate);
  answer[1]();
  await new Promise(setImmediate);
  assert.equal(closed, false, "the first flush could not be answered any more");
  answer[0]();
  await Promise.all([flushes, closes]);
  assert.equal(closed, true);
});
