// The types as a CommonJS program sees them.
import oncelog = require("oncelog");

const engine: Promise<oncelog.Engine> = oncelog.open("dir");
engine.then((engine) => engine.close());
