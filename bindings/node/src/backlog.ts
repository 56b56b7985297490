import { OncelogError } from "./errors.js";
import type { Packer } from "./packer.js";

/** @internal Bytes that may wait for the engine in one sender, and that one call may hold. */
export const BACKLOG_MAX = 64 << 20;

/** @internal Bytes of what waits that cross in one turn of the loop: they are compressed in it. */
export const TURN = 1 << 20;

/** Packed records that wait for room, oldest first, and those who wait until they are gone. */
export class Backlog {
  readonly #packers: Packer[] = [];
  #bytes = 0;
  #waiting: (() => void)[] = [];

  get empty(): boolean {
    return this.#packers.length === 0;
  }

  /** What came last. */
  get last(): Packer | undefined {
    return this.#packers[this.#packers.length - 1];
  }

  /** Refuses more where too much waits. */
  mustTakeMore(): void {
    if (this.#bytes > BACKLOG_MAX) throw crowded();
  }

  /** Puts packed records behind what waits. */
  push(packer: Packer): void {
    this.#packers.push(packer);
    this.#bytes += packer.at;
  }

  /** Puts more behind those that came last, where there is room in their memory. */
  extend(packed: Uint8Array): boolean {
    const taken = this.last?.copy(packed) ?? false;
    if (taken) this.#bytes += packed.length;
    return taken;
  }

  /**
   * Has `goes` send what waits, the oldest first, until some of it stays, or so many bytes have gone; what has gone is
   * shown to `gone`. True if anything went.
   */
  cross(bytes: number, goes: (packer: Packer) => boolean, gone?: (packer: Packer) => void): boolean {
    let moved = false;
    for (let packer; bytes > 0 && (packer = this.#packers[0]) !== undefined; ) {
      const before = packer.crossed;
      moved = goes(packer) || moved;
      bytes -= packer.crossed - before;
      if (packer.crossed < packer.at) break;
      this.#packers.shift();
      this.#bytes -= packer.at;
      gone?.(packer);
    }
    return moved;
  }

  /** Throws everything away. */
  clear(): void {
    this.#packers.length = 0;
    this.#bytes = 0;
  }

  /** Has `call` called when somebody tells that nothing waits. */
  whenGone(call: () => void): void {
    this.#waiting.push(call);
  }

  /** Nothing waits: whoever wanted to know hears it. */
  tell(): void {
    if (this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const call of waiting) call();
  }
}

function crowded(): OncelogError {
  const text = "the log cannot keep up and what waits has reached its bound; wait for drained(), or for the promises";
  return new OncelogError("Busy", `${text}, max=${BACKLOG_MAX}`);
}

/** @internal */
export function tooMany(bytes: number): OncelogError {
  const text = "one call holds more than may wait; send the records in several calls";
  return new OncelogError("LimitExceeded", `${text}, bytes=${bytes} max=${BACKLOG_MAX}`);
}
