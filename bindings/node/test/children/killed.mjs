// Appends some values, each flushed to the device, and is killed.
import { open } from "../../dist/index.mjs";

const [, , dir, ...values] = process.argv;
const engine = await open(dir);
await engine.createTopic("t");
for (const value of values) await engine.partition("t", 0).append([{ value }]);
process.kill(process.pid, "SIGKILL");
