// What the tests share: a log in a directory that goes with the test, and a look at its records.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { open } from "../dist/index.mjs";
import "./limit.mjs";

/** A directory that is gone when the test ends. */
export function directory(t) {
  const path = mkdtempSync(join(tmpdir(), "oncelog-node-"));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** An open log with some topics; `by` another facade than the usual one. */
export async function log(t, { topics = ["t"], partitions = 1, by = { open }, ...options } = {}) {
  const path = mkdtempSync(join(tmpdir(), "oncelog-node-"));
  const engine = await by.open(path, { durability: "os", ...options });
  // In this order: an open log may make a file meanwhile.
  t.after(async () => {
    await engine.close();
    rmSync(path, { recursive: true, force: true });
  });
  for (const topic of topics) await engine.createTopic(topic, { partitions });
  return { engine, path };
}

/** The values of all records of a topic that are decided, as text, by partition and offset. */
export async function values(engine, topic = "t") {
  const { partitions } = engine.topics().find(({ name }) => name === topic);
  const found = [];
  for (let number = 0; number < partitions; number++) {
    const partition = engine.partition(topic, number);
    // Not up to the end: an open transaction may hold the rest back, and a read of nothing takes no turn of the loop.
    for (let at = 0n; at < partition.bounds().stable; ) {
      const records = await partition.read(at);
      for (const { value } of records) found.push(value && value.toString());
      at = records.nextOffset(topic, number);
    }
  }
  return found;
}

/** What a failed call answers: for assert.rejects and assert.throws. */
export function code(code, pattern = /./) {
  return (error) => {
    if (error.name !== "OncelogError" || error.code !== code || !pattern.test(error.message)) throw error;
    return true;
  };
}

/** What a call answers that says `Busy` until its refusal is on the device. */
export async function told(call) {
  for (;;) {
    try {
      return call();
    } catch (error) {
      if (error.code !== "Busy") throw error;
      await new Promise(setImmediate);
    }
  }
}

/** Some bytes of a length. */
export const bytes = (length) => Buffer.from(Array.from({ length }, (_, i) => (i * 7) % 251));
