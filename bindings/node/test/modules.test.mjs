import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import * as module_ from "oncelog";
import { directory } from "./helpers.mjs";

const require = createRequire(import.meta.url);
const home = fileURLToPath(new URL("..", import.meta.url));
const tsc = require.resolve("typescript/lib/tsc.js");

test("both kinds of modules give the same classes", () => {
  const required = require("oncelog");
  const names = Object.keys(required).sort();
  assert.deepEqual(Object.keys(module_).sort(), names);
  assert.deepEqual(names, ["Answers", "Batch", "Consumer", "Engine", "Histogram", "OncelogError", "Partition",
    "Producer", "Records", "Transaction", "TransactionalProducer", "compressionIsAvailable", "limits", "open"]);
  for (const name of names) assert.equal(module_[name], required[name], name);
});

test("nothing else of the package can be imported", async () => {
  await assert.rejects(import("oncelog/dist/hub.js"), { code: "ERR_PACKAGE_PATH_NOT_EXPORTED" });
  assert.equal(require("oncelog/package.json").name, "oncelog");
});

test("the two halves agree about the layout", async () => {
  const { native } = require("../dist/native.js");
  const facade = Object.entries(require("../dist/layout.js")).sort();
  assert.deepEqual(facade, native.layout().sort());
});

/** What a constant of the engine is, by its source. */
function constant(source, name) {
  const [, value] = source.match(new RegExp(`pub const ${name}: \\w+ = ([^;]+);`));
  if (/^[A-Z_]+$/.test(value)) return constant(source, value);
  const [, seconds] = value.match(/^Duration::from_secs\((\d+)\)$/) ?? [];
  if (seconds !== undefined) return 1000 * seconds;
  if (value === "i64::MAX as u64") return 2n ** 63n - 1n;
  const [, number, shift = 0] = value.match(/^([\d_]+)(?: << (\d+))?$/);
  return Number(number.replaceAll("_", "")) * 2 ** shift;
}

test("the limits are the engine's own", () => {
  const source = readFileSync(join(home, "../../core/src/limits.rs"), "utf8");
  const { limits } = module_;
  assert.equal(Object.keys(limits).length, 21);
  for (const [name, value] of Object.entries(limits)) {
    const known = name.replace(/Ms$/, "").replace(/[A-Z]/g, "_$&").toUpperCase();
    assert.equal(value, constant(source, known), name);
  }
  const { batchMax, offsetMax, transactionTimeoutMs } = limits;
  assert.deepEqual([batchMax, offsetMax, transactionTimeoutMs], [1_048_588, 0x7fff_ffff_ffff_ffffn, 60_000]);
  assert.throws(() => (limits.batchMax = 1), TypeError);
  assert.throws(() => delete limits.batchMax, TypeError);
});

test("every kind of error has a code in the types", () => {
  const { native } = require("../dist/native.js");
  const types = readFileSync(join(home, "dist/errors.d.ts"), "utf8");
  const declared = types.match(/ErrorCode = ([^;]+);/)[1].match(/\w+/g);
  assert.deepEqual(declared, native.kinds().map(({ name }) => name));
});

test("the package has no dependencies, and packs what it needs and nothing more", () => {
  const { dependencies = {}, files } = require("../package.json");
  assert.deepEqual([dependencies, files], [{}, ["dist", "scripts/install.mjs", "LICENSE-APACHE", "LICENSE-MIT"]]);
  const packed = execFileSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], { cwd: home, stdio: "pipe" });
  // An array, or from npm 12 on an object by the packages' names.
  const [{ files: list }] = Object.values(JSON.parse(packed));
  const paths = list.map(({ path }) => path);
  for (const path of ["dist/index.mjs", "dist/index.d.mts", "README.md", "LICENSE-MIT", "LICENSE-APACHE"]) {
    assert.ok(paths.includes(path), path);
  }
  const meant = /^(dist\/|package.json|README.md|LICENSE-(MIT|APACHE)$|scripts\/install.mjs)/;
  assert.ok(paths.every((path) => meant.test(path)), paths.join(" "));
});

