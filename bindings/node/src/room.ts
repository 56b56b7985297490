import { hub } from "./hub.js";
import type { NativeEngine } from "./native.js";
import { waiting, type Packs } from "./schedule.js";

/** How often is asked whether the engine has room again. */
const ASK_AGAIN_MS = 1;
/** How long nothing may move before the engine is asked to wait, so that it says what is wrong, such as a full disk. */
const PATIENCE_MS = 2_000;

/** @internal Bytes that there must be room for when batches are closed, or something is decided. */
export const CLOSES = 64 << 10;

/** Someone whose records are packed and have to wait. */
export interface Waits extends Packs {
  /** Sends what goes without waiting, or with `wait` everything. True if anything went. */
  crossBacklog(wait: boolean): boolean;
  /** Nothing is left. */
  readonly empty: boolean;
}

/** Calls that take a place in the log, oldest first: each is made when there is room for it. */
class Calls implements Waits {
  readonly #room: Room;
  readonly #calls: { bytes: number; make: () => void }[] = [];

  constructor(room: Room) {
    this.#room = room;
  }

  get empty(): boolean {
    return this.#calls.length === 0;
  }

  add(bytes: number, make: () => void): void {
    this.#calls.push({ bytes, make });
    this.#room.wait(this);
  }

  crossBacklog(wait: boolean): boolean {
    let moved = false;
    while (this.#calls.length > 0 && ((wait && !moved) || this.#room.has(this.#calls[0].bytes))) {
      this.#calls.shift()!.make();
      moved = true;
    }
    return moved;
  }

  crossPacked(wait: boolean): void {
    while (this.crossBacklog(wait) && wait);
  }
}

/**
 * Who waits for an engine's room: what the engine would have to wait for, a flush or the next segment, waits here
 * instead, in order, and JavaScript's thread goes on.
 */
export class Room {
  readonly #native: NativeEngine;
  readonly #waiting = new Set<Waits>();
  readonly #calls = new Calls(this);
  #free: (() => void)[] = [];
  #timer: NodeJS.Timeout | undefined;
  #moved = 0;

  constructor(native: NativeEngine) {
    this.#native = native;
  }

  /** Has `waits` sent when there is room. */
  wait(waits: Waits): void {
    this.#waiting.add(waits);
    waiting.add(waits);
    this.#ask();
  }

  /** True if so many bytes would not have to wait. */
  has(bytes: number): boolean {
    return this.#native.hasRoom(bytes);
  }

  /** True if a call that takes so many bytes need not wait, or cannot wait any more. */
  mayCall(bytes: number): boolean {
    return hub.leaving !== undefined || (this.#calls.empty && this.has(bytes));
  }

  /** Waits for the answer of a call that takes so many bytes in the log; it is made behind those that wait. */
  call<T>(start: (who: number) => void, take?: (who: number) => T, bytes = CLOSES): Promise<T> {
    if (this.mayCall(bytes)) return hub.wait(start, take);
    return new Promise<T>((resolve) => this.#calls.add(bytes, () => resolve(hub.wait(start, take))));
  }

  /** Waits until there is room for so many bytes at once, or until waiting for it is the engine's own affair. */
  async until(bytes: number): Promise<void> {
    const begun = performance.now();
    while (!this.has(bytes) && performance.now() - begun < PATIENCE_MS) {
      await new Promise<void>((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
    }
  }

  /** Waits until nobody waits. */
  async empty(): Promise<void> {
    while (this.#waiting.size > 0) await new Promise<void>((resolve) => this.#free.push(resolve));
  }

  #ask(): void {
    if (this.#timer !== undefined) return;
    this.#moved = performance.now();
    this.#timer = setInterval(() => this.#letIn(), ASK_AGAIN_MS);
  }

  #letIn(): void {
    const now = performance.now();
    const wait = now - this.#moved > PATIENCE_MS;
    for (const waits of this.#waiting) {
      if (waits.crossBacklog(wait)) this.#moved = now;
      if (!waits.empty) break;
      this.#waiting.delete(waits);
      waiting.delete(waits);
    }
    if (this.#waiting.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    const free = this.#free;
    this.#free = [];
    for (const resolve of free) resolve();
  }
}
