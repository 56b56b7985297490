// What a broker does for its clients: identities, batches with sequences, and transactions that it keeps itself.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { open } from "oncelog";

const directory = mkdtempSync(join(tmpdir(), "oncelog-"));
// Its clients outlive it: what they have open stays open when the log is opened again.
const engine = await open(directory, { keepRawTransactions: true });
await engine.createTopic("orders", { timestampType: "append" });
const orders = engine.partition("orders", 0);

const identity = await engine.initProducer("shop", { timeoutMs: 60_000 });
const batch = { producer: identity, baseSequence: 0, transactional: true };
await orders.append([{ value: "3 apples" }, { value: "1 pear" }], batch);
// The client did not hear of it and sends the batch again.
const again = await orders.append([{ value: "3 apples" }, { value: "1 pear" }], batch);
console.log(`sent again: ${again.duplicate ? "a duplicate" : "written"}`);
const [active] = orders.producers();
console.log(`its last sequence is ${active.lastSequence}, its transaction starts at ${active.transactionStartOffset}`);
await engine.sendOffsets(identity, { group: "billing" }, [{ topic: "orders", partition: 0, offset: 2 }]);

const next = await engine.endTransaction(identity, "commit");
const { length } = await orders.read(0);
const billing = engine.consumer({ group: "billing" });
console.log(`epoch ${identity.epoch}, then ${next.epoch}; ${length} orders, ` +
  `billing at ${await billing.committed({ topic: "orders", partition: 0 })}`);
await engine.close();
rmSync(directory, { recursive: true });
