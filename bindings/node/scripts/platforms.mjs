// Makes the packages that are published from the builds that lie here, oncelog.<platform>.node: one per platform under
// npm/, which npm installs where it fits, and package.json names them all. For a release only: it rewrites
// package.json.
// node scripts/platforms.mjs [--all]     With --all a build that is missing is an error.
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = join(dirname(fileURLToPath(import.meta.url)), "..");

/** Named as src/platform.ts names them. */
const PLATFORMS = [
  ...["x64", "arm64"].flatMap((cpu) => [
    { name: `linux-${cpu}-gnu`, os: "linux", cpu, libc: "glibc" },
    { name: `linux-${cpu}-musl`, os: "linux", cpu, libc: "musl" },
    { name: `darwin-${cpu}`, os: "darwin", cpu },
    { name: `win32-${cpu}`, os: "win32", cpu },
  ]),
];

const main = JSON.parse(readFileSync(join(here, "package.json"), "utf8"));
const { version, license, engines, repository } = main;
rmSync(join(here, "npm"), { recursive: true, force: true });
main.optionalDependencies = {};
// What is published is built: nothing runs when it is installed.
delete main.scripts.install;
main.files = main.files.filter((file) => !file.startsWith("scripts/"));
for (const { name, os, cpu, libc } of PLATFORMS) {
  const build = `oncelog.${name}.node`;
  if (!existsSync(join(here, build))) {
    if (process.argv[2] !== "--all") continue;
    console.error(`oncelog: ${build} is missing; build it on its platform and put it into ${here}`);
    process.exit(1);
  }
  const package_ = {
    name: `oncelog-${name}`,
    version,
    description: `The part of oncelog that is built for ${name}`,
    license,
    repository,
    engines,
    os: [os],
    cpu: [cpu],
    libc: libc && [libc],
    main: build,
    files: [build, "LICENSE-APACHE", "LICENSE-MIT"],
  };
  const to = join(here, "npm", name);
  mkdirSync(to, { recursive: true });
  for (const file of package_.files) copyFileSync(join(here, file), join(to, file));
  writeFileSync(join(to, "package.json"), `${JSON.stringify(package_, null, 2)}\n`);
  const readme = `# ${package_.name}\n\n${package_.description}; install \`oncelog\`, which brings it.\n`;
  writeFileSync(join(to, "README.md"), readme);
  main.optionalDependencies[package_.name] = version;
}
writeFileSync(join(here, "package.json"), `${JSON.stringify(main, null, 2)}\n`);
