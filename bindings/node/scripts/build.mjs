// Builds the package where it stands: the facade with tsc, the native half with cargo.
// node scripts/build.mjs [--facade | --native]
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = join(dirname(fileURLToPath(import.meta.url)), "..");
const require = createRequire(import.meta.url);

/** What cargo builds, by platform. */
const LIBRARY = { linux: "liboncelog_node.so", darwin: "liboncelog_node.dylib", win32: "oncelog_node.dll" };

function run(program, args, options = {}) {
  const { status, error } = spawnSync(program, args, { cwd: here, stdio: "inherit", ...options });
  if (error?.code === "ENOENT") fail(`${program} is missing; see https://rustup.rs`);
  if (status !== 0) fail(`${program} ${args.join(" ")} failed`);
}

function fail(message) {
  console.error(`oncelog: ${message}`);
  process.exit(1);
}

/** One implementation for both kinds of modules, so that a class is the same whoever imported it. */
function facade() {
  rmSync(join(here, "dist"), { recursive: true, force: true });
  mkdirSync(join(here, "dist"));
  run(process.execPath, [require.resolve("typescript/lib/tsc.js"), "-p", "."]);
  const classes = ["Answers", "Batch", "Consumer", "Engine", "Histogram", "OncelogError", "Partition", "Producer"];
  const all = [...classes, "Records", "Transaction", "TransactionalProducer", "compressionIsAvailable", "limits", "open"].join(", ");
  const module = `import oncelog from "./index.js";\nexport const { ${all} } = oncelog;\n`;
  writeFileSync(join(here, "dist", "index.mjs"), module);
  writeFileSync(join(here, "dist", "index.d.mts"), `export * from "./index.js";\n`);
  // Handles are made by the package alone; without a word of it the types would have constructors without arguments.
  const files = ["answers", "batch", "consumer", "engine", "histogram", "partition", "producer", "records"];
  for (const file of [...files, "transaction"]) {
    const path = join(here, "dist", `${file}.d.ts`);
    const types = readFileSync(path, "utf8");
    writeFileSync(path, types.replace(/^export declare class [^{]+\{\n/gm, "$&    private constructor();\n"));
  }
}

function native() {
  if (!(process.platform in LIBRARY)) fail(`the engine runs on Linux, macOS and Windows; this is ${process.platform}`);
  const target = process.env.CARGO_TARGET_DIR ?? join(here, "..", "..", "target");
  run("cargo", ["rustc", "--profile", "library", "--package", "oncelog-node", "--", "-C", "strip=symbols"]);
  const { platformName } = require("../dist/platform.js");
  const built = join(here, `oncelog.${platformName()}.node`);
  // Not over the old file, which a running process may have mapped.
  rmSync(built, { force: true });
  copyFileSync(join(target, "library", LIBRARY[process.platform]), built);
  // Newer than its sources, also where they left nothing to compile and the copy keeps the time.
  const now = new Date();
  utimesSync(built, now, now);
}

const only = process.argv[2];
if (only !== "--native" || !existsSync(join(here, "dist", "platform.js"))) facade();
if (only !== "--facade") native();
