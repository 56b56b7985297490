// A transaction that streams is ahead of a log that has no room: what waits for it waits in order, beside JavaScript.
import assert from "node:assert/strict";
import { test } from "node:test";
import { code, log, values } from "./helpers.mjs";

const KB = "x".repeat(1000);
const range = (n) => Array.from({ length: n }, (_, i) => i);
const numbers = async (engine) => (await values(engine)).map((value) => parseInt(value));

/** Segments so small that the next one is never there in time for what one turn sends, however fast the disk is. */
async function small(t, options = {}, topics = ["t"]) {
  const { engine } = await log(t, { segmentBytes: 64 << 10, topics });
  const producer = await engine.transactionalProducer("bulk", { transactionBuffer: 0, ...options });
  return { engine, producer };
}

/** Sends until something has to wait, and some more; answers how many records that were. */
function ahead(transaction, more = 1000) {
  let sent = 0;
  while (transaction.send("t", { value: `${sent} ${KB}` })) sent++;
  for (const last = ++sent + more; sent < last; sent++) {
    assert.equal(transaction.send("t", { value: `${sent} ${KB}` }), false, "what waits stays in front");
  }
  return sent;
}

test("records that wait for room keep their order, and the commit comes behind them", async (t) => {
  for (const transactionBuffer of [0, 20_000, 1 << 20]) {
    const { engine, producer } = await small(t, { transactionBuffer });
    const transaction = producer.beginTransaction();
    const sent = ahead(transaction);
    const committed = await transaction.commit();
    assert.equal(committed.number, transaction.number);
    assert.deepEqual(await numbers(engine), range(sent), `buffer ${transactionBuffer}`);
  }
});

test("the loop turns while records wait, and send goes on when they are gone", async (t) => {
  const { engine, producer } = await small(t);
  const transaction = producer.beginTransaction();
  const sent = ahead(transaction, 5000);
  let turns = 0;
  const turn = setInterval(() => turns++, 1);
  await transaction.drained();
  clearInterval(turn);
  assert.ok(turns > 10, `${turns} turns for 6 MB in segments of 64 KiB`);
  await engine.flush();
  assert.equal(engine.partition("t", 0).bounds().end, BigInt(sent), "all of it is in the log");
  assert.equal(transaction.send("t", { value: `${sent}` }), true);
  await transaction.commit();
  assert.deepEqual(await numbers(engine), range(sent + 1));
});

test("records of every size and way wait in one row", async (t) => {
  const { engine, producer } = await small(t);
  const transaction = producer.beginTransaction();
  let sent = ahead(transaction, 0);
  const next = (size = 0) => ({ value: `${sent++} ${"y".repeat(size)}` });
  transaction.send("t", next(500_000));
  transaction.sendMany("t", [next(), next(70_000), next()]);
  transaction.send("t", { get value() { transaction.send("t", next(100_000)); return next().value; } });
  transaction.send("t", next());
  await transaction.drained();
  transaction.send("t", { get value() { ahead(transaction, 0); return "last"; } });
  await transaction.commit();
  const found = await values(engine);
  assert.deepEqual(found.slice(0, sent).map((value) => parseInt(value)), range(sent));
  assert.equal(found.at(-1), "last");
});

test("a refused record that had waited dooms its transaction, and everybody hears why", async (t) => {
  const { engine, producer } = await small(t);
  for (const wait of [true, false]) {
    const transaction = producer.beginTransaction();
    ahead(transaction, 10);
    assert.equal(transaction.send("nope", { value: "refused" }), false);
    transaction.send("t", { value: "behind it" });
    const refused = code("UnknownTopicOrPartition", /nope/);
    if (wait) {
      await assert.rejects(transaction.drained(), refused);
      assert.throws(() => transaction.send("t", { value: "x" }), refused);
      assert.throws(() => transaction.sendMany("t", [{ value: "x" }]), refused);
      const offsets = [{ topic: "t", partition: 0, offset: 0 }];
      assert.throws(() => transaction.sendOffsets({ group: "g" }, offsets), refused);
      assert.throws(() => transaction.sendPosition(1), refused);
      await assert.rejects(transaction.drained(), refused);
    }
    await assert.rejects(transaction.commit(), refused);
    assert.equal(await engine.transactionStatus(transaction.number), "aborted");
    await assert.rejects(transaction.commit(), code("InvalidTransactionState"));
  }
  assert.deepEqual(await values(engine), []);
  const next = producer.beginTransaction();
  next.send("t", { value: "next" });
  await next.commit();
  assert.deepEqual(await values(engine), ["next"]);
});

