// What a record costs from JavaScript, beside what programs use today, in one run. 100-byte records, one partition.
// node bench.mjs [directory] [rounds]; where lmdb and better-sqlite3 are installed (NODE_PATH finds them elsewhere)
// they are measured as well. Wall time is what the caller waits; thread time is what JavaScript's thread works of it,
// and says more on a machine that is busy with other things.
//
// A host may change its speed within a run. So a round is short, the rows of a group come directly one behind the
// other in it, forwards and backwards in turn, and what is compared is what one round measured of both.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { open } from "oncelog";

const require = createRequire(import.meta.url);
const [directory = tmpdir(), rounds = "24"] = process.argv.slice(2);
const RECORD = Buffer.from(Array.from({ length: 100 }, (_, j) => (j * 7) % 251));
const record = { value: RECORD };
/** Records that a row writes in a round. */
const N = 200_000;
/** Records that it reads: with fewer, what they leave to the collector is collected when nobody measures. */
const READ = 500_000;

/** Nanoseconds that this thread has worked; 0 where the system does not tell. */
function threadTime() {
  try {
    return Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, "utf8").split(" ")[0]);
  } catch {
    return 0;
  }
}

const groups = { post: [], many: [], read: [] };

/** Adds a row to a group: `run` over what `make` answers, which the rows of the group with the same one share. */
function measure(group, name, make, run) {
  groups[group].push({ name, make, run, count: group === "read" ? READ : N, wall: [], thread: [] });
}

async function once({ count, run, wall, thread }, store) {
  globalThis.gc?.();
  const [begun, worked] = [process.hrtime.bigint(), threadTime()];
  await run(store);
  thread.push((threadTime() - worked) / count);
  wall.push(Number(process.hrtime.bigint() - begun) / count);
  // What it leaves to be done is not the next one's.
  await store.settle?.();
}

