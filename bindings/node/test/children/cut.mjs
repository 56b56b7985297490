// Reads records of which the last are on no device yet, says where it stands behind each, and is killed.
import { writeSync } from "node:fs";
import { open } from "../../dist/index.mjs";

const engine = await open(process.argv[2], { durability: "os", flushIntervalMs: 3_600_000 });
await engine.createTopic("t");
const partition = engine.partition("t", 0);
const places = [];
for (const value of ["safe", "lost with the power"]) {
  await partition.append([{ value }]);
  if (value === "safe") await engine.flush();
  places.push((await partition.read(0)).nextPlace("t", 0));
}
writeSync(1, JSON.stringify(places, (_, value) => (typeof value === "bigint" ? Number(value) : value)));
process.kill(process.pid, "SIGKILL");
