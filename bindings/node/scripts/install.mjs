// Runs after the package is installed. Where there is a build for this machine it does nothing; in a checkout of the
// repository it makes one; anywhere else the first import says what is missing.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = join(dirname(fileURLToPath(import.meta.url)), "..");
const require = createRequire(import.meta.url);

function usable() {
  try {
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

if (!usable() && existsSync(join(here, "native", "lib.rs"))) {
  if (!existsSync(join(here, "node_modules", "typescript"))) run("npm", ["ci", "--ignore-scripts"]);
  run(process.execPath, [join(here, "scripts", "build.mjs")]);
}
