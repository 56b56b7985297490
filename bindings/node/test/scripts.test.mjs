// Scripts that no test runs otherwise.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  chmodSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, utimesSync, writeFileSync,
} from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { directory } from "./helpers.mjs";

const home = fileURLToPath(new URL("..", import.meta.url));
// What stands in for npm is a script that says what runs it.
const elsewhere = { skip: process.platform === "win32" };

/** Writes a file, with the directories it lies in. */
function write(path, text) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

/** A registry that takes each version once, and not what the file "broken" names. */
const NPM = `#!/usr/bin/env node
const { appendFileSync, existsSync, readFileSync } = require("node:fs");
const read = (file) => (existsSync(file) ? readFileSync(file, "utf8").split("\\n") : []);
const [, , what, ...args] = process.argv;
if (what === "view") {
  if (!read("published").includes(args[0])) process.exit(1);
  console.log(args[0].split("@").at(-1));
} else {
  const { name, version } = JSON.parse(readFileSync(args.at(-1) + "/package.json", "utf8"));
  const full = name + "@" + version;
  if (read("published").includes(full) || read("broken").includes(full)) process.exit(1);
  appendFileSync("published", full + "\\n");
}
`;

test("a release that broke off goes on where it broke off, the package behind its parts", elsewhere, (t) => {
  const work = directory(t);
  cpSync(join(home, "scripts/publish.mjs"), join(work, "scripts/publish.mjs"));
  for (const [from, name] of [[".", "whole"], ["npm/a", "part-a"], ["npm/b", "part-b"]]) {
    write(join(work, from, "package.json"), JSON.stringify({ name, version: "1.2.3" }));
  }
  write(join(work, "bin/npm"), NPM);
  chmodSync(join(work, "bin/npm"), 0o755);
  const env = { ...process.env, PATH: `${join(work, "bin")}${delimiter}${process.env.PATH}` };
  const publish = () => spawnSync(process.execPath, ["scripts/publish.mjs"], { cwd: work, env, encoding: "utf8" });
  const published = () => readFileSync(join(work, "published"), "utf8").trim().split("\n");
  write(join(work, "broken"), "part-b@1.2.3");
  assert.equal(publish().status, 1);
  assert.deepEqual(published(), ["part-a@1.2.3"]);
  rmSync(join(work, "broken"));
  for (let again = 0; again < 2; again++) {
    const { status, stderr } = publish();
    assert.equal(status, 0, stderr);
    assert.deepEqual(published(), ["part-a@1.2.3", "part-b@1.2.3", "whole@1.2.3"]);
  }
});

/** A checkout in which everything was built at one time, with a build that only says that it ran. */
function checkout(t) {
  const root = directory(t);
  const here = join(root, "bindings/node");
  write(join(here, "scripts/build.mjs"), 'import { writeFileSync } from "node:fs"; writeFileSync("built", "");');
  cpSync(join(home, "scripts/install.mjs"), join(here, "scripts/install.mjs"));
  write(join(here, "dist/index.js"), "");
  write(join(here, "dist/platform.js"), 'exports.platformName = () => "here";');
  write(join(here, "oncelog.here.node"), "");
  mkdirSync(join(here, "node_modules/typescript"), { recursive: true });
  const core = ["../../core/src/api/engine.rs", "../../Cargo.lock"];
  const sources = ["native/lib.rs", "native/deep/queue.rs", "src/index.ts", ...core];
  for (const name of sources) write(join(here, name), "");
  const touch = (name, seconds) => utimesSync(join(here, name), seconds, seconds);
  for (const name of [...sources, "scripts/build.mjs"]) touch(name, 1_000);
  for (const name of ["dist/index.js", "oncelog.here.node"]) touch(name, 2_000);
  /** Whether installing builds. */
  const builds = () => {
    rmSync(join(here, "built"), { force: true });
    const { status, stderr } = spawnSync(process.execPath, ["scripts/install.mjs"], { cwd: here, encoding: "utf8" });
    assert.equal(status, 0, stderr);
    return existsSync(join(here, "built"));
  };
  return { here, sources, touch, builds };
}

test("installing a checkout builds when a source is newer than either half, and only then", (t) => {
  const { here, sources, touch, builds } = checkout(t);
  assert.equal(builds(), false, "all is as new as its sources");
  for (const source of sources) {
    touch(source, 3_000);
    assert.equal(builds(), true, source);
    // As a build of the facade alone leaves it.
    touch("dist/index.js", 4_000);
    assert.equal(builds(), true, `${source}, with the old native half`);
    touch("dist/index.js", 2_000);
    touch(source, 1_000);
  }
  assert.equal(builds(), false);
  write(join(here, "dist/index.js"), 'throw new Error("the halves do not fit");');
  assert.equal(builds(), true, "what cannot be loaded");
  rmSync(join(here, "oncelog.here.node"));
  assert.equal(builds(), true, "what is not there");
  rmSync(join(here, "native"), { recursive: true });
  assert.equal(builds(), false, "an installed package has nothing to build from");
});
