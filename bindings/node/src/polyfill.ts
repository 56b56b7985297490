// For Node versions without explicit resource management: the symbol that compilers look for.
const symbols = Symbol as unknown as { asyncDispose?: symbol };
symbols.asyncDispose ??= Symbol.for("nodejs.asyncDispose");
export {};
