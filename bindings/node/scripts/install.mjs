// Runs after the package is installed. In a checkout of the repository it builds what is missing or older than its
// sources; elsewhere it does nothing, and where there is no build for the machine the first import says so.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = join(dirname(fileURLToPath(import.meta.url)), "..");
const require = createRequire(import.meta.url);

/** What both halves are made of. */
const SOURCES = [
  "native", "src", "build.rs", "Cargo.toml", "tsconfig.json", "scripts/build.mjs",
  "../../core/src", "../../core/Cargo.toml", "../../Cargo.toml", "../../Cargo.lock",
];

/** When a file was changed, or the newest below a directory; what is missing was never. */
function changed(path) {
  const about = statSync(path, { throwIfNoEntry: false });
  if (!about?.isDirectory()) return about?.mtimeMs ?? 0;
  return Math.max(...readdirSync(path).map((name) => changed(join(path, name))));
}

/** Both halves are there, as new as what they are made of, and fit together. */
function current() {
  try {
    const { platformName } = require("../dist/platform.js");
    const built = ["dist/index.js", `oncelog.${platformName()}.node`].map((name) => changed(join(here, name)));
    if (Math.min(...built) < Math.max(...SOURCES.map((name) => changed(join(here, name))))) return false;
    // Last, since Windows lets nobody replace what a process has loaded.
    require("../dist/index.js");
    return true;
  } catch {
    return false;
  }
}

function run(program, args) {
  const { status, error } = spawnSync(program, args, { cwd: here, stdio: "inherit" });
  if (status === 0) return;
  console.error(`oncelog: ${program} ${args.join(" ")} failed: ${error?.message ?? `status ${status}`}`);
  process.exit(1);
}

if (existsSync(join(here, "native", "lib.rs")) && !current()) {
  if (!existsSync(join(here, "node_modules", "typescript"))) run("npm", ["ci", "--ignore-scripts"]);
  run(process.execPath, [join(here, "scripts", "build.mjs")]);
}
