// One turn of a log that programs in several languages write by turns, or the log as text.
// node relay.mjs <directory> turn <n> | node relay.mjs <directory> dump
import { open } from "../dist/index.mjs";

const PARTITIONS = { baton: 3, seen: 1 };

/** Goes on exactly where the last language stopped, or fails. */
async function turn(directory, n) {
  const engine = await open(directory);
  const producer = await engine.producer({ name: "relay" });
  if (producer.position !== (n > 0n ? n - 1n : null)) throw new Error(`the producer stands at ${producer.position}`);
  if (n > 0n && !(await producer.send("baton", { value: "again", position: n - 1n })).duplicate) {
    throw new Error("a position that was sent before is no duplicate");
  }
  const text = Buffer.from(`turn ${n} by node, größer `);
  await producer.send("baton", {
    key: `key ${n % 7n}`,
    value: n % 4n === 3n ? null : Buffer.concat([text, Buffer.from([0, 255, Number(n % 256n)])]),
    headers: [{ key: "language", value: "node" }, { key: "none", value: null }],
    timestamp: 1_700_000_000_000 + Number(n),
    position: n,
  });

  const consumer = engine.consumer({ topics: ["baton"], group: "relay" });
  const transactional = await engine.transactionalProducer("relay-transactions");
  const transaction = transactional.beginTransactionFor(consumer);
  const records = await consumer.poll({ timeoutMs: 5000 });
  for (const { partition, offset, key } of records) {
    const record = { key, value: `node saw ${partition}@${offset}`, timestamp: 1_800_000_000_000 + Number(n) };
    transaction.send("seen", record);
  }
  await transaction.commit();
  if (records.length !== 1) throw new Error(`the group read ${records.length} records, not the one of this turn`);
  await engine.close();
}

const hex = (bytes) => (bytes === null ? "-" : `x${bytes.toString("hex")}`);

async function dump(directory) {
  const engine = await open(directory, { readOnly: true });
  const lines = [];
  for (const [topic, partitions] of Object.entries(PARTITIONS)) {
    for (let number = 0; number < partitions; number++) {
      const partition = engine.partition(topic, number);
      for (let next = 0n; next < partition.bounds().stable; ) {
        const records = await partition.read(next);
        for (const { offset, timestamp, key, value, headers } of records) {
          const words = headers.map((header) => `${header.key}=${hex(header.value)}`);
          lines.push([topic, number, offset, timestamp, hex(key), hex(value), ...words].join(" "));
        }
        next = records.nextOffset(topic, number);
      }
    }
  }
  const consumer = engine.consumer({ group: "relay" });
  for (let partition = 0; partition < PARTITIONS.baton; partition++) {
    const committed = await consumer.committed({ topic: "baton", partition });
    lines.push(`committed baton ${partition} ${committed ?? "-"}`);
  }
  process.stdout.write(`${lines.join("\n")}\n`);
}

const [directory, what, n] = process.argv.slice(2);
await (what === "dump" ? dump(directory) : turn(directory, BigInt(n)));
