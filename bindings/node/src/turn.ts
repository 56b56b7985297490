// A read that need not wait answers at once, and its promise is kept without a turn of the event loop. Who reads a
// backlog so would keep timers, signals and the engine's answers from being heard until its end, and the memory of all
// that was read as well, which Node gives back in a turn only. So reads let the loop turn once in a while.

/** Bytes that may be read between two turns. */
const BYTES_MAX = 4 << 20;
/** Milliseconds that reading may go on between two turns. */
const MS_MAX = 5;

/** The turn that comes next, if something was read since the last. */
let next: Promise<void> | undefined;
let begun = 0;
let bytes = 0;

/** Counts what a read answered. */
export function wasRead(memory: ArrayBuffer | null): void {
  if (next === undefined) {
    begun = performance.now();
    next = new Promise((resolve) => setImmediate(turned, resolve));
  }
  if (memory !== null) bytes += memory.byteLength;
}

function turned(resolve: () => void): void {
  next = undefined;
  bytes = 0;
  resolve();
}

/** The turn that a read has to wait for before it begins; again after that, since others may have read meanwhile. */
export function turnDue(): Promise<void> | undefined {
  return next !== undefined && (bytes >= BYTES_MAX || performance.now() - begun >= MS_MAX) ? next : undefined;
}
