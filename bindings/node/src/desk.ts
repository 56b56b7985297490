import { native } from "./native.js";
import { Packer } from "./packer.js";

const words = new Uint32Array(2);

/** Where the records of transactions are packed: each crosses before the next is packed. */
export const scratch = new Packer(64 << 10);

// The package may be loaded twice beside one native half: bundled, or by who empties the cache of modules.
const mine = native.share(words, scratch.bytes);

/**
 * What is packed in a sender's own memory, or for a transaction in `scratch`, crosses as far as it goes without
 * waiting. Answers how many bytes that were. Nothing is passed in the call, which is much faster so, unless the native
 * half listens to another facade.
 */
export function crossOwn(slot: number, { bytes: memory }: Packer, bytes: number): number {
  if (!mine) return native.cross(slot, memory, 0, bytes, false);
  words[0] = slot;
  words[1] = bytes;
  return native.crossOwn();
}
