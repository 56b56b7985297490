import assert from "node:assert/strict";
import { test } from "node:test";
import { open } from "../dist/index.mjs";
import { code, log, values } from "./helpers.mjs";

const at = { topic: "t", partition: 0 };
const KB = Buffer.alloc(1000, 1);

/** A log with a transaction that streams with its first record, unless the options say otherwise. */
async function streaming(t, { engine: engineOptions, ...options } = {}) {
  const { engine, path } = await log(t, engineOptions);
  const producer = await engine.transactionalProducer("bulk", { transactionBuffer: 0, ...options });
  return { engine, path, producer, partition: engine.partition("t", 0) };
}

/** How many records of a read are seen, at both isolations. */
async function seen(partition) {
  const read = (isolation) => partition.read(0, { isolation, maxBytes: 10_000_000 });
  return [(await read("read_committed")).length, (await read("read_uncommitted")).length];
}

test("a transaction past its buffer is in the log, and seen at read_uncommitted only until it commits", async (t) => {
  const { engine, producer, partition } = await streaming(t, { transactionBuffer: 64 << 10 });
  const transaction = producer.beginTransaction();
  transaction.send("t", { value: KB });
  assert.deepEqual(engine.describeTransactions(), [], "up to its buffer it is memory");
  assert.deepEqual(await seen(partition), [0, 0], "up to its buffer it is memory");
  transaction.sendMany("t", Array(99).fill({ value: KB }));
  await engine.flush();
  const before = await seen(partition);
  assert.equal(before[0], 0);
  assert.ok(before[1] > 0 && before[1] <= 100, before.join());
  assert.equal(partition.bounds().stable, 0n);
  await (await engine.producer()).send("t", { value: "held back" });
  assert.deepEqual(await values(engine), []);
  await transaction.commit();
  assert.deepEqual(await seen(partition), [101, 101]);
  assert.equal(partition.bounds().stable, 101n);
});

test("an aborted transaction that streamed is hidden from read_committed, also from polls", async (t) => {
  const { engine, producer, partition } = await streaming(t);
  const transaction = producer.beginTransaction();
  transaction.sendMany("t", [{ value: "1" }, { value: "2" }]);
  await transaction.abort();
  await (await engine.producer()).send("t", { value: "3" });
  assert.deepEqual([await seen(partition), await values(engine)], [[1, 3], ["3"]]);
  for (const [isolation, expected] of [[undefined, ["3"]], ["read_committed", ["3"]],
    ["read_uncommitted", ["1", "2", "3"]]]) {
    const records = await engine.consumer({ topics: ["t"], isolation }).poll();
    assert.deepEqual([...records].map(({ value }) => `${value}`), expected);
    assert.equal(records.nextOffset("t", 0), 3n);
  }
});

/** A partition whose two records are aborted, beside one with nothing yet. */
async function aborted(t) {
  const { engine, producer } = await streaming(t, { engine: { partitions: 2 } });
  const transaction = producer.beginTransaction();
  transaction.sendMany("t", ["1", "2"].map((value) => ({ value, partition: 0 })));
  await transaction.abort();
  // The stable offset goes past them when the decision is written.
  await engine.flush();
  return { engine, producer, consumer: engine.consumer({ topics: ["t"], group: "g" }) };
}

test("a poll and a read that find only what is aborted say where to read on", async (t) => {
  const { engine, producer, consumer } = await aborted(t);
  const place = { incarnation: 1n, offset: 2n };
  const read = await engine.partition("t", 0).read(0);
  const polled = await consumer.poll({ timeoutMs: 0 });
  for (const records of [read, polled]) {
    assert.deepEqual([records.length, [...records], records.at(0)], [0, [], undefined]);
    assert.deepEqual(records.nextOffsets(), [{ ...at, offset: 2n }]);
    assert.deepEqual([records.nextOffset("t", 0), records.nextOffset("t", 1)], [2n, undefined]);
    const { lsn, ...rest } = records.nextPlace("t", 0);
    assert.deepEqual(rest, place);
    assert.equal((await engine.partition("t", 0).read(2, { from: { ...rest, lsn } })).length, 0);
  }
  assert.equal(await consumer.position(at), 2n);
  assert.deepEqual((await consumer.poll({ timeoutMs: 0 })).nextOffsets(), [], "it is told once");
  // A transaction's offsets go past them.
  const transaction = producer.beginTransaction();
  transaction.sendOffsets(consumer.groupMetadata(), polled.nextOffsets());
  await transaction.commit();
  assert.equal(await consumer.committed(at), 2n);
});

