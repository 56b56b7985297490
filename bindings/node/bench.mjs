// What a record costs from JavaScript, beside what programs use today, in one run. 100-byte records, one partition.
// node bench.mjs [directory] [rounds]; where lmdb and better-sqlite3 are installed (NODE_PATH finds them elsewhere)
// they are measured as well. Wall time is what the caller waits; thread time is what JavaScript's thread works of it,
// and says more on a machine that is busy with other things.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { open } from "oncelog";

const require = createRequire(import.meta.url);
const [directory = tmpdir(), rounds = "5"] = process.argv.slice(2);
const RECORD = Buffer.from(Array.from({ length: 100 }, (_, j) => (j * 7) % 251));
const record = { value: RECORD };
const N = 1_000_000;

/** Nanoseconds that this thread has worked; 0 where the system does not tell. */
function threadTime() {
  try {
    return Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, "utf8").split(" ")[0]);
  } catch {
    return 0;
  }
}

const cases = [];

/** Adds a case: `run` over a fresh store, `count` records each time. */
function measure(name, count, make, run) {
  cases.push({ name, count, make, run, wall: [], thread: [] });
}

async function once({ count, make, run, wall, thread }) {
  const path = mkdtempSync(join(directory, "oncelog-bench-"));
  const store = await make(path);
  globalThis.gc?.();
  const [begun, worked] = [process.hrtime.bigint(), threadTime()];
  await run(store);
  thread.push((threadTime() - worked) / count);
  wall.push(Number(process.hrtime.bigint() - begun) / count);
  await store.close();
  rmSync(path, { recursive: true });
}

function load(name) {
  try {
    return require(name);
  } catch {
    console.log(`${name} is not installed`);
    return null;
  }
}

const log = async (path) => {
  const engine = await open(path, { durability: "os" });
  await engine.createTopic("t");
  await engine.createTopic("before");
  const producer = await engine.producer();
  // A new log begins with small segments, each flushed before the next but one: not what a program sees for long.
  const before = Array(1000).fill(record);
  for (let i = 0; i < 500; i++) await producer.sendMany("before", before);
  return { engine, producer, close: () => engine.close() };
};
const post = async ({ producer }, count) => {
  for (let i = 0; i < count; i++) if (!producer.post("t", { value: RECORD })) await producer.drained();
  await producer.flush();
};
const filled = async (path) => {
  const store = await log(path);
  await post(store, N);
  return store;
};
/** Calls of many; `look` is shown the answers of each. */
const many = (size, look = () => {}) => async ({ producer }) => {
  const records = Array(size).fill(record);
  let waiting = [];
  for (let i = 0; i < N; i += size) {
    waiting.push(producer.sendMany("t", records).then(look));
    if (waiting.length * size >= 20_000) {
      await Promise.all(waiting);
      waiting = [];
    }
  }
  await Promise.all(waiting);
};
const lookAtAll = (answers) => {
  let sum = 0;
  for (const { first } of answers) sum += Number(first);
  return sum;
};

measure("oncelog post, one by one", N, log, (store) => post(store, N));
measure("oncelog post, one crossing each", N, log, async ({ producer }) => {
  for (let i = 0; i < N; i++) {
    if (!producer.post("t", { value: RECORD })) await producer.drained();
    await null;
  }
  await producer.flush();
});
measure("oncelog send, a promise each, 1,000 at a time", N, log, async ({ producer }) => {
  for (let i = 0; i < N; i += 1000) {
    await Promise.all(Array.from({ length: 1000 }, () => producer.send("t", { value: RECORD })));
  }
});
measure("oncelog transactions of 1,000 sends, one crossing each", N, log, async ({ engine }) => {
  const transactional = await engine.transactionalProducer("x");
  for (let i = 0; i < N; i += 1000) {
    const transaction = transactional.beginTransaction();
    for (let j = 0; j < 1000; j++) transaction.send("t", { value: RECORD });
    await transaction.commit();
  }
});
measure("oncelog sendMany of 1,000, an answer each", N, log, many(1000));
measure("oncelog sendMany of 1,000, each answer looked at", N, log, many(1000, lookAtAll));
measure("oncelog sendMany of 100, an answer each", N, log, many(100));
for (const [name, offsets] of [["bigint", "bigint"], ["number", "number"]]) {
  measure(`oncelog read, poll, offsets as ${name}`, N, filled, async ({ engine }) => {
    const consumer = engine.consumer({ topics: ["t"], offsets });
    for (let read = 0, sum = 0; read < N; ) {
      const records = await consumer.poll();
      for (const { value } of records) sum += value.length;
      read += records.length;
    }
  });
}
measure("oncelog read, for await", N, filled, async ({ engine }) => {
  let read = 0;
  for await (const { value } of engine.consumer({ topics: ["t"] })) if ((read += value.length / 100) === N) break;
});

