// Batches that a Kafka client encoded, byte for byte.
import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { Batch, compressionIsAvailable, limits } from "../dist/index.mjs";
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

test("a batch that a Kafka client encoded can be looked into before it is appended", async () => {
  const bytes = encoded(["a", "bc"], { producerId: 7n, epoch: 3, sequence: 2 ** 31 - 1 });
  const batch = Batch.fromBytes(bytes);
  const time = 1_700_000_000_000;
  const { header } = batch;
  assert.deepEqual(header, {
    baseOffset: 0n, lastOffset: 1n, count: 2, producer: { producerId: 7n, epoch: 3 }, baseSequence: 2 ** 31 - 1,
    lastSequence: 0, baseTimestamp: time, maxTimestamp: time, timestampType: "create", compression: "none",
    transactional: false, control: false, deleteHorizon: false, leaderEpoch: 0, size: bytes.length, magic: 2,
    attributes: 0, crc: sum(bytes.subarray(21)),
  });
  assert.throws(() => (header.count = 3), TypeError);
  bytes.fill(0); // what was taken was copied
  const expected = ["a", "bc"].map((text, nth) => {
    return { offset: BigInt(nth), timestamp: time, key: null, value: Buffer.from(text), headers: [] };
  });
  assert.deepEqual(batch.records(), expected);
  assert.deepEqual(batch.records(), expected, "as often as needed");
  const zipped = Batch.fromBytes(encoded(["a", "bc"], { gzip: true }));
  const { compression, producer, baseSequence, lastSequence } = zipped.header;
  assert.deepEqual([compression, producer, baseSequence, lastSequence], ["gzip", null, null, null]);
  assert.deepEqual(zipped.records(), expected);
});

test("a header of a batch says what was set right", async () => {
  const bytes = encoded(["a"]);
  bytes[22] |= 0x18; // a transaction's, with the time of an append
  bytes.writeBigInt64BE(5n, 35);
  const [identity, sequence] = [9n, 0];
  bytes.writeBigInt64BE(identity, 43);
  bytes.writeInt16BE(0, 51);
  bytes.writeInt32BE(sequence, 53);
  bytes.writeUInt32BE(sum(bytes.subarray(21)), 17);
  const { header } = Batch.fromBytes(bytes);
  assert.deepEqual([header.transactional, header.timestampType, header.attributes], [true, "create", 0x10]);
  assert.equal(header.maxTimestamp, 1_700_000_000_000);
  assert.deepEqual(header.producer, { producerId: identity, epoch: 0 });
});

test("the package has every codec, and no other", () => {
  for (const name of ["none", "gzip", "snappy", "lz4", "zstd"]) assert.equal(compressionIsAvailable(name), true);
  for (const wrong of ["brotli", "", "GZIP", undefined, null, 4, {}, ["gzip"]]) {
    assert.throws(() => compressionIsAvailable(wrong), code("InvalidArgument", /compression/));
  }
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
  for (const wrong of bytes) {
    await assert.rejects(partition.appendBatch(wrong), noBatch);
    assert.throws(() => Batch.fromBytes(wrong), noBatch);
  }
  for (const wrong of [undefined, null, "text", 5, [1, 2], {}, [whole]]) {
    await assert.rejects(partition.appendBatch(wrong), code("InvalidArgument"));
    assert.throws(() => Batch.fromBytes(wrong), code("InvalidArgument"));
  }
  const gone = new ArrayBuffer(8);
  structuredClone(gone, { transfer: [gone] });
  for (const wrong of [gone, Buffer.from(new ArrayBuffer(0))]) await assert.rejects(partition.appendBatch(wrong));
  await assert.rejects(partition.appendBatch(Buffer.alloc((64 << 20) + 1)), code("RecordTooLarge"));
  for (const size of [limits.batchMax + 1, limits.frameMax + 1]) {
    assert.throws(() => Batch.fromBytes(Buffer.alloc(size)), code("RecordTooLarge"));
  }
  await assert.rejects(partition.appendBatch(whole, { durability: "sometimes" }), code("InvalidArgument"));
  await assert.rejects(partition.appendBatch(whole, 5), code("InvalidArgument"));
  await assert.rejects(partition.appendBatch(whole, { signal: AbortSignal.abort() }), { name: "AbortError" });
  assert.equal(partition.bounds().end, 0n);
  await engine.close();
  await assert.rejects(partition.appendBatch(whole), code("Closed"));
});
