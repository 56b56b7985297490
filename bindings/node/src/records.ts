import { Buffer } from "node:buffer";
import { shown } from "./arguments.js";
import { errorOf, invalid, OncelogError } from "./errors.js";
import { BATCH_HEAD, GROUP, NULL, ROW } from "./layout.js";
import { placeOfIndex, runAt } from "./places.js";
import type { Header, OffsetOf, Offsets, Place, PositionInfo, Record } from "./types.js";

/** Records side by side in one partition, or an error in the place of damaged ones. */
interface Group {
  topic: string;
  partition: number;
  /** Offset of the first row. */
  first: bigint;
  /** The first row, and the one behind the last. */
  row: number;
  end: number;
  error: Error | null;
  /** The life that read, and the frame that a reader behind the last group of a partition stands on. */
  incarnation: bigint;
  lsn: bigint;
}

const NONE: readonly Header[] = Object.freeze([]);

/** The maker of offsets from bigints. */
export type Maker<O extends Offsets> = (offset: bigint) => OffsetOf<O>;

const big = (offset: bigint) => offset;
const small = (offset: bigint) => {
  if (offset <= Number.MAX_SAFE_INTEGER) return Number(offset);
  throw invalid(`this offset is no safe integer; ask for offsets: "bigint", offset=${offset}`);
};

/** How offsets are to be given out. */
export function makerOf<O extends Offsets>(choice: O | undefined): Maker<O> {
  if (choice === undefined || choice === "bigint") return big as Maker<O>;
  if (choice === "number") return small as Maker<O>;
  throw invalid(`no such offsets; say "bigint" or "number", offsets=${shown(choice)}`);
}

/**
 * Records as a read or a poll answered them, of one partition or of several. Their Buffers share one piece of memory:
 * keep few of many records for long by copying them, and copy what goes to another thread, for `postMessage` clones the
 * whole piece for every record.
 *
 * Where bytes are damaged the walk throws one `Corrupt` error that names the offsets; the same iterator, asked again,
 * goes on behind them.
 */
export class Records<O extends Offsets = "bigint"> implements Iterable<Record<O>> {
  /** Number of records that can be read. */
  readonly length: number;
  /**
   * Bytes that were read, as they lie in the log, those of hidden records included. What compressed batches unpacked to
   * comes on top.
   */
  readonly bytes: number;
  /** @internal */
  readonly groups: readonly Group[];
  readonly #bytes: Buffer | undefined;
  readonly #times: Float64Array;
  readonly #rows: Int32Array;
  readonly #maker: Maker<O>;

  /** @internal */
  constructor(memory: ArrayBuffer | null, maker: Maker<O>) {
    this.#maker = maker;
    const [rows, groups, at] = memory === null ? [0, 0, 0] : new Uint32Array(memory, 4, 3);
    const bytes = memory === null ? undefined : Buffer.from(memory);
    this.#bytes = bytes;
    this.bytes = memory === null ? 0 : new Float64Array(memory, BATCH_HEAD - 8, 1)[0];
    this.#times = memory === null ? new Float64Array(0) : new Float64Array(memory, BATCH_HEAD, rows);
    const numbers = BATCH_HEAD + 8 * rows;
    this.#rows = memory === null ? new Int32Array(0) : new Int32Array(memory, numbers, (ROW / 4) * rows);
    this.groups = memory === null ? [] : groupsOf(memory, bytes!, groups, at);
    this.length = this.groups.length === 0 ? 0 : this.groups[this.groups.length - 1].end;
  }

