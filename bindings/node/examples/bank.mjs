// The bank job's child: loads the lines of a file, or works through them. The parent kills it again and again and then
// proves that nothing was lost and nothing was done twice.
// node bank.mjs <directory> <exactly-once | at-least-once | at-most-once> <loader | worker> <file>
import { readFileSync, writeSync } from "node:fs";
import { open } from "oncelog";
import { accountOf, Row } from "./bank_rows.mjs";

const PARTITIONS = 4;
/** Lines between two flushes of the loader, lines it sends again after a restart, rows in one transaction. */
const [GROUP, RESENT, ROWS] = [100, 100, 50];

/** Tells the parent, at once. */
const say = (...words) => writeSync(1, `${words.join(" ")}\n`);

const answers = process.stdin[Symbol.asyncIterator]();
/** The first half of a group is done: the parent lets this one go on, or kills it. */
async function half(n) {
  say("half", n);
  if ((await answers.next()).done) throw new Error("the parent is gone");
}

/** Sends every line once, whatever happens to the process: the log keeps the name's position with the lines. */
async function load(engine, file) {
  const lines = linesOf(readFileSync(file));
  const producer = await engine.producer({ name: "loader" });
  const send = async (from, to, halfway) => {
    const records = lines.slice(from, to).map((value, n) => ({ key: accountOf(value), value, position: from + n + 1 }));
    const sent = records.map((record) => producer.send("transactions", record));
    await halfway?.();
    return (await Promise.all(sent)).filter(({ duplicate }) => duplicate).length;
  };

  let done = Number(producer.position ?? 0n);
  say("ready", done);
  if (done > 0) {
    const first = Math.max(0, done - RESENT);
    say("resent", await send(first, done), done - first);
  }
  while (done < lines.length) {
    const end = Math.min(lines.length, done + GROUP);
    say("begin", end);
    const refused = await send(done, end, () => half(end));
    if (refused > 0) throw new Error(`${refused} lines after position ${done} were refused as duplicates`);
    say("committed", end);
    done = end;
  }
}

/** One line of the file ends where the next begins; the bytes stay as they are, UTF-8 or not. */
function linesOf(bytes) {
  const lines = [];
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf(10, at);
    lines.push(bytes.subarray(at, end < 0 ? bytes.length : end));
    at = end < 0 ? bytes.length : end + 1;
  }
  return lines;
}

/** Works through the lines. When the offsets are committed is the whole difference between the three ways. */
async function work(engine, delivery) {
  const consumer = engine.consumer({ topics: ["transactions"], group: "bank", maxRecords: ROWS, offsets: "number" });
  const input = Array.from({ length: PARTITIONS }, (_, partition) => ({ topic: "transactions", partition }));
  const sum = async (of) => (await Promise.all(input.map(of))).reduce((total, one) => total + one, 0);
  // Offsets have no holes, so the positions count the lines.
  const done = () => sum((partition) => consumer.position(partition));
  const lag = () => sum((partition) => consumer.lag(partition));
  say("ready", await done());

  const deliver = { "exactly-once": exactlyOnce, "at-least-once": atLeastOnce, "at-most-once": atMostOnce }[delivery];
  const group = await deliver(engine, consumer);
  while ((await lag()) > 0) {
    const { first, second } = group();
    const records = await consumer.poll({ timeoutMs: 1000 });
    const n = await done();
    say("begin", n);
    await first(records);
    await half(n);
    await second(records);
    say("committed", n);
  }
}

/** One transaction holds the results and the offsets: a crash leaves both or neither. */
async function exactlyOnce(engine, consumer) {
  const producer = await engine.transactionalProducer("bank-worker");
  return () => {
    // Begun before the poll, so that an abort would put the consumer back to where it stands now.
    const transaction = producer.beginTransactionFor(consumer);
    const first = (records) => {
      for (const { value } of records) for (const [topic, record] of transform(value)) transaction.send(topic, record);
    };
    return { first, second: () => transaction.commit() };
  };
}

/** Results first, offsets after: killed between the two, the next life does the same lines again. */
async function atLeastOnce(engine, consumer) {
  const producer = await engine.producer();
  return () => ({ first: (records) => write(producer, records), second: () => consumer.commit() });
}

/** Offsets first, results after: killed between the two, the next life never sees these lines. */
async function atMostOnce(engine, consumer) {
  const producer = await engine.producer();
  return () => ({ first: () => consumer.commit(), second: (records) => write(producer, records) });
}

/** Writes what the lines mean, outside any transaction, and waits until all of it is on the device. */
async function write(producer, records) {
  const results = [...records].flatMap(({ value }) => transform(value));
  await Promise.all(results.map(([topic, record]) => producer.send(topic, record)));
}

/** A line becomes a posting, and a message if it is a transfer to another bank; or a dead letter that says why not. */
function transform(line) {
  let row;
  try {
    row = new Row(line);
  } catch (error) {
    return [["transactions.dlt", { value: line, headers: [{ key: "reason", value: error.message }] }]];
  }
  const { id, account, amount, transfer } = row;
  const key = `${account}`;
  const posting = ["ledger", { key, value: `${id};${account};${amount}` }];
  if (transfer === null) return [posting];
  return [posting, ["transfers", { key, value: `${id};${account};${-amount};${transfer.join(";")}` }]];
}

const [directory, delivery, task, file] = process.argv.slice(2);
say("opening");
const engine = await open(directory);
await (task === "loader" ? load(engine, file) : work(engine, delivery));
await engine.close();
say("done");
// The parent's end of the pipe is open and would hold the process.
process.exit(0);
