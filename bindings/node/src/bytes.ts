import { types } from "node:util";
import { shown } from "./arguments.js";
import { invalid, type OncelogError } from "./errors.js";
import type { Bytes } from "./types.js";

// What a buffer says of itself under names that anybody may have put there is not believed: a length, a prototype. It
// is asked by what every buffer of its kind is born with.

const TYPED = Object.getPrototypeOf(Uint8Array.prototype) as object;
const DATA = DataView.prototype;

function born<T>(of: object, name: string | symbol): (this: unknown) => T {
  const { get, value } = Object.getOwnPropertyDescriptor(of, name)!;
  return get ?? value;
}

const kindOf = born<string | undefined>(TYPED, Symbol.toStringTag);
const byteLength = born<number>(TYPED, "byteLength");
const typed = {
  buffer: born<ArrayBuffer>(TYPED, "buffer"),
  byteOffset: born<number>(TYPED, "byteOffset"),
  byteLength,
  /** Throws for an array whose memory is gone, as every method of typed arrays; it looks empty otherwise. */
  keys: born<unknown>(TYPED, "keys"),
};
const data = {
  buffer: born<ArrayBuffer>(DATA, "buffer"),
  byteOffset: born<number>(DATA, "byteOffset"),
  byteLength: born<number>(DATA, "byteLength"),
};

/** Text as it is, anything else as its bytes, which `lengthOf` finds there or gone. */
export function field(value: Bytes, what: string): string | Uint8Array {
  if (typeof value === "string") return value;
  return kindOf.call(value) === "Uint8Array" ? (value as Uint8Array) : viewOf(value, what);
}

/** The length of what `field` answers. To ask is a call: once for each field is enough. */
export function lengthOf(field: string | Uint8Array, what: string): number {
  if (typeof field === "string") return field.length;
  const length = byteLength.call(field);
  if (length === 0) mustBeThere(field, what);
  return length;
}

function viewOf(value: unknown, what: string): Uint8Array {
  try {
    if (types.isTypedArray(value)) typed.keys.call(value);
    if (ArrayBuffer.isView(value)) {
      // A DataView whose memory is gone throws by itself.
      const of = types.isTypedArray(value) ? typed : data;
      return new Uint8Array(of.buffer.call(value), of.byteOffset.call(value), of.byteLength.call(value));
    }
    if (types.isAnyArrayBuffer(value)) return new Uint8Array(value);
  } catch {
    throw gone(what);
  }
  throw invalid(`${what} must be a string, a Buffer, another view or buffer, or null; got ${shown(value)}`);
}

/** Tells an empty view from one whose memory is gone, which has no length either. */
function mustBeThere(view: Uint8Array, what: string): void {
  try {
    typed.keys.call(view);
  } catch {
    throw gone(what);
  }
}

function gone(what: string): OncelogError {
  return invalid(`${what} is a view of memory that was transferred away or shrunk; send it before that`);
}
