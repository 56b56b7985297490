import { hub } from "./hub.js";

// Records are packed as they come and cross together: at the end of the running task, or when there are many.

/** Someone with packed records. */
export interface Packs {
  crossPacked(wait: boolean): void;
}

/** Those with packed records; the list is used again and again, so `count` says how many of it count. */
const packed: (Packs | undefined)[] = [];
let count = 0;

// A third of what queueMicrotask costs.
const resolved = Promise.resolve();
const cross = () => crossAll(false);

/** Has `packs` cross when the running code is through. */
export function soon(packs: Packs): void {
  packed[count++] = packs;
  if (count === 1) void resolved.then(cross);
  hub.leaving?.();
}

/** Everything that is packed crosses now. */
export function crossAll(wait: boolean): void {
  for (let i = 0; i < count; i++) {
    packed[i]!.crossPacked(wait);
    // The list must not keep a producer alive that nobody else holds.
    packed[i] = undefined;
  }
  count = 0;
}

/** Those whose records wait for room, too. */
export const waiting = new Set<Packs>();

let leaves = false;
let more = false;

/**
 * Everything that was sent is written. The calls that are made meanwhile, which are those that waited, come here too:
 * one inside the other they would be more than the stack holds, so they are left to the one that is under way.
 */
function leave(): void {
  more = true;
  if (leaves) return;
  leaves = true;
  try {
    while (more) {
      more = false;
      crossAll(true);
      for (const packs of waiting) packs.crossPacked(true);
    }
  } finally {
    leaves = false;
  }
  hub.native.exits();
}

// After process.exit() no task runs any more, but what was sent before it was sent, and so is what a listener behind
// this one sends.
process.on("exit", () => {
  hub.leaving = leave;
  leave();
});
