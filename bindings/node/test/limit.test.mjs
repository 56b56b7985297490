import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import "./limit.mjs";

const hangs = fileURLToPath(new URL("children/hangs.mjs", import.meta.url));

/** What a run of tests says of which one hangs, and how it ends. */
async function run(way) {
  const env = { ...process.env, HANGS: way, ONCELOG_TEST_LIMIT_MS: "5000" };
  // Or the run would take itself for a part of this one.
  delete env.NODE_TEST_CONTEXT;
  const child = spawn(process.execPath, ["--test", hangs], { env, stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  for (const pipe of [child.stdout, child.stderr]) pipe.on("data", (data) => (said += data));
  const [status] = await once(child, "close");
  return { said, status };
}

test("a test that hangs ends its run, which says where", async () => {
  const ways = ["with a blocked loop", "with a promise that nobody keeps", "behind a test"];
  const runs = await Promise.all(ways.map(run));
  for (const [n, { said, status }] of runs.entries()) {
    assert.notEqual(status, 0, said);
    assert.match(said, new RegExp(`hangs for 5000 ms: (what comes behind )?${ways[n]}, hangs.mjs`));
  }
});
