// Walks over a consumer, by `for await`, by hand and by streams: how they end, and what they leave to the next reader.
import assert from "node:assert/strict";
import { Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { test } from "node:test";
import { code, log } from "./helpers.mjs";

const at = { topic: "t", partition: 0 };
const end = { done: true, value: undefined };

/** A consumer of a log with some records, each its own offset as text. */
async function filled(t, count, options = {}) {
  const { engine } = await log(t);
  const producer = await engine.producer();
  const send = (value) => producer.send("t", { value: `${value}` });
  for (let n = 0; n < count; n++) await send(n);
  return { engine, send, consumer: engine.consumer({ topics: ["t"], group: "g", ...options }) };
}

/** What a poll that waits for nothing gives, as text. */
const polled = async (consumer) => Array.from(await consumer.poll({ timeoutMs: 0 }), ({ value }) => `${value}`);

test("a walk that is let go while it waits ends, and what comes then is the next reader's", async (t) => {
  const { consumer, send } = await filled(t, 0);
  const walk = consumer[Symbol.asyncIterator]();
  const next = walk.next();
  assert.deepEqual(await walk.return(), end);
  assert.deepEqual(await polled(consumer), [], "nobody is polling any more");
  await send("x");
  assert.deepEqual(await next, end);
  assert.deepEqual(await walk.next(), end);
  assert.deepEqual(await polled(consumer), ["x"]);
});

test("a walk that is let go in the moment in which a record comes gives it, or leaves it", async (t) => {
  const { consumer, send } = await filled(t, 0);
  for (let round = 0; round < 50; round++) {
    const walk = consumer[Symbol.asyncIterator]();
    const next = walk.next();
    const sent = send(round);
    for (let turn = 0; turn < round % 5; turn++) await new Promise(setImmediate);
    await walk.return();
    const { value } = await next;
    await sent;
    const seen = [...(value === undefined ? [] : [`${value.value}`]), ...(await polled(consumer))];
    assert.deepEqual(seen, [`${round}`]);
  }
});

test("letting a walk go ends no other reader's wait", async (t) => {
  const { consumer, send } = await filled(t, 0);
  const walk = consumer[Symbol.asyncIterator]();
  const waits = consumer.poll();
  await assert.rejects(walk.next(), code("Busy"));
  assert.deepEqual(await walk.return(), end);
  await send("x");
  assert.equal(`${(await waits).at(0).value}`, "x");
});

test("a signal ends a walk with its reason, while it waits and between two records", async (t) => {
  const { consumer, send } = await filled(t, 3);
  const reason = new Error("enough");
  const read = async (stop) => {
    const control = new AbortController();
    const seen = [];
    const reads = (async () => {
      for await (const { value } of consumer.records({ signal: control.signal })) {
        seen.push(`${value}`);
        stop(seen, control);
      }
    })();
    await assert.rejects(reads, reason);
    return seen;
  };
  assert.deepEqual(await read((seen, control) => seen.length === 1 && control.abort(reason)), ["0"]);
  assert.equal(await consumer.position(at), 1n);
  const waits = (seen, control) => seen.length === 2 && setImmediate(() => control.abort(reason));
  assert.deepEqual(await read(waits), ["1", "2"]);
  await send(3);
  assert.deepEqual(await polled(consumer), ["3"]);
});

test("a walk with a signal is one as every other, and a signal is looked at before", async (t) => {
  const { consumer } = await filled(t, 3);
  const control = new AbortController();
  const records = consumer.records({ signal: control.signal });
  for await (const { offset } of records) if (offset === 1n) break;
  for await (const { offset } of consumer.records()) {
    assert.equal(offset, 2n);
    break;
  }
  control.abort();
  await assert.rejects(records[Symbol.asyncIterator]().next(), { name: "AbortError" });
  assert.throws(() => consumer.records({ signal: AbortSignal.abort() }), { name: "AbortError" });
  assert.throws(() => consumer.records({ signal: "soon" }), code("InvalidArgument"));
});

test("a walk may be let go or stopped while a commit waits, and the commit goes on", async (t) => {
  const { engine } = await log(t, { segmentBytes: 64 << 10 });
  const producer = await engine.producer();
  await producer.sendMany("t", ["0", "1", "2"].map((value) => ({ value })));
  const consumer = engine.consumer({ topics: ["t"], group: "g" });
  for (const how of ["let go", "stopped"]) {
    const control = new AbortController();
    const walk = consumer.records({ signal: control.signal })[Symbol.asyncIterator]();
    const { value } = await walk.next();
    // Until the commit has to wait behind a call that waits for room.
    while (producer.post("t", { value: Buffer.alloc(1000) }));
    const commits = consumer.commit();
    const next = walk.next();
    if (how === "let go") await walk.return();
    else control.abort(new Error("stop"));
    if (how === "let go") assert.deepEqual(await next, end);
    else await assert.rejects(next, /stop/);
    await commits;
    assert.equal(await consumer.committed(at), value.offset + 1n);
    await producer.drained();
  }
});

test("a poll behind a commit that waits is stopped by its signal at once, and takes no record with it", async (t) => {
  const { engine } = await log(t, { segmentBytes: 64 << 10 });
  const producer = await engine.producer();
  await producer.sendMany("t", ["0", "1", "2"].map((value) => ({ value })));
  const consumer = engine.consumer({ topics: ["t"], group: "g", maxRecords: 1 });
  for (const expected of ["0", "1"]) {
    assert.equal(`${(await consumer.poll()).at(0).value}`, expected);
    // Until the commit has to wait behind a call that waits for room.
    while (producer.post("t", { value: Buffer.alloc(1000) }));
    let committed = false;
    const commits = consumer.commit().then(() => (committed = true));
    const control = new AbortController();
    const polls = consumer.poll({ signal: control.signal });
    control.abort();
    await assert.rejects(polls, { name: "AbortError" });
    assert.equal(committed, false, "it was stopped before the commit had its place");
    await commits;
    assert.equal(await consumer.committed(at), BigInt(expected) + 1n);
    await producer.drained();
  }
  assert.equal(`${(await consumer.poll()).at(0).value}`, "2");
});

test("a break behind the engine's close throws nothing", async (t) => {
  const { consumer, engine } = await filled(t, 3);
  const seen = [];
  for await (const { value } of consumer) {
    seen.push(`${value}`);
    await engine.close();
    break;
  }
  assert.deepEqual(seen, ["0"]);
  await consumer.close();
});

test("a stream over a consumer that is destroyed while it waits leaves the consumer to others", async (t) => {
  const { consumer, send } = await filled(t, 0);
  const stream = Readable.from(consumer);
  stream.on("data", () => assert.fail("nothing was sent"));
  await new Promise(setImmediate);
  const closed = new Promise((resolve) => stream.on("close", resolve));
  stream.destroy();
  await closed;
  await send("x");
  assert.deepEqual(await polled(consumer), ["x"]);
});

test("a stream reads ahead, and what has arrived at its end is committed by its offsets", async (t) => {
  const { consumer } = await filled(t, 100);
  const control = new AbortController();
  let last;
  const writes = new Writable({
    objectMode: true,
    highWaterMark: 1,
    write(record, _, done) {
      last = record;
      if (record.offset === 9n) control.abort();
      setImmediate(done);
    },
  });
  await assert.rejects(pipeline(Readable.from(consumer), writes, { signal: control.signal }), { name: "AbortError" });
  assert.equal(last.offset, 9n);
  assert.ok(await consumer.position(at) > 10n, "the stream holds records that count as read");
  await consumer.commitOffsets([{ ...at, offset: last.offset + 1n }]);
  consumer.rewind();
  assert.equal((await consumer.poll()).at(0).offset, 10n);
});
