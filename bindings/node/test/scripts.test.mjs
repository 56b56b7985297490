// Scripts that no test runs otherwise.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
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