test("what a poll stepped over while it waited is told with the records it waited for, and without any", async (t) => {
  for (const comes of [true, false]) {
    const { engine, consumer } = await aborted(t);
    const waits = consumer.poll(comes ? {} : { timeoutMs: 30 });
    await new Promise((resolve) => setTimeout(resolve, 10));
    if (comes) await (await engine.producer()).send("t", { value: "x", partition: 1 });
    const records = await waits;
    assert.equal(records.length, comes ? 1 : 0);
    const expected = comes ? [{ ...at, partition: 1, offset: 1n }, { ...at, offset: 2n }] : [{ ...at, offset: 2n }];
    assert.deepEqual(records.nextOffsets(), expected);
    assert.deepEqual(records.nextOffsets().sort((a, b) => a.partition - b.partition), consumer.positions()
      .filter(({ offset }) => offset > 0n));
  }
});

test("what a stopped poll stepped over is told by the next, unless the reader stands elsewhere by then", async (t) => {
  const stop = async (consumer) => {
    const control = new AbortController();
    const polls = consumer.poll({ signal: control.signal });
    await new Promise((resolve) => setTimeout(resolve, 10));
    control.abort();
    await assert.rejects(polls, { name: "AbortError" });
  };
  const { engine, consumer } = await aborted(t);
  await stop(consumer);
  assert.deepEqual((await consumer.poll({ timeoutMs: 0 })).nextOffsets(), [{ ...at, offset: 2n }]);
  consumer.seek(at, 0);
  await stop(consumer);
  await (await engine.producer()).send("t", { value: "x", partition: 0 });
  consumer.seek(at, 3);
  assert.deepEqual((await consumer.poll({ timeoutMs: 0 })).nextOffsets(), []);
});

test("for await steps over what is aborted and gives what comes behind it, once", async (t) => {
  const { engine, producer, consumer } = await aborted(t);
  const plain = await engine.producer();
  const seen = [];
  const reads = (async () => {
    for await (const { partition, offset } of consumer) {
      seen.push([partition, offset]);
      await consumer.commit();
      if (seen.length === 3) break;
    }
  })();
  await plain.sendMany("t", [{ value: "x", partition: 1 }, { value: "y", partition: 0 }]);
  const transaction = producer.beginTransaction();
  transaction.send("t", { value: "aborted", partition: 1 });
  await transaction.abort();
  await plain.send("t", { value: "z", partition: 1 });
  await reads;
  assert.deepEqual(seen.sort(([a], [b]) => a - b), [[0, 2n], [1, 0n], [1, 2n]]);
  const committed = await consumer.committedOffsets([at, { ...at, partition: 1 }]);
  assert.deepEqual(committed.map(({ offset }) => offset), [3n, 3n]);
});

test("a transaction in the log is described as it is", async (t) => {
  const { engine, producer } = await streaming(t, { transactionTimeoutMs: 50_000, engine: { topics: ["t", "u"] } });
  await (await engine.producer()).send("u", { value: "before" });
  const transaction = producer.beginTransaction();
  transaction.send("u", { value: "x" });
  transaction.send("t", { value: "x" });
  const [open, ...others] = engine.describeTransactions();
  const { identity, since, ...rest } = open;
  assert.deepEqual([rest, others], [{
    number: transaction.number,
    transactionalId: "bulk",
    timeoutMs: 50_000,
    raw: false,
    partitions: [{ ...at, offset: 0n }, { topic: "u", partition: 0, offset: 1n }],
  }, []]);
  assert.deepEqual([typeof identity.producerId, typeof identity.epoch], ["bigint", "number"]);
  assert.ok(since > 1_600_000_000_000, String(since));
  await transaction.commit();
  assert.deepEqual(engine.describeTransactions(), []);
});

test("how a transaction stands is told, in this life and the next", async (t) => {
  const { engine, path, producer } = await streaming(t);
  const numbers = [];
  for (const end of ["commit", "abort", undefined]) {
    const transaction = producer.beginTransaction();
    transaction.send("t", { value: "x" });
    assert.equal(await engine.transactionStatus(transaction.number), "open");
    await transaction[end]?.();
    numbers.push(transaction.number);
  }
  const statuses = (engine) => Promise.all(numbers.map((number) => engine.transactionStatus(number)));
  assert.deepEqual(await statuses(engine), ["committed", "aborted", "open"]);
  assert.equal(await engine.transactionStatus(1_000_000), "forgotten");
  await engine.close();
  for (const readOnly of [false, true]) {
    const again = await open(path, { readOnly });
    assert.deepEqual(await statuses(again), ["committed", "aborted", "aborted"]);
    await again.close();
  }
});

