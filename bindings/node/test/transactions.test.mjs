import assert from "node:assert/strict";
import { test } from "node:test";
import { code, log, told, values } from "./helpers.mjs";

const from = { topic: "in", partition: 0 };

async function pipeline(t, count = 100) {
  const { engine } = await log(t, { topics: ["in", "out"] });
  const producer = await engine.producer();
  await producer.sendMany("in", Array.from({ length: count }, (_, i) => ({ value: `${i}` })));
  const consumer = engine.consumer({ topics: ["in"], group: "g" });
  return { engine, consumer, producer, transactional: await engine.transactionalProducer("worker") };
}

test("records of a transaction are seen together, and not before the commit", async (t) => {
  const { engine, transactional } = await pipeline(t, 0);
  const transaction = transactional.beginTransaction();
  transaction.send("out", { value: "a", key: "k", headers: [{ key: "h", value: "v" }] });
  transaction.sendMany("in", [{ value: "b" }, { value: "c" }]);
  transaction.sendMany("out", new Set([{ value: "x".repeat(200_000) }]));
  await new Promise(setImmediate);
  assert.deepEqual([await values(engine, "in"), await values(engine, "out")], [[], []]);
  const committed = await transaction.commit();
  assert.equal(committed.number, transaction.number);
  assert.ok(committed.lsn > 0n);
  assert.deepEqual(await values(engine, "in"), ["b", "c"]);
  assert.deepEqual((await values(engine, "out")).map((value) => value.length), [1, 200_000]);
});

test("an aborted, disposed or forgotten transaction leaves nothing", async (t) => {
  const { engine, transactional } = await pipeline(t, 0);
  const first = transactional.beginTransaction();
  first.send("out", { value: "never" });
  assert.throws(() => transactional.beginTransaction(), code("InvalidTransactionState"));
  await first.abort();
  const second = transactional.beginTransaction();
  second.send("out", { value: "never" });
  await second[Symbol.asyncDispose]();
  await second[Symbol.asyncDispose]();
  const third = transactional.beginTransaction();
  assert.equal((await third.commit()).lsn, 0n, "an empty one writes nothing");
  assert.deepEqual(await values(engine, "out"), []);
});

test("after its end a transaction takes nothing more", async (t) => {
  const { transactional } = await pipeline(t, 0);
  const transaction = transactional.beginTransaction();
  const committing = transaction.commit();
  for (const call of [
    () => transaction.send("out", { value: "x" }),
    () => transaction.sendMany("out", [{ value: "x" }]),
    () => transaction.sendPosition(1),
    () => transaction.sendOffsets({ group: "g" }, []),
  ]) assert.throws(call, code("InvalidTransactionState"));
  await assert.rejects(transaction.commit(), code("InvalidTransactionState"));
  await assert.rejects(transaction.abort(), code("InvalidTransactionState"));
  await committing;
});

test("a transaction says whether it is open, until it is committed or aborted", async (t) => {
  const { engine, transactional } = await pipeline(t, 0);
  for (const end of ["commit", "abort", Symbol.asyncDispose]) {
    const transaction = transactional.beginTransaction();
    transaction.send("out", { value: "x" });
    assert.throws(() => transaction.send("nope", { value: "x" }), code("UnknownTopicOrPartition"));
    assert.equal(transaction.isOpen, true, "what was refused ends nothing");
    assert.throws(() => (transaction.isOpen = false), TypeError);
    const ending = transaction[end]();
    assert.equal(transaction.isOpen, false);
    await ending;
    assert.equal(transaction.isOpen, false);
  }
  const last = transactional.beginTransaction();
  await engine.close();
  // Nobody has said how it ends, though the log has aborted it.
  assert.equal(last.isOpen, true);
  await assert.rejects(last.commit(), code("Closed"));
  assert.equal(last.isOpen, false);
});