test("a bound consumer goes back when a record is refused that waited, and stays while the commit waits", async (t) => {
  const { engine, producer } = await small(t, {}, ["t", "in"]);
  await (await engine.producer()).sendMany("in", ["1", "2", "3", "4"].map((value) => ({ value })));
  const consumer = engine.consumer({ topics: ["in"], group: "g", maxRecords: 2 });
  for (const topic of ["nope", "t"]) {
    const transaction = producer.beginTransactionFor(consumer);
    const seen = [...(await consumer.poll())].map(({ value }) => `${value}`);
    assert.deepEqual(seen, ["1", "2"]);
    ahead(transaction, 10);
    transaction.send(topic, { value: "last" });
    const commits = transaction.commit();
    const walk = consumer[Symbol.asyncIterator]();
    const next = walk.next();
    if (topic === "nope") await assert.rejects(commits, code("UnknownTopicOrPartition"));
    else await commits;
    assert.equal(`${(await next).value.value}`, topic === "nope" ? "1" : "3");
    await walk.return();
    if (topic === "nope") consumer.rewind();
  }
  assert.equal(await consumer.committed({ topic: "in", partition: 0 }), 2n);
});

test("an abort throws away what waits, and so does a transaction that is disposed of", async (t) => {
  const { engine, producer } = await small(t);
  for (const end of ["abort", Symbol.asyncDispose]) {
    const transaction = producer.beginTransaction();
    ahead(transaction);
    const drained = transaction.drained();
    await transaction[end]();
    await drained;
    assert.throws(() => transaction.send("t", { value: "x" }), code("InvalidTransactionState"));
    assert.equal(await engine.transactionStatus(transaction.number), "aborted");
  }
  assert.ok(engine.partition("t", 0).bounds().end < 2000n, "what waited was not written");
  assert.deepEqual(await values(engine), []);
});

test("what waits is bounded: a record beyond is refused and can be sent again", async (t) => {
  const { engine, producer } = await small(t);
  const transaction = producer.beginTransaction();
  const value = Buffer.alloc(500_000);
  let sent = 0;
  const flood = () => {
    for (; sent < 10_000; sent++) transaction.send("t", { value });
  };
  assert.throws(flood, code("Busy", /drained/));
  assert.throws(() => transaction.sendMany("t", [{ value }]), code("Busy"));
  await assert.rejects(transaction.drained({ signal: AbortSignal.timeout(1) }), { name: "TimeoutError" });
  await transaction.drained();
  transaction.send("t", { value });
  await transaction.commit();
  assert.equal(engine.partition("t", 0).bounds().stable, BigInt(sent + 1));
});

test("an engine that is closed writes a commit that waits, and aborts what nobody commits", async (t) => {
  for (const commits of [true, false]) {
    const { engine, producer } = await small(t);
    const transaction = producer.beginTransaction();
    const sent = ahead(transaction);
    const ends = commits ? transaction.commit() : transaction.drained();
    await engine.close();
    await ends;
    if (commits) assert.equal(engine.metrics().transactionsCommitted, 1n, "the commit was made");
    else assert.throws(() => transaction.send("t", { value: "x" }), code("Closed"));
    assert.ok(sent > 1000);
  }
});

test("a transaction that times out while records wait is refused by whatever comes next", async (t) => {
  const { engine, producer } = await small(t, { transactionTimeoutMs: 1 });
  const transaction = producer.beginTransaction();
  ahead(transaction, 20_000);
  while ((await engine.transactionStatus(transaction.number)) === "open") await new Promise(setImmediate);
  await assert.rejects(transaction.commit(), code("TransactionTimedOut"));
  assert.deepEqual(await values(engine), []);
});