test("anybody may abort a transaction by its number, and its owner hears of it", async (t) => {
  const { engine, producer } = await streaming(t);
  const transaction = producer.beginTransaction();
  transaction.send("t", { value: "x" });
  await engine.abortTransaction(transaction.number);
  await engine.abortTransaction(transaction.number);
  const aborted = (error) => code("TransactionAborted")(error) && error.requiresAbort && error.retriable;
  assert.throws(() => transaction.send("t", { value: "y" }), aborted);
  await assert.rejects(transaction.commit(), aborted);
  assert.deepEqual(engine.describeTransactions(), []);
  const next = producer.beginTransaction();
  next.send("t", { value: "again" });
  await next.commit();
  await assert.rejects(engine.abortTransaction(next.number), code("InvalidTransactionState"));
  await assert.rejects(engine.abortTransaction(1_000_000n), code("InvalidTransactionState"));
  assert.deepEqual(await values(engine), ["again"]);
});

test("a transaction that streams for too long is aborted, and one that is memory is not", async (t) => {
  const { engine, producer } = await streaming(t, { transactionTimeoutMs: 1 });
  const inMemory = (await engine.transactionalProducer("memory", { transactionTimeoutMs: 1 })).beginTransaction();
  inMemory.send("t", { value: "kept" });
  const transaction = producer.beginTransaction();
  transaction.send("t", { value: "late" });
  while ((await engine.transactionStatus(transaction.number)) === "open") await new Promise(setImmediate);
  assert.throws(() => transaction.send("t", { value: "later" }), code("TransactionTimedOut"));
  await assert.rejects(transaction.commit(), code("TransactionTimedOut"));
  await inMemory.commit();
  assert.deepEqual(await values(engine), ["kept"]);
});

test("the engine bounds timeouts, and the memory of all transactions together", async (t) => {
  const { engine } = await log(t, { transactionTimeoutMaxMs: 5_000, transactionMemory: 0 });
  for (const transactionTimeoutMs of [5_001, 0, 2 ** 40]) {
    await assert.rejects(engine.transactionalProducer("x", { transactionTimeoutMs }), code("InvalidArgument"));
  }
  await assert.rejects(engine.transactionalProducer("x"), code("InvalidArgument", /timeout is out of range/));
  const producer = await engine.transactionalProducer("x", { transactionTimeoutMs: 5_000 });
  const transaction = producer.beginTransaction();
  transaction.send("t", { value: "there was no memory for it" });
  assert.equal(engine.describeTransactions().length, 1);
  await transaction.commit();
});

test("a large transaction waits for room in turns of the loop, and its commit is whole", async (t) => {
  const small = { transactionBuffer: undefined, engine: { segmentBytes: 1 << 20 } };
  const { producer, partition } = await streaming(t, small);
  const transaction = producer.beginTransaction();
  let waited = 0;
  for (let i = 0; i < 20_000; i++) {
    if (!transaction.send("t", { value: KB })) {
      waited++;
      await transaction.drained();
    }
  }
  assert.ok(waited > 0, "20 MB went through segments of 1 MB without any waiting");
  await transaction.commit();
  assert.equal(partition.bounds().stable, 20_000n);
  const next = producer.beginTransaction();
  assert.equal(next.send("t", { value: "small" }), true);
  assert.equal(next.sendMany("t", []), true);
  await assert.rejects(next.drained({ signal: AbortSignal.abort() }), { name: "AbortError" });
  await next.abort();
  await assert.rejects(next.drained(), code("InvalidTransactionState"));
  assert.equal(partition.bounds().end, 20_000n);
});

test("a bound consumer goes back when a transaction that streamed is aborted", async (t) => {
  const { engine, producer } = await streaming(t, { engine: { topics: ["t", "in"] } });
  await (await engine.producer()).sendMany("in", [{ value: "1" }, { value: "2" }]);
  const consumer = engine.consumer({ topics: ["in"], group: "g" });
  for (const end of ["abort", "commit"]) {
    const transaction = producer.beginTransactionFor(consumer);
    const records = await consumer.poll();
    assert.equal(records.length, 2);
    for (const { value } of records) transaction.send("t", { value });
    await transaction[end]();
  }
  assert.equal(await consumer.committed({ topic: "in", partition: 0 }), 2n);
  assert.deepEqual(await values(engine), ["1", "2"]);
});