test("what a release publishes can be installed and used, with the licences", (t) => {
  const { platformName } = require("../dist/platform.js");
  const name = `oncelog-${platformName()}`;
  const [work, user] = [directory(t), directory(t)];
  const parts = ["package.json", "README.md", "LICENSE-MIT", "LICENSE-APACHE", "dist", "scripts"];
  for (const part of [...parts, `oncelog.${platformName()}.node`]) {
    cpSync(join(home, part), join(work, part), { recursive: true });
  }
  const run = (cwd, program, ...args) => execFileSync(program, args, { cwd, encoding: "utf8", stdio: "pipe" });
  run(work, process.execPath, "scripts/platforms.mjs");
  const platform = join(work, "npm", platformName());
  const tarballs = [work, platform].map((from) => {
    return join(user, run(from, "npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", user).trim());
  });
  const { version, optionalDependencies, scripts } = JSON.parse(readFileSync(join(work, "package.json"), "utf8"));
  assert.deepEqual(optionalDependencies, { [name]: version });
  for (const when of ["preinstall", "install", "postinstall", "prepare"]) assert.ok(!(when in scripts), when);
  writeFileSync(join(user, "package.json"), "{}");
  run(user, "npm", "install", "--offline", "--no-audit", "--no-fund", ...tarballs);
  for (const installed of ["oncelog", name]) {
    for (const licence of ["LICENSE-MIT", "LICENSE-APACHE"]) {
      assert.ok(existsSync(join(user, "node_modules", installed, licence)), `${installed} ${licence}`);
    }
  }
  assert.ok(!existsSync(join(user, "node_modules/oncelog/scripts")));
  const program = 'require("oncelog").open("log").then((engine) => engine.close()).then(() => console.log("opened"))';
  assert.equal(run(user, process.execPath, "-e", program).trim(), "opened");
  assert.throws(() => run(work, process.execPath, "scripts/platforms.mjs", "--all"), /is missing/);
});

test("the package carries the licences of the repository", () => {
  for (const name of ["LICENSE-MIT", "LICENSE-APACHE"]) {
    assert.equal(readFileSync(join(home, name), "utf8"), readFileSync(join(home, "../..", name), "utf8"));
  }
});

/** What the first program in JavaScript of a text says, behind what has the package there. */
function firstProgram(t, text, start) {
  const [, program] = readFileSync(join(home, text), "utf8").match(/```js\n(.*?)```/s);
  const file = join(directory(t), "words.mjs");
  const ours = JSON.stringify(pathToFileURL(join(home, "dist/index.mjs")).href);
  writeFileSync(file, `${start}${program}`.replace('"oncelog"', ours));
  const options = { cwd: dirname(file), encoding: "utf8", timeout: 120_000 };
  return execFileSync(process.execPath, [file], options).trim();
}

test("the first programs of the READMEs run, and end", (t) => {
  assert.equal(firstProgram(t, "README.md", ""), "hello");
  assert.equal(firstProgram(t, "../../README.md", 'import { open } from "oncelog";\n'), "hello");
});

/** Runs the compiler over a file of test/types. */
function compile(...args) {
  const flags = ["--strict", "--target", "es2022", "--lib", "es2023,esnext.disposable", "--module", "node16",
    "--moduleResolution", "node16", "--types", "node", "--typeRoots", join(home, "node_modules/@types"),
    "--rootDir", home];
  const { status, stdout } = spawnSync(process.execPath, [tsc, ...flags, ...args], { encoding: "utf8" });
  assert.equal(status, 0, stdout);
}

test("the types are what they say, in modules of both kinds", () => {
  compile("--noEmit", join(home, "test/types/usage.mts"), join(home, "test/types/required.cts"));
});

test("the types need no library newer than es2020", () => {
  compile("--noEmit", "--lib", "es2020", join(home, "test/types/required.cts"));
});

test("a typed program with await using compiles and runs", (t) => {
  const dir = directory(t);
  compile("--outDir", dir, join(home, "test/types/using.mts"));
  const program = join(dir, "test/types/using.mjs");
  const text = readFileSync(program, "utf8").replace(/from "oncelog"/, `from "${join(home, "dist/index.mjs")}"`);
  writeFileSync(program, text);
  assert.equal(execFileSync(process.execPath, [program, join(dir, "log")], { encoding: "utf8" }).trim(), "kept; 0 1");
});

for (const [name, expected] of [
  ["append_read", /offsets 0 to 1\n0: good morning\n1: guten Morgen/],
  ["resume_without_duplicates", /position null\n.*position 3\n3 lines were refused as duplicates; 5 are in the log/],
  ["exactly_once", /given up: 0 invoices, offset committed: null\ncommitted: 1 invoices, offset committed: 1/],
  ["large_transaction", /import is open\ncommitted so far: 0\ncommitted: 50000; committed/],
  ["broker", /sent again: a duplicate\nits last sequence is 1, .* at 0\nepoch 0, then 1; 2 orders, billing at 2/],
  ["keep_a_place", /^2: three$/m],
]) {
  test(`the example ${name} does what it says`, () => {
    const out = execFileSync(process.execPath, [join(home, "examples", `${name}.mjs`)], { encoding: "utf8" });
    assert.match(out, expected);
  });
}
