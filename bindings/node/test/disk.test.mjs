// A disk that takes its time: JavaScript goes on.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { open } from "../dist/index.mjs";
import { directory, values } from "./helpers.mjs";

const elsewhere = { skip: process.platform !== "linux" };
const child = (name) => fileURLToPath(new URL(`children/${name}`, import.meta.url));

/** Runs a program whose disk stands while a file says so; `hears` is given what it says. */
async function run(t, program, hears, args = []) {
  const cwd = directory(t);
  const disk = join(cwd, "disk.so");
  const flags = ["-shared", "-fPIC", "-o", disk, child("slow_disk.c"), "-ldl"];
  const compiled = spawnSync("cc", flags, { encoding: "utf8" });
  assert.equal(compiled.status, 0, compiled.stderr);
  const stdio = ["ignore", "pipe", "inherit"];
  const env = { ...process.env, LD_PRELOAD: disk };
  const process_ = spawn(process.execPath, [child(program), ...args], { cwd, env, stdio });
  t.after(() => process_.kill("SIGKILL"));
  let said = "";
  process_.stdout.on("data", (data) => {
    said += data;
    hears?.(said, cwd);
  });
  const [status] = await once(process_, "close");
  assert.equal(status, 0);
  return said;
}

test("JavaScript goes on while a group's place waits for a flush", elsewhere, async (t) => {
  assert.equal(await run(t, "unflushed.mjs"), "0 1n 1n 1n b b\n");
});

test("calls that decide something, and appends, wait for room beside JavaScript, in order", elsewhere, async (t) => {
  const goOn = (said, cwd) => said.startsWith("asked\n") && rmSync(join(cwd, "stuck"), { force: true });
  const said = await run(t, "full.mjs", goOn);
  assert.equal(said, `asked\n["0","2","2","read"] UnknownTopicOrPartition Busy,Busy,Busy true\n`);
});

test("no call holds JavaScript while the disk stands still, however long that is", elsewhere, async (t) => {
  assert.equal(await run(t, "ahead.mjs"), "0 8 true true\n");
});

const gathered = "no flush holds JavaScript while more is gathered than there is room for, nor does a name's position";
test(gathered, elsewhere, async (t) => {
  assert.equal(await run(t, "gathered.mjs"), "0,true,1 4 9 25\n");
});

const full = "a full disk is told to a transaction that is ahead of it and to a flush, and the next one goes on";
test(full, elsewhere, async (t) => {
  assert.equal(await run(t, "no_space.mjs"), "Full,Full,aborted,Full,forgotten,Full x\n");
});

for (const [what, args] of [["its log is being closed", []], ["the log that it forgot is", ["forgotten"]]]) {
  test(`a process that exits while ${what} loses nothing that was sent`, elsewhere, async (t) => {
    let dir;
    await run(t, "closing.mjs", (_, cwd) => {
      dir = join(cwd, "log");
      // Time enough to exit for who would not wait; who waits does so however long it is.
      setTimeout(() => rmSync(join(cwd, "stuck"), { force: true }), 1_000);
    }, args);
    const engine = await open(dir);
    const found = await values(engine);
    await engine.close();
    assert.deepEqual(found, Array.from({ length: 100 }, (_, n) => `${n}`));
  });
}
