// A test that hangs ends its process and is named, even if it never lets go of the event loop: no timer of the loop
// would fire then, so the clock runs on a thread of its own. Each file of tests imports this, by the helpers.
import { basename } from "node:path";
import { afterEach, beforeEach } from "node:test";
import { Worker } from "node:worker_threads";

/** How long a test may take; the slowest takes seconds, on a busy machine minutes. */
const LONG_MS = 600_000;
/** What the test of this limit makes of it. */
const LIMIT_MS = Number(process.env.ONCELOG_TEST_LIMIT_MS ?? LONG_MS);

const clock = `
  const { writeSync } = require("node:fs");
  const { parentPort } = require("node:worker_threads");
  let timer;
  parentPort.on("message", ({ what, limit }) => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      writeSync(2, "hangs for " + limit + " ms: " + what + "\\n");
      process.kill(process.pid, "SIGKILL");
    }, limit);
  });
`;
const worker = new Worker(clock, { eval: true });
// A process that has nothing more to do ends all the same.
worker.unref();

const file = basename(process.argv[1] ?? "");
const begins = (what, limit = LIMIT_MS) => worker.postMessage({ what: `${what}, ${file}`, limit });

// To start takes a busy machine longer than the test of this limit gives to a test.
begins("what comes before the first test", LONG_MS);
beforeEach((t) => begins(t.name));
afterEach((t) => begins(`what comes behind ${t.name}`));
