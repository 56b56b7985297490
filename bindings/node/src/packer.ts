import { Buffer } from "node:buffer";
import { milliseconds, shown, text, whole } from "./arguments.js";
import { field, lengthOf } from "./bytes.js";
import { invalid, OncelogError } from "./errors.js";
import { ANSWER, ENTRY_HEAD, KEY, MANY, NULL, PARTITION, POSITION, TIMESTAMP, VALUE_FLAG } from "./layout.js";
import { limits } from "./limits.js";
import type { HeaderInput, RecordInput } from "./types.js";

/** The largest entry: the engine takes no frame that is larger. */
export const ENTRY_MAX = limits.frameMax;
/** Up to this length text is copied letter by letter, which is faster than a call. */
const SHORT = 24;
/** Looked up once: on a Buffer the engine looks it up anew at every call. */
const SET = Uint8Array.prototype.set;

/** A header as text and bytes. */
interface Named {
  readonly key: string;
  readonly value: string | Uint8Array | null;
}

function headersOf(headers: Iterable<HeaderInput>): Named[] {
  if (typeof headers !== "object" || typeof headers[Symbol.iterator] !== "function") {
    throw invalid(`headers must be an array of { key, value }; got ${shown(headers)}`);
  }
  const named: Named[] = [];
  let bytes = 0;
  for (const header of headers) {
    if (typeof header !== "object" || header === null) {
      throw invalid(`a header must be { key, value }; got ${shown(header)}`);
    }
    const { key, value } = header;
    if (value === undefined) throw invalid("a header has no value; say null if that is meant");
    const bytesOrText = value === null ? null : field(value, "a header's value");
    named.push({ key: text(key, "a header's key"), value: bytesOrText });
    bytes += 8 + key.length + (bytesOrText === null ? 0 : lengthOf(bytesOrText, "a header's value"));
    // However many there are to come.
    if (bytes > ENTRY_MAX) throw tooLarge(bytes);
  }
  return named;
}

/** Packs records into one piece of memory, as native/layout.rs draws them. */
export class Packer {
  readonly bytes: Buffer;
  readonly #capacity: number;
  /** Bytes filled. */
  at = 0;
  /** Bytes of them that have crossed. */
  crossed = 0;
  /** The record that did not fit, read once and for all, and the bytes that it needs. */
  left: RecordInput | undefined;
  needed = 0;
  /** Nothing goes in any more: the memory waits to cross. */
  sealed = false;
  /** Where the last entry begins. */
  #last = 0;
  readonly #words: Uint32Array;
  readonly #floats: Float64Array;
  readonly #wholes: BigUint64Array;

  constructor(capacity: number) {
    const memory = new ArrayBuffer((capacity + 7) & ~7);
    this.bytes = Buffer.from(memory);
    this.#capacity = memory.byteLength;
    this.#words = new Uint32Array(memory);
    this.#floats = new Float64Array(memory);
    this.#wholes = new BigUint64Array(memory);
  }

  /** Adds a record. False: it does not fit, and is `left`, without code of the caller that would run again. */
  pack(record: RecordInput, topic: number, flags: number, who: number): boolean {
    if (typeof record !== "object" || record === null) {
      throw invalid(`a record must be an object { value, ... }; got ${shown(record)}`);
    }
    // First all that may run code of the caller: it may send as well, and so nothing has a place before.
    const { key, value, headers, timestamp, partition, position } = record;
    if (value === undefined) throw invalid("a record has no value; say null to mark its key as deleted");
    const headerFields = headers === null || headers === undefined ? null : headersOf(headers);
    const keyField = key === null || key === undefined ? null : field(key, "key");
    const valueField = value === null ? null : field(value, "value");
    const time = timestamp === null || timestamp === undefined ? null : milliseconds(timestamp);

    // No code of the caller runs from here on; another thread can only have a shared buffer grow.
    const keyLength = keyField === null ? 0 : lengthOf(keyField, "key");
    const valueLength = valueField === null ? 0 : lengthOf(valueField, "value");
    const fields = room(keyField, keyLength) + room(valueField, valueLength);
    const needed = ENTRY_HEAD + 24 + fields + (headerFields === null ? 0 : headersRoom(headerFields));
    if (this.sealed || this.at + needed > this.#capacity) {
      this.needed = needed;
      if (needed > ENTRY_MAX) throw tooLarge(needed);
      this.left = { key: keyField, value: valueField, headers: headerFields, timestamp: time, partition, position };
      return false;
    }
    const start = this.at;
    let at = start + ENTRY_HEAD;
    const words = this.#words;
    const head = start >> 2;
    words[head + 7] = 0;
    if (time !== null) {
      this.#floats[at >> 3] = time;
      flags |= TIMESTAMP;
      at += 8;
    }
    if (position !== null && position !== undefined) {
      this.#position(position, at);
      flags |= POSITION;
      at += 8;
    }
    if (partition !== null && partition !== undefined) {
      if (!Number.isInteger(partition) || partition < 0 || partition > 0xffff_ffff) {
        throw invalid(`partition must be an integer from 0 to 4294967295; got ${shown(partition)}`);
      }
      words[head + 7] = partition;
      flags |= PARTITION;
    }
    if (keyField !== null) {
      const from = at;
      at = this.#put(keyField, at, keyLength);
      words[head + 4] = at - from;
      flags |= KEY;
    }
    if (valueField !== null) {
      const from = at;
      at = this.#put(valueField, at, valueLength);
      words[head + 5] = at - from;
      flags |= VALUE_FLAG;
    }
    words[head + 6] = 0;
    if (headerFields !== null) {
      words[head + 6] = headerFields.length;
      for (const header of headerFields) at = this.#header(header, at);
    }
    const end = (at + 7) & ~7;
    // A shared buffer may grow on another thread meanwhile.
    if (end > start + needed) throw grown();
    words[head] = end - start;
    words[head + 1] = flags;
    words[head + 2] = topic;
    words[head + 3] = who;
    this.#last = start;
    this.at = end;
    return true;
  }

