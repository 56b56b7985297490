import { native } from "./native.js";
import { Packer } from "./packer.js";

const words = new Uint32Array(2);

/** Where the records of transactions are packed: each crosses before the next is packed. */
export const scratch = new Packer(64 << 10);

native.share(words, scratch.bytes);

/**
 * What is packed in a sender's own memory, or for a transaction in `scratch`, crosses as far as it goes without
 * waiting. Answers how many bytes that were. Nothing is passed in the call, which is much faster so.
 */
export function crossOwn(slot: number, bytes: number): number {
  words[0] = slot;
  words[1] = bytes;
  return native.crossOwn();
}
