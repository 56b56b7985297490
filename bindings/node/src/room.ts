import { toError } from "./errors.js";
import { hub } from "./hub.js";
import type { NativeEngine } from "./native.js";
import { waiting, type Packs } from "./schedule.js";

/** How often is asked whether the engine has room again. */
const ASK_AGAIN_MS = 1;
/**
 * How long nothing may move before the engine is asked what is wrong, such as a full disk. It waits for room itself
 * then, on a thread of its own; if it says that there will be none, the calls are made all the same, and hear why.
 */
const PATIENCE_MS = 2_000;
/** Bytes that it waits for then at least: more than a batch has. */
const LARGEST = 2 << 20;

/** @internal Bytes that there must be room for when batches are closed, or something is decided. */
export const CLOSES = 64 << 10;

/** Someone whose records are packed and have to wait. */
export interface Waits extends Packs {
  /**
   * Sends what goes without waiting and in one turn of the loop, or with `wait` everything, however long that takes.
   * True if anything went.
   */
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

  /** Bytes that the first of them takes. */
  get bytes(): number {
    return this.#calls[0]?.bytes ?? 0;
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
  /** Hears what the engine says: held here, so with every handle, since it speaks as long as there is one. */
  readonly lines: object | undefined;
  readonly #waiting = new Set<Waits>();
  readonly #calls = new Calls(this);
  #free: (() => void)[] = [];
  #timer: NodeJS.Timeout | undefined;
  #moved = 0;
  /** Kept when the engine is through with waiting for room, while it does. */
  #asking: Promise<boolean> | undefined;
  /** Kept when the engine is through with closing what is gathered, while it does. */
  #closing: Promise<void> | undefined;
  /** Kept when the engine is closed; rejected with what that answers. */
  #closed: Promise<void> | undefined;
  /** It knows why there is no room, and nothing has moved meanwhile. */
  #hopeless = false;

  constructor(native: NativeEngine, lines: object | undefined) {
    this.#native = native;
    this.lines = lines;
  }

  /** Has `waits` sent when there is room. */
  wait(waits: Waits): void {
    this.#waiting.add(waits);
    waiting.add(waits);
    if (this.#timer !== undefined) return;
    this.#hopeless = false;
    this.#moved = performance.now();
    this.#timer = setInterval(() => this.#letIn(), ASK_AGAIN_MS);
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

  /** Waits until there is room for so many bytes at once, or until a call will hear why there is none. */
  async until(bytes: number): Promise<void> {
    const begun = performance.now();
    while (!this.has(bytes)) {
      if (performance.now() - begun > PATIENCE_MS && (await this.#ask(bytes))) return;
      await new Promise<void>((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
    }
  }

  /**
   * Waits for the answer of a flush that `start` makes: false, if something that producers have gathered has to wait
   * for room. Then that is closed on a thread of its own, and `start` called again.
   */
  flush(start: (who: number) => boolean): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      const who = hub.expect(resolve as (value: unknown) => void, reject, undefined);
      const flushes = () => start(who);
      void this.#closeUntil(flushes).catch((thrown: unknown) => hub.refuse(who, toError(thrown)));
    });
  }

  async #closeUntil(flushes: () => boolean): Promise<void> {
    const through = () => (this.#closing = undefined);
    while (!flushes()) {
      this.#closing ??= hub.wait<void>((who) => this.#native.closeGathered(who)).finally(through);
      await this.#closing;
    }
  }

  /** Has the engine wait for room, on one thread of its own. True if it knows why there is none. */
  async #ask(bytes: number): Promise<boolean> {
    while (this.#asking !== undefined) await this.#asking;
    const waits = hub.wait<void>((who) => this.#native.awaitRoom(who, Math.max(bytes, LARGEST)));
    this.#asking = waits.then(() => false, () => true);
    try {
      return await this.#asking;
    } finally {
      this.#asking = undefined;
    }
  }

  /** Waits until the engine is closed, which it is or somebody is about, and answers as that does. */
  closed(): Promise<void> {
    return (this.#closed ??= hub.wait<void>((who) => this.#native.close(who)));
  }

  /** Waits until nobody waits. */
  async empty(): Promise<void> {
    while (this.#waiting.size > 0) await new Promise<void>((resolve) => this.#free.push(resolve));
  }

  #letIn(): void {
    const now = performance.now();
    const wait = this.#hopeless;
    this.#hopeless = false;
    for (const waits of this.#waiting) {
      if (waits.crossBacklog(wait)) this.#moved = now;
      if (!waits.empty) break;
      this.#waiting.delete(waits);
      waiting.delete(waits);
    }
    if (this.#waiting.size > 0) {
      if (now - this.#moved > PATIENCE_MS) this.#listen(this.#moved);
      return;
    }
    clearInterval(this.#timer);
    this.#timer = undefined;
    const free = this.#free;
    this.#free = [];
    for (const resolve of free) resolve();
  }

  /** Nothing has moved since then. */
  #listen(since: number): void {
    if (this.#asking !== undefined) return;
    void this.#ask(this.#calls.bytes).then((hopeless) => (this.#hopeless = hopeless && this.#moved === since));
  }
}