  /** Adds records that are packed already. False: they do not fit. */
  copy(packed: Uint8Array): boolean {
    if (this.sealed || this.at + packed.length > this.bytes.length) return false;
    this.bytes.set(packed, this.at);
    this.at += packed.length;
    return true;
  }

  /** What has not crossed, in memory of its own. */
  rest(): Packer {
    const rest = new Packer(this.at - this.crossed);
    rest.bytes.set(this.bytes.subarray(this.crossed, this.at));
    rest.at = this.at - this.crossed;
    return rest;
  }

  /** Empties the memory. */
  reset(): this {
    this.at = 0;
    this.crossed = 0;
    this.sealed = false;
    return this;
  }

  /** Adds flags to the last entry, which crosses last. */
  mark(flags: number): void {
    this.#words[(this.#last >> 2) + 1] |= flags;
  }

  /** Who waits for an answer to what has not crossed. */
  waiting(): Set<number> {
    const whos = new Set<number>();
    for (let at = this.crossed; at < this.at; at += this.#words[at >> 2]) {
      const head = at >> 2;
      if ((this.#words[head + 1] & (ANSWER | MANY)) !== 0) whos.add(this.#words[head + 3]);
    }
    return whos;
  }

  #position(position: bigint | number, at: number): void {
    if (typeof position === "number" && Number.isSafeInteger(position) && position >= 0) {
      // A bigint need not be made for it.
      const word = at >> 2;
      const low = position >>> 0;
      const high = (position - low) / 0x1_0000_0000;
      [this.#words[word], this.#words[word + 1]] = LITTLE ? [low, high] : [high, low];
    } else {
      this.#wholes[at >> 3] = whole(position, "position");
    }
  }

  #put(field: string | Uint8Array, at: number, length: number): number {
    if (typeof field === "string") return this.#text(field, at);
    try {
      // All of it, so also what a shared buffer has grown by since its length was asked for.
      SET.call(this.bytes, field, at);
    } catch {
      throw grown();
    }
    return at + length;
  }

  #text(text: string, at: number): number {
    const { bytes } = this;
    const length = text.length;
    if (length > SHORT) return at + bytes.write(text, at);
    for (let i = 0; i < length; i++) {
      const letter = text.charCodeAt(i);
      if (letter > 0x7f) return at + bytes.write(text, at);
      bytes[at + i] = letter;
    }
    return at + length;
  }

  #header({ key, value }: Named, at: number): number {
    // Where a header begins is no multiple of 4.
    const named = this.#text(key, at + 8);
    const end = value === null ? named : this.#put(value, named, lengthOf(value, "a header's value"));
    this.#number(named - at - 8, at);
    this.#number(value === null ? NULL : end - named, at + 4);
    return end;
  }

  #number(number: number, at: number): void {
    if (LITTLE) this.bytes.writeUInt32LE(number, at);
    else this.bytes.writeUInt32BE(number, at);
  }
}

const LITTLE = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;

/** The most bytes that a field of this length takes. */
function room(field: string | Uint8Array | null, length: number): number {
  return typeof field === "string" ? 3 * length : length;
}

function headersRoom(headers: Named[]): number {
  const most = (value: Named["value"]) => (value === null ? 0 : room(value, lengthOf(value, "a header's value")));
  return headers.reduce((sum, { key, value }) => sum + 8 + 3 * key.length + most(value), 0);
}

/** Another thread made a shared buffer larger than there was room for. */
export function grown(): OncelogError {
  return invalid("a shared buffer has grown while its record was sent; send it again");
}

export function tooLarge(bytes: number): OncelogError {
  const text = "the record is larger than the engine could take; store what is in it elsewhere and send its name";
  return new OncelogError("RecordTooLarge", `${text}, bytes=${bytes} max=${ENTRY_MAX}`);
}
