// A test that hangs ends its process and is named, even if it never lets go of the event loop: no timer of the loop
// would fire then, so the clock runs on a thread of its own. Each file of tests imports this, by the helpers.
import { basename } from "node:path";
import { afterEach, beforeEach } from "node:test";
import { Worker } from "node:worker_threads";

/** How long a test may take; the slowest takes seconds. */
const LIMIT_MS = Number(process.env.ONCELOG_TEST_LIMIT_MS ?? 120_000);

const clock = `
  const { writeSync } = require("node:fs");
  const { parentPort, workerData } = require("node:worker_threads");
  let timer;
  parentPort.on("message", (what) => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      writeSync(2, "hangs for " + workerData + " ms: " + what + "\\n");
      process.kill(process.pid, "SIGKILL");
    }, workerData);
  });
`;
const worker = new Worker(clock, { eval: true, workerData: LIMIT_MS });
// A process that has nothing more to do ends all the same.
worker.unref();

const file = basename(process.argv[1] ?? "");
const begins = (what) => worker.postMessage(`${what}, ${file}`);

begins("what comes before the first test");
beforeEach((t) => begins(t.name));
afterEach((t) => begins(`what comes behind ${t.name}`));
