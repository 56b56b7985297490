// Batches that a Kafka client encoded, byte for byte.
import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { code, log, values } from "./helpers.mjs";

/** CRC-32C, bit by bit. */
function sum(bytes) {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}

/** A record batch of Kafka's format 2; its few records have short values and no keys. */
function encoded(texts, { producerId = -1n, epoch = -1, sequence = -1, gzip = false } = {}) {
  const records = texts.map((text, nth) => {
    const body = Buffer.from([0, 0, 2 * nth, 1, 2 * text.length, ...Buffer.from(text), 0]);
    return Buffer.from([2 * body.length, ...body]);
  });
  const plain = Buffer.concat(records);
  const batch = Buffer.concat([Buffer.alloc(61), gzip ? gzipSync(plain) : plain]);
  batch.writeInt32BE(batch.length - 12, 8);
  batch.writeInt8(2, 16);
  batch.writeInt16BE(gzip ? 1 : 0, 21);
  batch.writeInt32BE(texts.length - 1, 23);
  batch.writeBigInt64BE(1_700_000_000_000n, 27);
  batch.writeBigInt64BE(1_700_000_000_000n, 35);
  batch.writeBigInt64BE(producerId, 43);
  batch.writeInt16BE(epoch, 51);
  batch.writeInt32BE(sequence, 53);
  batch.writeInt32BE(texts.length, 57);
  batch.writeUInt32BE(sum(batch.subarray(21)), 17);
  return batch;
}

test("a batch that a Kafka client encoded is appended as it is", async (t) => {
  const { engine } = await log(t);
  const partition = engine.partition("t", 0);
  const batch = encoded(["a", "b"]);
  const appending = partition.appendBatch(batch, { durability: "disk" });
  batch.fill(0); // what was taken was copied
  const { first, last, timestamp, duplicate } = await appending;
  assert.deepEqual([first, last, timestamp, duplicate], [0n, 1n, 1_700_000_000_000, false]);
  const shared = new SharedArrayBuffer(batch.length);
  const gzip = encoded(["c"], { gzip: true });
  Buffer.from(shared).set(encoded(["d"]));
  for (const bytes of [gzip, new DataView(Uint8Array.from(gzip).buffer), Uint8Array.from(gzip).buffer]) {
    assert.equal((await partition.appendBatch(bytes)).duplicate, false);
  }
  await partition.appendBatch(new Uint8Array(shared, 0, encoded(["d"]).length));
  assert.deepEqual(await values(engine), ["a", "b", "c", "c", "c", "d"]);
});

test("an encoded batch that is repeated is answered as a duplicate, one out of order is refused", async (t) => {
  const { engine } = await log(t);
  const partition = engine.partition("t", 0);
  const { producerId, epoch } = await engine.initProducer(null);
  const of = (sequence) => encoded(["a", "b"], { producerId, epoch, sequence });
  assert.deepEqual([(await partition.appendBatch(of(0))).duplicate, (await partition.appendBatch(of(0))).duplicate],
    [false, true]);
  await assert.rejects(partition.appendBatch(of(7)), code("OutOfOrderSequence"));
  assert.equal(partition.producers()[0].lastSequence, 1);
});

test("a header whose name is no text hides nothing of its record, and is there as bytes", async (t) => {
  const { engine } = await log(t);
  const partition = engine.partition("t", 0);
  const batch = Buffer.concat([encoded(["a"]).subarray(0, -1), Buffer.from([4, 2, 0xff, 1, 2, 0x62, 2, 0x78])]);
  // Two lengths count the headers.
  batch[11] += 7;
  batch[61] += 14;
  batch.writeUInt32BE(sum(batch.subarray(21)), 17);
  await partition.appendBatch(batch);
  const [record] = await partition.read(0n);
  assert.deepEqual(String(record.value), "a");
  const [first, second] = record.headers;
  assert.deepEqual([first.key, first.value, [...first.keyBytes]], ["\ufffd", null, [0xff]]);
  assert.deepEqual([second.key, String(second.value), second.keyBytes], ["b", "x", undefined]);
});

test("bytes that are no batch are refused, and so is what is no bytes", async (t) => {
  const { engine } = await log(t);
  const partition = engine.partition("t", 0);
  const [whole, broken, old] = [encoded(["a"]), encoded(["a"]), encoded(["a"])];
  broken[60] ^= 1;
  old[16] = 1;
  const noBatch = (error) => ["Corrupt", "InvalidRecord"].includes(error.code) && error.name === "OncelogError";
  const bytes = [Buffer.alloc(0), Buffer.alloc(100), whole.subarray(0, -1), Buffer.concat([whole, whole]), broken, old];
  for (const wrong of bytes) await assert.rejects(partition.appendBatch(wrong), noBatch);
  for (const wrong of [undefined, null, "text", 5, [1, 2], {}, [whole]]) {
    await assert.rejects(partition.appendBatch(wrong), code("InvalidArgument"));
  }
  const gone = new ArrayBuffer(8);
  structuredClone(gone, { transfer: [gone] });
  for (const wrong of [gone, Buffer.from(new ArrayBuffer(0))]) await assert.rejects(partition.appendBatch(wrong));
  await assert.rejects(partition.appendBatch(Buffer.alloc((64 << 20) + 1)), code("RecordTooLarge"));
  await assert.rejects(partition.appendBatch(whole, { durability: "sometimes" }), code("InvalidArgument"));
  await assert.rejects(partition.appendBatch(whole, 5), code("InvalidArgument"));
  await assert.rejects(partition.appendBatch(whole, { signal: AbortSignal.abort() }), { name: "AbortError" });
  assert.equal(partition.bounds().end, 0n);
  await engine.close();
  await assert.rejects(partition.appendBatch(whole), code("Closed"));
});
