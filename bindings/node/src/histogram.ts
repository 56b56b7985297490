import { shown } from "./arguments.js";
import { invalid, run } from "./errors.js";
import type { NativeHistogram } from "./native.js";

/** How often values fell into each of a few ranges. */
export class Histogram {
  /** How many values there were. */
  readonly count: bigint;
  /** Their sum. */
  readonly sum: bigint;
  /** The greatest value of each bucket, growing. */
  readonly bounds: readonly bigint[];
  /** How many values fell into each bucket; one more than there are bounds, for what lies above all of them. */
  readonly counts: readonly bigint[];
  readonly #native: NativeHistogram;

  /** @internal */
  constructor(native: NativeHistogram) {
    this.count = native.count;
    this.sum = native.sum;
    this.bounds = native.bounds;
    this.counts = native.counts;
    this.#native = native;
  }

  /**
   * The bound of the bucket in which the share `q` of the values, from 0 to 1, is reached: no more than this share of
   * them was greater. null if there were none, or if it lies above all bounds. A share beyond 0 or 1 is taken as that
   * one, and NaN as 0.
   */
  quantile(q: number): bigint | null {
    if (typeof q !== "number") throw invalid(`q must be a number; got ${shown(q)}`);
    return run(() => this.#native.quantile(q));
  }
}
