// Asks a log for times, thousands at once, until its thread is ended.
import { parentPort, workerData } from "node:worker_threads";
import { open } from "../../dist/index.mjs";

const { dir, exits } = workerData;
const engine = await open(dir);
await engine.createTopic("t").catch(() => {});
const partition = engine.partition("t", 0);
const records = Array.from({ length: 5000 }, (_, n) => ({ value: "found", timestamp: n }));
await partition.append(records, { compression: "zstd" });
let answered = 0;
const failed = (error) => parentPort.postMessage(`failed: ${error.message}`);
for (let n = 0; n < 5000; n++) partition.offsetAt(4_999).then(() => answered++, failed);
if (exits) process.exit(0);
parentPort.postMessage("asked");
await new Promise((resolve) => setTimeout(resolve, 60_000));
