// Read, transform, write: results and offsets are committed together, or not at all.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { open } from "oncelog";

const directory = mkdtempSync(join(tmpdir(), "oncelog-"));
const engine = await open(directory);
await engine.createTopic("orders");
await engine.createTopic("invoices");
await (await engine.producer()).send("orders", { value: "3 apples" });

const orders = { topic: "orders", partition: 0 };
const consumer = engine.consumer({ topics: ["orders"], group: "billing" });
const producer = await engine.transactionalProducer("billing-1");

// The first attempt is given up: the abort puts the consumer back. Leaving an `await using` scope would abort as well.
for (const attempt of ["given up", "committed"]) {
  const transaction = producer.beginTransactionFor(consumer);
  for (const { value } of await consumer.poll({ timeoutMs: 1000 })) {
    transaction.send("invoices", { value: `invoice for ${value}` });
  }
  await (attempt === "committed" ? transaction.commit() : transaction.abort());
  const { end } = engine.partition("invoices", 0).bounds();
  console.log(`${attempt}: ${end} invoices, offset committed: ${await consumer.committed(orders)}`);
}
await engine.close();
rmSync(directory, { recursive: true });
