// One way for a process to end, named by the second argument, with a log open in the directory of the first.
import { open } from "../../dist/index.mjs";

const [dir, way] = process.argv.slice(2);
// Small segments are full at once, however fast the disk is.
const engine = await open(dir, way.includes("wait") ? { segmentBytes: 64 << 10 } : {});
await engine.createTopic("t").catch(() => {});
const producer = await engine.producer();
const consumer = engine.consumer({ topics: ["t"], group: "g", start: "latest" });

const streams = { transactionBuffer: 0 };
const transactional = /listeners|transaction|commit/.test(way) && (await engine.transactionalProducer("x", streams));

const ways = {
  // Behind the library's own listener.
  "with listeners that send": () => {
    process.on("exit", () => {
      producer.post("t", { value: "posted" });
      producer.send("t", { value: "sent" });
    });
    process.on("exit", () => {
      producer.sendMany("t", [{ value: "many" }]);
      const transaction = transactional.beginTransaction();
      transaction.send("t", { value: "committed" });
      transaction.commit();
      engine.partition("t", 0).append([{ value: "appended" }]);
      producer.post("t", { value: "last" });
    });
    process.exit(8);
  },
  "by itself": () => void producer.post("t", { value: "posted" }),
  "by process.exit": () => {
    producer.post("t", { value: "posted" });
    producer.send("t", { value: "sent" });
    engine.flush();
    consumer.poll();
    process.exit(3);
  },
  "with records that wait for room": () => {
    const value = Buffer.alloc(1000);
    let posted = 1;
    while (producer.post("t", { value })) posted++;
    for (let i = 0; i < 5000; i++, posted++) producer.post("t", { value });
    setImmediate(() => {
      console.log(posted);
      process.exit(7);
    });
  },
  "with promises that wait for room": () => {
    const value = Buffer.alloc(1000);
    let sent = 1;
    while (producer.post("t", { value })) sent++;
    for (let i = 0; i < 500; i++, sent++) producer.send("t", { value });
    producer.sendMany("t", Array(3000).fill({ value }));
    producer.flush();
    engine.createTopic("u");
    setImmediate(() => {
      console.log(sent + 3000);
      process.exit(7);
    });
  },
  "with appends that wait for room": () => {
    const value = Buffer.alloc(1000);
    let sent = 20_001;
    while (producer.post("t", { value })) sent++;
    const partition = engine.partition("t", 0);
    for (let i = 0; i < 20_000; i++) partition.append([{ value: "x" }]);
    setImmediate(() => {
      console.log(sent);
      process.exit(7);
    });
  },
  "with a transaction that waits for room": (commits = false) => {
    const transaction = transactional.beginTransaction();
    const value = Buffer.alloc(1000);
    let sent = 1;
    while (transaction.send("t", { value })) sent++;
    for (let i = 0; i < 5000; i++, sent++) transaction.send("t", { value });
    if (commits) transaction.commit();
    setImmediate(() => {
      console.log(commits ? sent : 0);
      process.exit(7);
    });
  },
  "with a commit that waits for room": () => ways["with a transaction that waits for room"](true),
  "in a callback": () => {
    producer.send("t", { value: "sent" }).then(() => process.exit(4));
  },
  "by an unhandled rejection": () => void producer.send("nope", { value: "refused" }),
  "by an exception": () => {
    producer.send("t", { value: "sent" });
    queueMicrotask(() => {
      throw new Error("uncaught");
    });
  },
  "after a poll": () => {
    // The record ends the wait, however long the disk takes.
    const waiting = consumer.poll({ timeoutMs: 400_000 });
    producer.post("t", { value: "polled" });
    return waiting.then((records) => console.log(`polled ${records.length}`));
  },
  "while closing": () => {
    engine.close();
    process.exit(5);
  },
  "while opening": () => {
    open(`${dir}/second`);
    process.exit(6);
  },
};
ways[way]();
