import assert from "node:assert/strict";
import { test } from "node:test";
import { open } from "../dist/index.mjs";
import { code, log, values } from "./helpers.mjs";

const at = { topic: "t", partition: 0 };
const group = { group: "g" };

/** Appends one batch of an identity's transaction. */
function append(engine, producer, baseSequence, ...texts) {
  const records = texts.map((value) => ({ value }));
  return engine.partition("t", 0).append(records, { producer, baseSequence, transactional: true });
}

test("records and offsets of a raw transaction are committed together, and the next epoch begins", async (t) => {
  const { engine } = await log(t);
  const identity = await engine.initProducer("shop");
  assert.deepEqual([typeof identity.producerId, identity.epoch], ["bigint", 0]);
  await append(engine, identity, 0, "a", "b");
  await append(engine, identity, 2, "c");
  await engine.sendOffsets(identity, group, [{ ...at, offset: 2 }]);
  const [open, ...others] = engine.describeTransactions();
  assert.deepEqual([open.raw, open.transactionalId, open.identity, open.partitions, others],
    [true, "shop", identity, [{ ...at, offset: 0n }], []]);
  const consumer = engine.consumer({ topics: ["t"], group: "g" });
  const unstable = (error) => code("UnstableOffsets")(error) && error.retriable;
  await assert.rejects(consumer.committed(at), unstable);
  await assert.rejects(consumer.position(at), unstable);
  await assert.rejects(consumer.lag(at), unstable);
  assert.equal((await consumer.poll({ timeoutMs: 0 })).length, 0);
  const waiting = consumer.poll();
  const uncommitted = engine.consumer({ topics: ["t"], group: "g", isolation: "read_uncommitted" });
  assert.equal(await uncommitted.committed(at), null);
  assert.deepEqual([(await uncommitted.poll()).length, await values(engine)], [3, []]);

  const next = await engine.endTransaction(identity, "commit");
  assert.deepEqual(next, { ...identity, epoch: 1 });
  assert.deepEqual(await engine.endTransaction(identity, "commit"), next, "its answer may have been lost");
  assert.equal(await engine.transactionStatus(open.number), "committed");
  assert.deepEqual([await values(engine), await consumer.committed(at)], [["a", "b", "c"], 2n]);
  assert.deepEqual([...(await waiting)].map(({ value }) => `${value}`), ["c"], "it waited for the decision");
  await assert.rejects(append(engine, identity, 0, "late"), code("StaleEpoch"));
  await append(engine, { producerId: Number(next.producerId), epoch: 1 }, 0, "d");
  await engine.endTransaction(next, "commit");
  assert.deepEqual(await values(engine), ["a", "b", "c", "d"]);
});

test("producers are told by their last batch and their open transaction", async (t) => {
  const { engine } = await log(t);
  const partition = engine.partition("t", 0);
  assert.deepEqual(partition.producers(), []);
  const shop = await engine.initProducer("shop");
  const other = await engine.initProducer(null);
  await append(engine, shop, 0, "a", "b");
  const timed = [{ value: "c", timestamp: 2_000 }, { value: "d", timestamp: 1_000 }];
  await partition.append(timed, { producer: other, baseSequence: 0 });
  const [first, second, ...none] = partition.producers();
  assert.deepEqual([first.identity, first.lastSequence, first.transactionStartOffset, none], [shop, 1, 0n, []]);
  assert.ok(first.lastTimestamp > 1_600_000_000_000);
  const plain = { identity: other, lastSequence: 1, lastTimestamp: 2_000, transactionStartOffset: null };
  assert.deepEqual(second, plain);
  await engine.endTransaction(shop, "commit");
  assert.deepEqual(partition.producers(), [{ ...first, transactionStartOffset: null }, plain], "there is no marker");
  const bulk = await engine.transactionalProducer("bulk", { transactionBuffer: 0 });
  const transaction = bulk.beginTransaction();
  transaction.send("t", { value: "e" });
  const { lastSequence, lastTimestamp, transactionStartOffset } = partition.producers()[2];
  assert.deepEqual([lastSequence, lastTimestamp, transactionStartOffset], [null, null, 4n]);
  await transaction.abort();
  assert.equal(partition.producers().length, 2);
  await engine.deleteTopic("t");
  assert.throws(() => partition.producers(), code("UnknownTopicOrPartition"));
  await engine.close();
  assert.throws(() => partition.producers(), code("Closed"));
});