test("a refused record leaves the transaction as it was", async (t) => {
  const { engine, transactional } = await pipeline(t, 0);
  const transaction = transactional.beginTransaction();
  transaction.send("out", { value: "1" });
  assert.throws(() => transaction.send("nope", { value: "x" }), code("UnknownTopicOrPartition"));
  assert.throws(() => transaction.send("out", { value: "x", position: 1 }), code("InvalidArgument"));
  assert.throws(() => transaction.send("out", { value: Buffer.alloc(2 << 20) }), code("RecordTooLarge"));
  assert.throws(() => transaction.send("out", {}), code("InvalidArgument"));
  // Past its buffer it goes on in the log.
  transaction.sendMany("out", Array(20).fill({ value: Buffer.alloc(100_000) }));
  assert.throws(() => transaction.sendPosition(-1), code("InvalidArgument"));
  await transaction.commit();
  assert.equal((await values(engine, "out"))[0], "1");
});

test("offsets are committed with the records, and moved back with an abort", async (t) => {
  const { engine, consumer, transactional } = await pipeline(t);
  for (const end of ["abort", "commit"]) {
    const transaction = transactional.beginTransactionFor(consumer);
    const records = await consumer.poll();
    assert.equal(records.length, 100);
    transaction.sendMany("out", [...records].map(({ value }) => ({ value })));
    await transaction[end]();
  }
  assert.equal(await consumer.committed(from), 100n);
  assert.equal((await values(engine, "out")).length, 100);
});

test("a commit in the middle of for await commits what was given and no more", async (t) => {
  const { engine, consumer, transactional } = await pipeline(t);
  let transaction = transactional.beginTransactionFor(consumer);
  let count = 0;
  for await (const { value } of consumer) {
    transaction.send("out", { value });
    count++;
    if (count % 7 === 0) {
      await transaction.commit();
      assert.equal(await consumer.committed(from), BigInt(count));
      transaction = transactional.beginTransactionFor(consumer);
    }
    if (count === 98) break;
  }
  await transaction.commit();
  assert.equal(await consumer.committed(from), 98n);
  assert.deepEqual(await values(engine, "out"), Array.from({ length: 98 }, (_, i) => `${i}`));
});

test("an abort in the middle of for await goes back to where the transaction began", async (t) => {
  const { consumer, transactional } = await pipeline(t);
  const seen = [];
  let transaction;
  for await (const { value } of consumer) {
    seen.push(Number(value));
    if (seen.length === 10) transaction = transactional.beginTransactionFor(consumer);
    if (seen.length === 15) await transaction.abort();
    if (seen.length === 20) break;
  }
  assert.deepEqual(seen, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 10, 11, 12, 13, 14]);
});

test("a commit that fails in the middle of for await goes back as well", async (t) => {
  const { engine, consumer, transactional } = await pipeline(t);
  await engine.createTopic("short");
  const seen = [];
  const transaction = transactional.beginTransactionFor(consumer);
  for await (const { value } of consumer) {
    seen.push(Number(value));
    if (seen.length === 3) {
      transaction.send("short", { value });
      await engine.deleteTopic("short");
      await assert.rejects(transaction.commit(), code("UnknownTopicOrPartition"));
    }
    if (seen.length === 5) break;
  }
  assert.deepEqual(seen, [0, 1, 2, 0, 1]);
});

test("offsets of any group can be sent, and a position of the id", async (t) => {
  const { engine, consumer, transactional } = await pipeline(t);
  const transaction = transactional.beginTransaction();
  transaction.sendOffsets(consumer.groupMetadata(), [{ ...from, offset: 5, metadata: "m", leaderEpoch: 1 }]);
  transaction.sendPosition(7n);
  await transaction.commit();
  assert.equal(await consumer.committed(from), 5n);
  assert.equal(transactional.position, 7n);
  const successor = await engine.transactionalProducer("worker");
  assert.equal(successor.position, 7n);
  await assert.rejects(told(() => transactional.beginTransaction()), code("ProducerFenced"));
  const groupless = engine.consumer({ topics: ["in"] });
  assert.throws(() => successor.beginTransactionFor(groupless), code("InvalidArgument"));
  await successor.close();
  assert.throws(() => successor.beginTransaction(), code("Closed"));
});

