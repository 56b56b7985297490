// Tests that hang, in the way that the environment names, for the test of the limit.
import { test } from "node:test";
import "../limit.mjs";

const hangs = {
  "with a blocked loop": async () => {
    for (;;) await null;
  },
  "with a promise that nobody keeps": () => new Promise((resolve) => setInterval(() => resolve === null, 1_000)),
  "behind a test": (t) => t.after(() => new Promise(() => setInterval(() => {}, 1_000))),
};

test("one that does not", () => {});
test(process.env.HANGS, hangs[process.env.HANGS]);