test("an aborted raw transaction leaves neither records nor offsets", async (t) => {
  const { engine } = await log(t);
  const identity = await engine.initProducer("shop", { timeoutMs: 30_000 });
  await append(engine, identity, 0, "never");
  await engine.sendOffsets(identity, group, [{ ...at, offset: 1n, metadata: "m" }]);
  assert.equal(engine.describeTransactions()[0].timeoutMs, 30_000);
  assert.equal((await engine.endTransaction(identity, "abort")).epoch, 1);
  assert.equal(await engine.consumer({ topics: ["t"], group: "g" }).committed(at), null);
  assert.deepEqual(await values(engine), []);
});

test("a newer holder of the id shuts the older one out and aborts what it left open", async (t) => {
  const { engine } = await log(t);
  const first = await engine.initProducer("shop");
  await append(engine, first, 0, "left open");
  const second = await engine.initProducer("shop", { current: first });
  assert.deepEqual(await engine.initProducer("shop", { current: first }), second, "its answer may have been lost");
  assert.deepEqual([second.producerId, engine.describeTransactions()], [first.producerId, []]);
  const third = await engine.initProducer("shop", { current: null });
  assert.ok(third.epoch > second.epoch);
  await assert.rejects(engine.initProducer("shop", { current: first }), code("ProducerFenced"));
  await assert.rejects(engine.endTransaction(first, "commit"), code("ProducerFenced"));
  await assert.rejects(engine.endTransaction(third, "commit"), code("InvalidTransactionState"));
  await assert.rejects(engine.sendOffsets(first, group, [{ ...at, offset: 1 }]), code("StaleEpoch"));
  assert.deepEqual(await values(engine), []);
});

test("an identity without a transactional id writes each batch once, in the order of its sequences", async (t) => {
  const { engine } = await log(t);
  const producer = await engine.initProducer(null);
  const partition = engine.partition("t", 0);
  const send = (baseSequence, ...texts) => {
    return partition.append(texts.map((value) => ({ value })), { producer, baseSequence });
  };
  assert.deepEqual([(await send(0, "a", "b")).duplicate, (await send(0, "a", "b")).duplicate], [false, true]);
  await assert.rejects(send(5, "gap"), (error) => code("OutOfOrderSequence")(error) && error.requiresAbort);
  assert.equal((await send(2, "c")).first, 2n);
  await assert.rejects(append(engine, producer, 3, "no id"), code("InvalidTransactionState"));
  await assert.rejects(engine.endTransaction(producer, "commit"), code("UnknownTransactionalId"));
  await assert.rejects(engine.sendOffsets(producer, group, [{ ...at, offset: 1 }]), code("UnknownTransactionalId"));
  assert.deepEqual(await values(engine), ["a", "b", "c"]);
});

test("raw transactions outlive the log's life where that is asked for, and only there", async (t) => {
  for (const keepRawTransactions of [true, false]) {
    const { engine, path } = await log(t, { keepRawTransactions });
    const identity = await engine.initProducer("shop");
    await append(engine, identity, 0, "kept");
    const [{ number }] = engine.describeTransactions();
    await engine.close();
    const again = await open(path);
    assert.equal(await again.transactionStatus(number), keepRawTransactions ? "open" : "aborted");
    if (keepRawTransactions) await again.endTransaction(identity, "commit");
    else await assert.rejects(again.endTransaction(identity, "commit"), code("InvalidTransactionState"));
    assert.deepEqual(await values(again), keepRawTransactions ? ["kept"] : []);
    // Not by a hook: those that end with the test run in the order of the lines, and the directory would go first.
    await again.close();
  }
});