/** All rows of a group, over fresh stores. */
async function onceEach(rows, round) {
  const path = mkdtempSync(join(directory, "oncelog-bench-"));
  const stores = new Map();
  for (const { make } of rows) if (!stores.has(make)) stores.set(make, await make(path));
  for (const row of round % 2 === 0 ? rows : [...rows].reverse()) await once(row, stores.get(row.make));
  for (const store of stores.values()) await store.close();
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
  const engine = await open(join(path, "o"), { durability: "os" });
  await engine.createTopic("t");
  await engine.createTopic("before");
  const producer = await engine.producer();
  // A new log begins with small segments, each flushed before the next but one: not what a program sees for long.
  const before = Array(1000).fill(record);
  for (let i = 0; i < 500; i++) await producer.sendMany("before", before);
  await engine.flush();
  return { engine, producer, settle: () => engine.flush(), close: () => engine.close() };
};
const post = async ({ producer }, count) => {
  for (let i = 0; i < count; i++) if (!producer.post("t", { value: RECORD })) await producer.drained();
  await producer.flush();
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
const filled = async (path) => {
  const store = await log(path);
  await post(store, READ);
  await store.settle();
  return store;
};

const lmdb = load("lmdb");
const putAll = (db, count) => {
  for (let i = 0; i < count; i += 1000) {
    db.transactionSync(() => {
      for (let j = 0; j < 1000; j++) db.putSync(i + j, RECORD);
    });
  }
};
const tree = (path) => lmdb.open({ path: join(path, "l"), encoding: "binary", keyEncoding: "uint32", noSync: true });

measure("post", "oncelog post, one by one", log, (store) => post(store, N));
if (lmdb) {
  measure("post", "lmdb-js put", tree, async (db) => {
    let last;
    for (let i = 0; i < N; i++) last = db.put(i, RECORD);
    await last;
  });
}
const Sqlite = load("better-sqlite3");
if (Sqlite) {
  const table = (path) => {
    const db = new Sqlite(join(path, "s.db"));
    db.pragma("journal_mode=wal");
    db.pragma("synchronous=normal");
    db.exec("create table log(off integer primary key, v blob)");
    return db;
  };
  measure("post", "better-sqlite3 run, in transactions of 1,000", table, (db) => {
    const insert = db.prepare("insert into log(v) values(?)");
    const batch = db.transaction(() => {
      for (let j = 0; j < 1000; j++) insert.run(RECORD);
    });
    for (let i = 0; i < N; i += 1000) batch();
  });
}
measure("post", "oncelog post, one crossing each", log, async ({ producer }) => {
  for (let i = 0; i < N; i++) {
    if (!producer.post("t", { value: RECORD })) await producer.drained();
    await null;
  }
  await producer.flush();
});
measure("post", "oncelog send, a promise each, 1,000 at a time", log, async ({ producer }) => {
  for (let i = 0; i < N; i += 1000) {
    await Promise.all(Array.from({ length: 1000 }, () => producer.send("t", { value: RECORD })));
  }
});

measure("many", "oncelog sendMany of 1,000, an answer each", log, many(1000));
if (lmdb) measure("many", "lmdb-js transactionSync of 1,000 putSync", tree, (db) => putAll(db, N));
measure("many", "oncelog sendMany of 1,000, each answer looked at", log, many(1000, lookAtAll));
measure("many", "oncelog sendMany of 100, an answer each", log, many(100));
measure("many", "oncelog transactions of 1,000 sends, one crossing each", log, async ({ engine }) => {
  const transactional = await engine.transactionalProducer("x");
  for (let i = 0; i < N; i += 1000) {
    const transaction = transactional.beginTransaction();
    for (let j = 0; j < 1000; j++) transaction.send("t", { value: RECORD });
    await transaction.commit();
  }
});

const polls = (offsets) => async ({ engine }) => {
  const consumer = engine.consumer({ topics: ["t"], offsets });
  for (let read = 0, sum = 0; read < READ; ) {
    const records = await consumer.poll();
    for (const { value } of records) sum += value.length;
    read += records.length;
  }
};
measure("read", "oncelog read, poll, offsets as bigint", filled, polls("bigint"));
if (lmdb) {
  const full = (path) => {
    const db = tree(path);
    putAll(db, READ);
    return db;
  };
  measure("read", "lmdb-js read, getRange", full, (db) => {
    let sum = 0;
    for (const { value } of db.getRange({})) sum += value.length;
  });
}
measure("read", "oncelog read, poll, offsets as number", filled, polls("number"));
measure("read", "oncelog read, for await", filled, async ({ engine }) => {
  let read = 0;
  for await (const { value } of engine.consumer({ topics: ["t"] })) if ((read += value.length / 100) === READ) break;
});

const rows = Object.values(groups).flat();
const loads = [loadavg()[0]];
// The first round is not counted: code is compiled in it.
for (let round = 0; round <= Number(rounds); round++) {
  for (const group of Object.values(groups)) await onceEach(group, round);
  if (round === 0) for (const row of rows) [row.wall, row.thread] = [[], []];
  else loads.push(loadavg()[0]);
}

const quantile = (numbers, q) => [...numbers].sort((a, b) => a - b)[Math.floor(q * (numbers.length - 1))];
/** A median with its quartiles. */
function spread(numbers, digits) {
  const [least, half, most] = [0.25, 0.5, 0.75].map((q) => quantile(numbers, q).toFixed(digits));
  return `${half} (${least} to ${most})`;
}
const shown = `${Math.min(...loads).toFixed(1)} to ${Math.max(...loads).toFixed(1)}`;
console.log(`node ${process.version}, ${availableParallelism()} processors, load ${shown}`);
console.log(`medians of ${rounds} rounds of ${N} records written and ${READ} read, with their quartiles`);
console.log(`${" ".repeat(56)} ${"wall, ns".padStart(22)} ${"thread".padStart(22)}`);
for (const { name, wall, thread } of rows) {
  console.log(`${name.padEnd(56)} ${spread(wall, 0).padStart(22)} ${spread(thread, 0).padStart(22)}`);
}

/** The targets: what it may cost, and how many times faster than what. */
const targets = [
  ["oncelog post, one by one", 150, "lmdb-js put", 3.5],
  ["oncelog post, one by one", 150, "better-sqlite3 run, in transactions of 1,000", 9],
  ["oncelog post, one crossing each", 450],
  ["oncelog sendMany of 1,000, an answer each", 130, "lmdb-js transactionSync of 1,000 putSync", 6],
  ["oncelog read, poll, offsets as bigint", 220, "lmdb-js read, getRange", 4],
];
console.log("\ntargets: ns, and times faster in the same round");
for (const [name, most, peer, times] of targets) {
  const find = (name) => rows.find((row) => row.name === name);
  const [own, other] = [find(name), find(peer)];
  const faster = (of) => spread(own[of].map((ns, round) => other[of][round] / ns), 1);
  const ratio = other && `; ${faster("wall")} x ${peer}, ${times} asked; thread ${faster("thread")} x`;
  console.log(`${name}: ${spread(own.wall, 0)} ns, ${most} asked; thread ${spread(own.thread, 0)}${ratio ?? ""}`);
}
