import { MANY_CELLS } from "./layout.js";
import { placeOfIndex, runAt } from "./places.js";
import type { Appended } from "./types.js";

/** Answers that lie one behind the other, as they came; `end` counts those before them as well. */
interface Run {
  numbers: Float64Array;
  wholes: BigUint64Array;
  at: number;
  end: number;
}

/**
 * The answers of many records, in the order of the records. They lie packed, a few numbers for a whole batch; each is
 * made when it is asked for. `Array.from(answers)` gives an array.
 */
export class Answers implements Iterable<Appended> {
  /** Number of records. */
  readonly length: number;
  readonly #runs: readonly Run[];

  /** @internal */
  constructor(parts: readonly ArrayBuffer[]) {
    const runs: Run[] = [];
    let end = 0;
    for (const part of parts) {
      const numbers = new Float64Array(part);
      const wholes = new BigUint64Array(part);
      for (let at = 0; at < numbers.length; at += MANY_CELLS) {
        end += numbers[at + 6];
        runs.push({ numbers, wholes, at, end });
      }
    }
    this.#runs = runs;
    this.length = end;
  }

  /** The answer at a place, counted from 0, or from the end if it is negative. */
  at(index: number): Appended | undefined {
    const place = placeOfIndex(index, this.length);
    if (place === undefined) return undefined;
    const run = runAt(this.#runs, place);
    return answer(run, place - (run.end - run.numbers[run.at + 6]));
  }

  *[Symbol.iterator](): IterableIterator<Appended> {
    for (const run of this.#runs) {
      for (let nth = 0; nth < run.numbers[run.at + 6]; nth++) yield answer(run, nth);
    }
  }
}

function answer({ numbers, wholes, at }: Run, nth: number): Appended {
  const duplicate = numbers[at + 1] !== 0;
  // A duplicate has no place to count from.
  const first = duplicate ? wholes[at + 2] : wholes[at + 2] + BigInt(nth);
  return {
    partition: numbers[at],
    first,
    last: first,
    timestamp: numbers[at + 3],
    duplicate,
    lsn: wholes[at + 4],
    incarnation: wholes[at + 5],
  };
}