  /** The record at a place, counted from 0, or from the end if it is negative. */
  at(index: number): Record<O> | undefined {
    const place = placeOfIndex(index, this.length);
    if (place === undefined) return undefined;
    const group = runAt(this.groups, place);
    return this.record(group, place, this.#maker(group.first + BigInt(place - group.row)));
  }

  /**
   * The offset to read next of a partition, behind what is damaged or aborted as well; undefined if this holds nothing
   * of it. An answer of `Partition.read` has one also without a record: the offset behind what was aborted, if that is
   * all there was, and the offset that was asked for if there was nothing.
   */
  nextOffset(topic: string, partition: number): OffsetOf<O> | undefined {
    const group = this.#last(topic, partition);
    return group && this.#maker(behind(group));
  }

  /** The offsets to read next of all partitions that this holds something of, if only something damaged or aborted. */
  nextOffsets(): PositionInfo<O>[] {
    const last = new Map<string, Group>();
    for (const group of this.groups) {
      if (group.error === null) last.set(`${group.partition} ${group.topic}`, group);
    }
    return Array.from(last.values(), (group) => {
      return { topic: group.topic, partition: group.partition, offset: this.#maker(behind(group)) };
    });
  }

  /**
   * Where a reader of a partition stands behind these records, to be kept; undefined if this holds nothing of it. Read
   * on from there, in this life of the log or a later one, with `from` of `Partition.read`.
   */
  nextPlace(topic: string, partition: number): Place | undefined {
    const group = this.#last(topic, partition);
    return group && { incarnation: group.incarnation, lsn: group.lsn, offset: behind(group) };
  }

  #last(topic: string, partition: number): Group | undefined {
    return this.groups.findLast((g) => g.error === null && g.partition === partition && g.topic === topic);
  }

  [Symbol.iterator](): RecordsIterator<O> {
    return new RecordsIterator(this, this.#maker);
  }

  /** @internal */
  record(group: Group, row: number, offset: OffsetOf<O>): Record<O> {
    const bytes = this.#bytes!;
    const rows = this.#rows;
    const cell = 4 * row;
    let at = rows[cell];
    const keyLength = rows[cell + 1];
    const valueLength = rows[cell + 2];
    let key: Buffer | null = null;
    if (keyLength >= 0) key = bytes.subarray(at, (at += keyLength));
    let value: Buffer | null = null;
    if (valueLength >= 0) value = bytes.subarray(at, (at += valueLength));
    const headers = rows[cell + 3] === 0 ? NONE : headersOf(bytes, at, rows[cell + 3]);
    return { topic: group.topic, partition: group.partition, offset, timestamp: this.#times[row], key, value, headers };
  }
}

/** The offset behind a group. */
function behind({ first, row, end }: Group): bigint {
  return first + BigInt(end - row);
}

/** A walk over records. */
export class RecordsIterator<O extends Offsets> implements IterableIterator<Record<O>> {
  readonly #records: Records<O>;
  readonly #maker: Maker<O>;
  #group = 0;
  #row = 0;
  /** Of the next row: as it is given out where that is a number, for less work per record. */
  #offset: bigint;

  /** @internal */
  constructor(records: Records<O>, maker: Maker<O>) {
    this.#records = records;
    this.#maker = maker;
    this.#offset = records.groups[0]?.first ?? 0n;
  }

  next(): IteratorResult<Record<O>, undefined> {
    for (;;) {
      const group = this.#records.groups[this.#group];
      if (group === undefined) return { done: true, value: undefined };
      if (group.error === null && this.#row < group.end) {
        const value = this.#records.record(group, this.#row, this.#maker(this.#offset));
        // A record that cannot be given is not.
        this.#offset++;
        this.#row++;
        return { done: false, value };
      }
      this.#group++;
      this.#offset = this.#records.groups[this.#group]?.first ?? 0n;
      if (group.error !== null) throw group.error;
    }
  }

  [Symbol.iterator](): this {
    return this;
  }

  /** @internal Where each partition goes on of which something is left; only damage may be left, and then none is. */
  left(): { topic: string; partition: number; offset: bigint }[] {
    const left = new Map<string, { topic: string; partition: number; offset: bigint }>();
    const groups = this.#records.groups;
    for (let n = this.#group; n < groups.length; n++) {
      const { topic, partition, first, row, end, error } = groups[n];
      if (error !== null || Math.max(row, this.#row) === end) continue;
      const name = `${partition} ${topic}`;
      const offset = n === this.#group ? this.#offset : first;
      if (!left.has(name)) left.set(name, { topic, partition, offset });
    }
    return [...left.values()];
  }

  /** @internal True when nothing is left, not even damage. */
  get ended(): boolean {
    const rest = this.#records.groups.slice(this.#group);
    return rest.every(({ row, end, error }) => error === null && Math.max(row, this.#row) === end);
  }
}

function groupsOf(memory: ArrayBuffer, bytes: Buffer, count: number, at: number): Group[] {
  const groups: Group[] = [];
  const wholes = new BigUint64Array(memory, at, (GROUP / 8) * count);
  const words = new Uint32Array(memory, at, (GROUP / 4) * count);
  let row = 0;
  for (let n = 0; n < count; n++) {
    const [rows, partition, kind, start, length] = words.subarray((GROUP / 4) * n + 6);
    const text = bytes.toString("utf8", start, start + length);
    const [first, incarnation, lsn] = wholes.subarray((GROUP / 8) * n);
    const error = kind === 0 ? null : errorOf(kind, text);
    const topic = error === null ? text : "";
    groups.push({ topic, partition, first, row, end: row + rows, error, incarnation, lsn });
    row += rows;
  }
  return groups;
}

const LITTLE = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;

function headersOf(bytes: Buffer, at: number, count: number | undefined): Header[] {
  // Of memory that is gone nothing can be read. To ask it here costs records without headers nothing.
  if (count === undefined) {
    const text = "the memory of these records was transferred away; copy what others are to own";
    throw new OncelogError("InvalidState", text);
  }
  const number = (at: number) => (LITTLE ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at));
  const headers: Header[] = [];
  for (let n = 0; n < count; n++) {
    const named = at + 8 + number(at);
    const length = number(at + 4);
    const header: Header = { key: bytes.toString("utf8", at + 8, named), value: null };
    if (header.key.includes("\ufffd")) header.keyBytes = bytes.subarray(at + 8, named);
    at = length === NULL ? named : named + length;
    if (length !== NULL) header.value = bytes.subarray(named, at);
    headers.push(header);
  }
  return headers;
}