const lmdb = load("lmdb");
if (lmdb) {
  const make = (path) => lmdb.open({ path: join(path, "l"), encoding: "binary", keyEncoding: "uint32", noSync: true });
  const fill = (db) => {
    for (let i = 0; i < N; i += 1000) {
      db.transactionSync(() => {
        for (let j = 0; j < 1000; j++) db.putSync(i + j, RECORD);
      });
    }
  };
  measure("lmdb-js put", N, make, async (db) => {
    let last;
    for (let i = 0; i < N; i++) last = db.put(i, RECORD);
    await last;
  });
  measure("lmdb-js transactionSync of 1,000 putSync", N, make, fill);
  measure("lmdb-js read, getRange", N, (path) => (fill.db = make(path), fill(fill.db), fill.db), (db) => {
    let sum = 0;
    for (const { value } of db.getRange({})) sum += value.length;
  });
}
const Sqlite = load("better-sqlite3");
if (Sqlite) {
  const make = (path) => {
    const db = new Sqlite(join(path, "s.db"));
    db.pragma("journal_mode=wal");
    db.pragma("synchronous=normal");
    db.exec("create table log(off integer primary key, v blob)");
    return db;
  };
  measure("better-sqlite3 run, in transactions of 1,000", N, make, (db) => {
    const insert = db.prepare("insert into log(v) values(?)");
    const batch = db.transaction(() => {
      for (let j = 0; j < 1000; j++) insert.run(RECORD);
    });
    for (let i = 0; i < N; i += 1000) batch();
  });
}

// The cases take turns, so that what else the machine does falls on all of them.
const loads = [loadavg()[0]];
for (let round = 0; round < Number(rounds); round++) {
  for (const one of cases) await once(one);
  loads.push(loadavg()[0]);
}
const median = (times) => [...times].sort((a, b) => a - b)[times.length >> 1];
const results = new Map(cases.map(({ name, wall, thread }) => [name, { wall: median(wall), thread: median(thread) }]));
const shown = loads.map((load) => load.toFixed(1)).join(" ");
const machine = `node ${process.version}, ${availableParallelism()} processors, load ${shown}`;
console.log(`${machine}; medians of ${rounds} rounds`);
console.log(`${" ".repeat(58)} wall, ns  thread`);
for (const [name, { wall, thread }] of results) {
  console.log(`${name.padEnd(58)} ${wall.toFixed(0).padStart(8)} ${thread.toFixed(0).padStart(7)}`);
}

/** The targets: what it may cost, and how many times faster than what. */
const targets = [
  ["oncelog post, one by one", 150, "lmdb-js put", 3.5],
  ["oncelog post, one by one", 150, "better-sqlite3 run, in transactions of 1,000", 9],
  ["oncelog post, one crossing each", 450],
  ["oncelog sendMany of 1,000, an answer each", 130, "lmdb-js transactionSync of 1,000 putSync", 6],
  ["oncelog read, poll, offsets as bigint", 220, "lmdb-js read, getRange", 4],
];
console.log("\ntargets: ns, and times faster in this run");
for (const [name, most, peer, times] of targets) {
  const { wall, thread } = results.get(name);
  const faster = (of) => (results.get(peer)[of] / results.get(name)[of]).toFixed(1);
  const ratio = results.has(peer) ? `; ${faster("wall")} x ${peer} (thread ${faster("thread")} x), ${times} asked` : "";
  console.log(`${name}: ${wall.toFixed(0)} ns (thread ${thread.toFixed(0)}), ${most} asked${ratio}`);
}
