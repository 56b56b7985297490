// Publishes what platforms.mjs made: the parts first, since whoever installs the package meanwhile must find them. What
// the registry has already is left as it is, so that a release that broke off is finished by running it again.
// node scripts/publish.mjs
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = join(dirname(fileURLToPath(import.meta.url)), "..");

/** An answer that is no version, such as that of a registry that is out of reach, is for the publishing to tell. */
function isThere(name, version) {
  const { stdout } = spawnSync("npm", ["view", `${name}@${version}`, "version"], { cwd: here, encoding: "utf8" });
  return stdout?.trim() === version;
}

for (const from of [...readdirSync(join(here, "npm")).map((name) => join("npm", name)), ""]) {
  const { name, version } = JSON.parse(readFileSync(join(here, from, "package.json"), "utf8"));
  if (isThere(name, version)) {
    console.log(`${name}@${version} is published already`);
    continue;
  }
  const args = ["publish", "--ignore-scripts", "--provenance", "--access", "public", `./${from}`];
  const { status, error } = spawnSync("npm", args, { cwd: here, stdio: "inherit" });
  if (status === 0) continue;
  console.error(`oncelog: ${name}@${version} was not published: ${error?.message ?? `status ${status}`}`);
  process.exit(1);
}
