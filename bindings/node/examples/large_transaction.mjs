// A transaction of any size: past its buffer it streams to the log, and readers wait for its decision.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { open } from "oncelog";

const directory = mkdtempSync(join(tmpdir(), "oncelog-"));
const engine = await open(directory);
await engine.createTopic("rows");
const producer = await engine.transactionalProducer("import", { compression: "lz4", transactionTimeoutMs: 300_000 });
const rows = engine.partition("rows", 0);

const transaction = producer.beginTransaction();
for (let row = 0; row < 50_000; row++) {
  // False: the log cannot keep up. Without the wait the records would wait in memory, and not without end.
  if (!transaction.send("rows", { value: `row ${row} ${"of many".repeat(10)}` })) await transaction.drained();
}
// Whoever looks why readers do not go on finds who holds them back, and could abort it by its number.
const [open_] = engine.describeTransactions();
console.log(`${open_.transactionalId} is ${await engine.transactionStatus(open_.number)}`);
console.log(`committed so far: ${rows.bounds().stable}`);
await transaction.commit();
console.log(`committed: ${rows.bounds().stable}; ${await engine.transactionStatus(transaction.number)}`);
await engine.close();
rmSync(directory, { recursive: true });