test("a fenced holder cannot commit, and its transaction requires nothing more", async (t) => {
  const { engine, transactional } = await pipeline(t, 0);
  const transaction = transactional.beginTransaction();
  transaction.send("out", { value: "late" });
  await engine.transactionalProducer("worker");
  await assert.rejects(transaction.commit(), (error) => error.code === "ProducerFenced" && error.fatal);
  assert.deepEqual(await values(engine, "out"), []);
});

test("a signal stops waiting for a commit, which is made all the same", async (t) => {
  const { engine, transactional } = await pipeline(t, 0);
  const controller = new AbortController();
  const transaction = transactional.beginTransaction();
  transaction.send("out", { value: "there" });
  const committing = transaction.commit({ signal: controller.signal });
  controller.abort();
  await assert.rejects(committing, { name: "AbortError" });
  await engine.flush();
  assert.deepEqual(await values(engine, "out"), ["there"]);
});

test("what is read behind the call of commit is no part of it, whether the log has room or not", async (t) => {
  for (const posts of [0, 20_000]) {
    const { engine, producer, consumer, transactional } = await pipeline(t);
    const reader = engine.consumer({ topics: ["in"], group: "h", maxRecords: 3 });
    const transaction = transactional.beginTransactionFor(reader);
    for (const { value } of await reader.poll()) transaction.send("out", { value });
    // More than the engine takes at once: the commit waits for room.
    for (let i = 0; i < posts; i++) producer.post("in", { value: "x".repeat(1000) });
    const committing = transaction.commit();
    const walk = reader[Symbol.asyncIterator]();
    assert.equal(`${(await walk.next()).value.value}`, "3");
    await committing;
    assert.deepEqual([await reader.committed(from), await reader.position(from)], [3n, 4n]);
    await producer.close();
    await consumer.close();
  }
});

test("a consumer that is closed in the middle of for await leaves no record behind it unread", async (t) => {
  for (const [posts, bound] of [[0, true], [20_000, true], [20_000, false]]) {
    const { engine, producer, transactional } = await pipeline(t);
    const reader = engine.consumer({ topics: ["in"], group: "h" });
    const commits = bound ? transactional.beginTransactionFor(reader) : reader;
    const walk = reader[Symbol.asyncIterator]();
    assert.equal(`${(await walk.next()).value.value}`, "0");
    // More than the engine takes at once: what commits waits for room, and the close with it.
    for (let i = 0; i < posts; i++) producer.post("in", { value: "x".repeat(1000) });
    const before = posts > 0 && commits.commit();
    const [closes, next] = [reader.close(), walk.next()];
    await Promise.all([closes, reader.close(), before]);
    assert.deepEqual(await next, { done: true, value: undefined });
    if (posts === 0) await commits.commit();
    const heir = engine.consumer({ topics: ["in"], group: "h" });
    assert.equal(await heir.committed(from), 1n);
    await producer.close();
  }
});

test("the next transaction may begin while the last is being committed", async (t) => {
  const { engine, transactional } = await pipeline(t, 0);
  const commits = ["a", "b", "c"].map((value) => {
    const transaction = transactional.beginTransaction();
    transaction.send("out", { value });
    return transaction.commit();
  });
  await Promise.all(commits);
  assert.deepEqual(await values(engine, "out"), ["a", "b", "c"]);
});

test("a getter that sends a large record into the transaction loses none", async (t) => {
  const { engine, transactional } = await pipeline(t, 0);
  const transaction = transactional.beginTransaction();
  const large = "l".repeat(100_000);
  transaction.send("out", { get value() { transaction.send("out", { value: large }); return "outer"; } });
  await transaction.commit();
  assert.deepEqual((await values(engine, "out")).map((value) => value[0]), ["l", "o"]);
});
