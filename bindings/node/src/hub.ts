import { errorOf, toError } from "./errors.js";
import {
  APPENDED, CELLS_MAX, COMMITTED, DONE, FAILED, LINE, READY, REFUSED, VALUE,
} from "./layout.js";
import { native, type NativeHub } from "./native.js";
import type { Appended, Committed } from "./types.js";

/** Who waits for the answer of a call. */
interface Waiter {
  resolve(value: unknown): void;
  reject(error: unknown): void;
  /** Fetches the answer, where it is more than numbers. */
  take: ((who: number) => unknown) | undefined;
}

/** Who hears of something as long as it lives. */
interface Listener {
  heard(what: number): void;
}

const CELLS = 4096;

/**
 * What this environment has of the library: who waits for what, and one function that is woken when something is there.
 * The process is held while somebody waits, and only then.
 */
class Hub {
  readonly native: NativeHub;
  readonly #cells = Buffer.from(new ArrayBuffer(CELLS * 8));
  readonly #numbers = new Float64Array(this.#cells.buffer);
  readonly #halves = new Uint32Array(this.#cells.buffer);
  readonly #wholes = new BigUint64Array(this.#cells.buffer);
  readonly #waiters: (Waiter | undefined)[] = [];
  readonly #free: number[] = [];
  readonly #listeners = new Map<number, WeakRef<Listener>>();
  readonly #gone = new FinalizationRegistry<number>((who) => this.#listeners.delete(who));
  /** Those that wait themselves: kept, while others go when nobody else holds them. */
  readonly #kept = new Set<Listener>();
  /** Far from the numbers of those who wait: errors are kept by number, for both. */
  #nextListener = 2 ** 31;
  #held = 0;
  /** Set when the process exits: from then on no task runs any more, and what is sent is written by this at once. */
  leaving: (() => void) | undefined;
  readonly #known = [new Known(), new Known()];

  constructor() {
    this.native = new native.Hub(() => this.hear());
  }

  /** Waits for the answer of a call that `start` makes. */
  wait<T>(start: (who: number) => void, take?: (who: number) => T): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const who = this.expect(resolve as (value: unknown) => void, reject, take);
      try {
        start(who);
        this.leaving?.();
      } catch (thrown) {
        this.forget(who);
        reject(toError(thrown));
      }
    });
  }

  /** A number for somebody who waits. */
  expect(
    resolve: (value: unknown) => void,
    reject: (error: unknown) => void,
    take: ((who: number) => unknown) | undefined,
  ): number {
    this.hold();
    const who = this.#free.pop() ?? this.#waiters.length;
    this.#waiters[who] = { resolve, reject, take };
    return who;
  }

  /** Takes the number back from somebody whose call was not made. */
  forget(who: number): void {
    this.#finish(who);
  }

  /** Tells somebody who waits that the call was refused. */
  refuse(who: number, error: unknown): void {
    this.#finish(who)?.reject(error);
  }

  /** A number for somebody who hears of things while it lives. */
  listen(listener: Listener): number {
    const who = this.#nextListener++;
    this.#listeners.set(who, new WeakRef(listener));
    this.#gone.register(listener, who);
    return who;
  }

  /** Keeps a listener, and the process, until `letGo`: somebody waits for what it hears. */
  keep(listener: Listener): void {
    this.#kept.add(listener);
    this.hold();
  }

  letGo(listener: Listener): void {
    this.#kept.delete(listener);
    this.release();
  }

  /** Has the process wait until `release`. */
  hold(): void {
    if (this.#held++ === 0) this.native.hold(true);
  }

  release(): void {
    if (--this.#held === 0) this.native.hold(false);
  }

  #finish(who: number): Waiter | undefined {
    const waiter = this.#waiters[who];
    if (waiter === undefined) return undefined;
    this.#waiters[who] = undefined;
    this.#free.push(who);
    this.release();
    return waiter;
  }

  /**
   * Hears what is there: called when something is, and by who cannot wait for that, but not from what hears. Nothing
   * that is called from here may throw: there is nobody to catch it.
   */
  hear(): void {
    for (let cells; (cells = this.native.drain(this.#cells)) > 0; ) this.#read(cells);
  }

  #read(cells: number): void {
    const numbers = this.#numbers;
    for (let at = 0; at < cells; ) {
      const what = numbers[at++];
      const who = numbers[at++];
      switch (what) {
        case APPENDED:
          this.#finish(who)?.resolve(this.#appended(at));
          at += CELLS_MAX - 2;
          break;
        case DONE:
          this.#finish(who)?.resolve(undefined);
          break;
        case FAILED:
          this.#fail(who);
          break;
        case VALUE:
          this.#take(who);
          break;
        case COMMITTED:
          this.#finish(who)?.resolve(this.#committed(at));
          at += 3;
          break;
        case REFUSED:
        case LINE:
        case READY:
          this.#tell(who, what);
          break;
        default:
          throw errorOf(0, `an unknown message came from the engine; report this, message=${what}`);
      }
    }
  }

  #fail(who: number): void {
    this.refuse(who, this.error(who));
  }

  /** The error of a call that failed. */
  error(who: number): unknown {
    try {
      this.native.fail(who);
    } catch (thrown) {
      return toError(thrown);
    }
    return undefined;
  }

  #take(who: number): void {
    const waiter = this.#finish(who);
    if (waiter === undefined) return;
    try {
      waiter.resolve(waiter.take?.(who));
    } catch (thrown) {
      waiter.reject(toError(thrown));
    }
  }

  #tell(who: number, what: number): void {
    const listener = this.#listeners.get(who)?.deref();
    if (listener !== undefined) listener.heard(what);
    else if (what === REFUSED) this.error(who);
    else if (what === LINE) this.native.takeLine();
  }

  #appended(at: number): Appended {
    const numbers = this.#numbers;
    const first = this.#wholes[at + 2];
    return {
      partition: numbers[at],
      first,
      last: this.#sameAs(first, at + 2, at + 3),
      timestamp: numbers[at + 4],
      duplicate: numbers[at + 1] !== 0,
      lsn: this.#known[0].read(this.#halves, this.#wholes, at + 5),
      incarnation: this.#known[1].read(this.#halves, this.#wholes, at + 6),
    };
  }

  #sameAs(first: bigint, at: number, other: number): bigint {
    const halves = this.#halves;
    const same = halves[2 * at] === halves[2 * other] && halves[2 * at + 1] === halves[2 * other + 1];
    return same ? first : this.#wholes[other];
  }

  #committed(at: number): Committed {
    const [number, lsn, incarnation] = this.#wholes.subarray(at, at + 3);
    return { number, lsn, incarnation };
  }
}

/** A bigint that is often the same as last time: then it is not made again. */
class Known {
  #low = 0;
  #high = 0;
  #value = 0n;

  read(halves: Uint32Array, wholes: BigUint64Array, at: number): bigint {
    const low = halves[2 * at];
    const high = halves[2 * at + 1];
    if (low !== this.#low || high !== this.#high) {
      [this.#low, this.#high, this.#value] = [low, high, wholes[at]];
    }
    return this.#value;
  }
}

export const hub = new Hub();
