// Things that lie in runs, one behind the other: finding one by its place.

/** The place that an index means, counted from 0, or from the end if it is negative; undefined for none. */
export function placeOfIndex(index: number, length: number): number | undefined {
  const place = index < 0 ? length + index : index;
  return Number.isInteger(index) && place >= 0 && place < length ? place : undefined;
}

/** The run in which a place lies that there is; `end` counts a run's things and those of all runs before it. */
export function runAt<T extends { readonly end: number }>(runs: readonly T[], place: number): T {
  let [low, high] = [0, runs.length - 1];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (runs[middle].end > place) high = middle;
    else low = middle + 1;
  }
  return runs[low];
}