test("identities and transactions are taken as they are answered, and nothing else is", async (t) => {
  const { engine } = await log(t);
  const invalid = code("InvalidArgument");
  const partition = engine.partition("t", 0);
  const good = await engine.initProducer("shop");
  const bad = [undefined, null, 1, "x", {}, { ...good, epoch: "0" }, { ...good, epoch: -1 }, { ...good, epoch: 0.5 },
    { ...good, epoch: 40_000 }, { ...good, producerId: -1 }, { ...good, producerId: 2n ** 63n },
    { ...good, producerId: "1" }];
  for (const identity of bad) {
    await assert.rejects(engine.endTransaction(identity, "commit"), invalid);
    await assert.rejects(engine.sendOffsets(identity, group, []), invalid);
    if (identity === undefined) continue;
    await assert.rejects(partition.append([{ value: "x" }], { producer: identity, baseSequence: 0 }), invalid);
    if (identity !== null) await assert.rejects(engine.initProducer("shop", { current: identity }), invalid);
  }
  for (const outcome of [undefined, null, 1, "maybe", true]) {
    await assert.rejects(engine.endTransaction(good, outcome), invalid);
  }
  for (const id of [undefined, 1, {}, ""]) await assert.rejects(engine.initProducer(id), invalid);
  for (const timeoutMs of [-1, 0, NaN, "1", 900_001, 2 ** 40]) {
    await assert.rejects(engine.initProducer("shop", { timeoutMs }), invalid, String(timeoutMs));
  }
  for (const metadata of [undefined, null, 1, {}, { group: 1 }, { group: "" }]) {
    await assert.rejects(engine.sendOffsets(good, metadata, [{ ...at, offset: 1 }]), invalid);
  }
  for (const offsets of [undefined, 1, [1], [{ ...at, offset: -1 }], [{ ...at, offset: 2n ** 63n }]]) {
    await assert.rejects(engine.sendOffsets(good, group, offsets), invalid);
  }
  await assert.rejects(engine.sendOffsets(good, group, [{ topic: "nope", partition: 0, offset: 1 }]),
    code("UnknownTopicOrPartition"));
  for (const number of [undefined, null, -1, NaN, "1", 2n ** 64n]) {
    await assert.rejects(engine.abortTransaction(number), invalid);
    await assert.rejects(engine.transactionStatus(number), invalid);
  }
  for (const options of [{ producer: good }, { baseSequence: 0 }, { transactional: true }, { transactional: "yes" },
    { producer: good, baseSequence: -1 }, { producer: good, baseSequence: 2 ** 31 }, { compression: "zip" },
    { producer: good, baseSequence: 0.5 }, { producer: good, baseSequence: "0" }, { compression: 1 }]) {
    await assert.rejects(partition.append([{ value: "x" }], options), invalid);
  }
  assert.deepEqual([await values(engine), engine.describeTransactions()], [[], []]);
  await engine.close();
  for (const call of [() => engine.initProducer("shop"), () => engine.endTransaction(good, "abort"),
    () => engine.sendOffsets(good, group, []), () => engine.abortTransaction(1), () => engine.transactionStatus(1),
    async () => engine.describeTransactions()]) {
    await assert.rejects(call, code("Closed"), call.toString());
  }
});

test("a reader cannot begin, end or abort anything", async (t) => {
  const { engine, path } = await log(t);
  const identity = await engine.initProducer("shop");
  await engine.close();
  const reader = await open(path, { readOnly: true });
  t.after(() => reader.close());
  for (const call of [() => reader.initProducer("shop"), () => reader.endTransaction(identity, "abort"),
    () => reader.sendOffsets(identity, group, [{ ...at, offset: 0 }]), () => reader.abortTransaction(1)]) {
    await assert.rejects(call, code("ReadOnly"), call.toString());
  }
  assert.deepEqual(reader.describeTransactions(), []);
});
