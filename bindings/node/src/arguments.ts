import { types } from "node:util";
import { closed, invalid } from "./errors.js";
import type { NativeIdentity, NativePlace, NativePosition } from "./native.js";
import type { GroupMetadata, IdentityInput, PlaceInput, Position, TopicPartition, Waiting, Whole } from "./types.js";

const LARGEST = (1n << 64n) - 1n;
/** That of every Date, and not one of the caller's, which may do anything. */
const { getTime } = Date.prototype;

/** How a value looks in an error. */
export function shown(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}...` : value);
  if (typeof value === "bigint") return `${value}n`;
  if (value === null || typeof value !== "object") return typeof value === "function" ? "a function" : String(value);
  if (Array.isArray(value)) return "an array";
  const name: unknown = value.constructor?.name;
  return typeof name === "string" && name !== "" ? `an object (${name})` : "an object (no class)";
}

/** Text. */
export function text(value: unknown, what: string): string {
  if (typeof value === "string") return value;
  throw invalid(`${what} must be a string; got ${shown(value)}`);
}

/** A number of 64 bits. */
export function whole(value: Whole, what: string): bigint {
  if (typeof value === "bigint") {
    if (value >= 0n && value <= LARGEST) return value;
  } else if (Number.isSafeInteger(value) && value >= 0) {
    return BigInt(value);
  }
  throw invalid(`${what} must be a bigint or a safe integer, 0 or more; got ${shown(value)}`);
}

/** A number of 32 bits. */
export function small(value: unknown, what: string): number {
  if (typeof value === "number" && value >= 0 && value <= 0xffff_ffff && Number.isInteger(value)) return value;
  throw invalid(`${what} must be an integer from 0 to 4294967295; got ${shown(value)}`);
}

/** A size or a count that may be left out. */
export function count(value: unknown, what: string): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value === "number" && value >= 0 && Number.isSafeInteger(value)) return value;
  throw invalid(`${what} must be a safe integer, 0 or more; got ${shown(value)}`);
}

/** A time that may be left out. */
export function amount(value: unknown, what: string): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value === "number" && value >= 0 && value <= Number.MAX_SAFE_INTEGER) return value;
  throw invalid(`${what} must be a number, 0 or more; got ${shown(value)}`);
}

/** A yes or no that may be left out. */
export function flag(value: unknown, what: string): boolean | undefined {
  if (value === undefined || typeof value === "boolean") return value;
  throw invalid(`${what} must be true or false; got ${shown(value)}`);
}

/** Text that may be left out. */
export function maybeText(value: unknown, what: string): string | undefined {
  return value === undefined ? undefined : text(value, what);
}

/** Options that may be left out. */
export function options<T extends object>(value: T | undefined, what: string): Partial<T> {
  if (value === undefined) return {};
  if (typeof value === "object" && value !== null) return value;
  throw invalid(`${what} must be an object; got ${shown(value)}`);
}

/** A thing with an iterator, but not text. */
export function iterable<T>(value: Iterable<T>, what: string): Iterable<T> {
  if (typeof value === "object" && value !== null && typeof value[Symbol.iterator] === "function") return value;
  throw invalid(`${what} must be an array or another iterable; got ${shown(value)}`);
}

/** A partition's name. */
export function partitionName(value: TopicPartition): { topic: string; partition: number } {
  if (typeof value !== "object" || value === null) {
    throw invalid(`a partition must be { topic, partition }; got ${shown(value)}`);
  }
  return { topic: text(value.topic, "topic"), partition: small(value.partition, "partition") };
}

/** Positions, as the native half takes them. */
export function positions(value: Iterable<Position>): NativePosition[] {
  const named = new Set<string>();
  return Array.from(iterable(value, "offsets"), (position) => {
    const { topic, partition } = partitionName(position);
    const name = `${topic} ${partition}`;
    if (named.has(name)) throw invalid(`a partition is named twice; name each once, partition=${name}`);
    named.add(name);
    const { metadata = "", leaderEpoch = -1 } = position;
    if (!Number.isInteger(leaderEpoch) || leaderEpoch < -1 || leaderEpoch > 0x7fff_ffff) {
      throw invalid(`leaderEpoch must be an integer of 31 bits, or -1 for none; got ${shown(leaderEpoch)}`);
    }
    const offset = whole(position.offset, "offset");
    return { topic, partition, offset, leaderEpoch, metadata: text(metadata, "metadata") };
  });
}

/** A raw producer's identity. */
export function identityOf(value: IdentityInput, what: string): NativeIdentity {
  if (typeof value !== "object" || value === null) {
    throw invalid(`${what} must be { producerId, epoch }, as initProducer answers; got ${shown(value)}`);
  }
  const { producerId, epoch } = value;
  if (!Number.isInteger(epoch) || epoch < 0 || epoch > 0x7fff) {
    throw invalid(`epoch must be an integer from 0 to 32767; got ${shown(epoch)}`);
  }
  return { producerId: whole(producerId, "producerId"), epoch };
}

/** Where a reader stands. */
export function placeOf(value: PlaceInput): NativePlace {
  if (typeof value !== "object" || value === null) {
    throw invalid(`from must be { incarnation, lsn, offset }, as nextPlace answers; got ${shown(value)}`);
  }
  const { incarnation, lsn, offset } = value;
  return { incarnation: whole(incarnation, "incarnation"), lsn: whole(lsn, "lsn"), offset: whole(offset, "offset") };
}

/** A group's name, by its metadata. */
export function groupOf(metadata: GroupMetadata): string {
  if (typeof metadata === "object" && metadata !== null) return text(metadata.group, "group");
  throw invalid(`sendOffsets takes the group as consumer.groupMetadata() names it; got ${shown(metadata)}`);
}

/** A time. */
export function milliseconds(timestamp: number | Date): number {
  const ms = types.isDate(timestamp) ? getTime.call(timestamp) : timestamp;
  if (Number.isSafeInteger(ms)) return ms;
  throw invalid(`timestamp must be whole milliseconds or a valid Date; got ${shown(timestamp)}`);
}

/** The signal of a call, unless it has been raised: then its reason is thrown. */
export function signalOf(waiting: Waiting | undefined): AbortSignal | undefined {
  if (waiting === undefined) return undefined;
  const { signal } = options(waiting, "the options of the call");
  if (signal === undefined) return undefined;
  if (typeof signal !== "object" || signal === null || !isSignal(signal)) {
    throw invalid(`signal must be an AbortSignal; got ${shown(signal)}`);
  }
  if (signal.aborted) throw signal.reason;
  return signal;
}

/** Whoever made it: all that is needed of a signal is there. */
function isSignal({ aborted, addEventListener, removeEventListener }: AbortSignal): boolean {
  const listens = typeof addEventListener === "function" && typeof removeEventListener === "function";
  return listens && typeof aborted === "boolean";
}

/** Waits for `promise` until the signal is raised. What the promise stands for goes on. */
export function until<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    // First, or the promise's error would be nobody's, and end the process, where a signal of another make throws.
    const answered = promise.then(resolve, reject);
    const forget = whenRaised(signal, () => reject(signal.reason));
    void answered.then(forget);
  });
}

/** Has `stop` called when the signal is raised, at once if it has been; what is answered takes that back. */
export function whenRaised(signal: AbortSignal, stop: () => void): () => void {
  // Code of the caller may have run since it was looked at.
  if (signal.aborted) stop();
  else signal.addEventListener("abort", stop, { once: true });
  return () => {
    try {
      signal.removeEventListener("abort", stop);
    } catch {
      // The call has its answer: what a signal of another make throws here is for nobody.
    }
  };
}

/** Bytes that positions take in the log, at most, with all that goes down beside them. */
export function bytesOf(rows: NativePosition[]): number {
  return rows.reduce((bytes, { metadata }) => bytes + 64 + 3 * metadata.length, 64 << 10);
}

/** Refuses a handle that was closed. */
export function mustBeOpen(open: boolean, what: string): void {
  if (!open) throw closed(what);
}
