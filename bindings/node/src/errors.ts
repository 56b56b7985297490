import { types } from "node:util";
import { native } from "./native.js";

/** What can go wrong. The numbers and names are the same in every language and never used again. */
export type ErrorCode =
  | "InvalidArgument" | "InvalidState" | "Closed" | "Forked" | "Locked" | "ReadOnly" | "Io" | "Full" | "Poisoned"
  | "Corrupt" | "Truncated" | "UnsupportedVersion" | "TimedOut" | "Busy" | "LimitExceeded" | "RecordTooLarge"
  | "TopicExists" | "UnknownTopicOrPartition" | "UnknownGroup" | "OffsetOutOfRange" | "OutOfOrderSequence"
  | "UnknownProducer" | "ProducerFenced" | "StaleEpoch" | "InvalidRecord" | "UnstableOffsets"
  | "UnknownTransactionalId" | "GroupNotEmpty" | "Rebalancing" | "InvalidTransactionState" | "TransactionAborted"
  | "TransactionTimedOut" | "Indeterminate" | "StaleGroupMember" | "Internal" | "Panic";

const kinds = new Map(native.kinds().map((kind) => [kind.name, kind]));
const names = new Map(native.kinds().map((kind) => [kind.number, kind.name]));

/** Every error of this package but an `AbortSignal`'s reason. The message says what to do; `code` is what to act on. */
export class OncelogError extends Error {
  override readonly name = "OncelogError";
  /** What went wrong. */
  readonly code: ErrorCode;
  /** The code's number. */
  readonly number: number;
  /** The code by which a Kafka broker would tell its clients the same. */
  readonly kafkaCode: number;
  /** The same call may succeed later without any change. */
  readonly retriable: boolean;
  /** This handle is finished: close it and open a new one. */
  readonly fatal: boolean;
  /** The transaction this came from can only be aborted and run again. */
  readonly requiresAbort: boolean;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    const kind = kinds.get(code) ?? kinds.get("Internal")!;
    this.code = code;
    this.number = kind.number;
    this.kafkaCode = kind.kafkaCode;
    this.retriable = kind.retriable;
    this.fatal = kind.fatal;
    this.requiresAbort = kind.requiresAbort;
  }

  /**
   * The code that says what a code of Kafka's protocol says, for programs that were written against a broker's answers;
   * null for 0, which is no error. Codes that speak of what only a cluster has are `Busy` where Kafka's clients try
   * again, else `Internal`; so are codes that came after this version.
   */
  static fromKafkaCode(code: number): ErrorCode | null {
    if (Number.isInteger(code) && code >= -0x8000 && code < 0x8000) {
      return native.kindOfKafkaCode(code) as ErrorCode | null;
    }
    const got = typeof code === "number" ? code : typeof code;
    throw invalid(`a code of Kafka's protocol is an integer of 16 bits; got ${got}`);
  }
}

/** What the native half threw, as the package's own error. Anything else, such as what a getter threw, stays. */
export function toError(thrown: unknown): unknown {
  // Not `instanceof`: the native half's errors are of the realm that loaded it first, and this may be another one.
  if (!types.isNativeError(thrown) || thrown instanceof OncelogError) return thrown;
  const { code, message, cause } = thrown as Error & { code?: string };
  if (typeof code !== "string") return thrown;
  // Of the cause only the text has come over.
  const options = types.isNativeError(cause) ? { cause: new Error(cause.message) } : undefined;
  if (kinds.has(code)) return new OncelogError(code as ErrorCode, message, options);
  // What the framework itself finds wrong with a value.
  const framework = code.endsWith("Expected") || code === "InvalidArg";
  return framework ? new OncelogError("InvalidArgument", message, options) : thrown;
}

/** An argument that cannot be taken; nothing happened. */
export function invalid(message: string): OncelogError {
  return new OncelogError("InvalidArgument", message);
}

/** An error that came as a number and a text. */
export function errorOf(number: number, message: string): OncelogError {
  return new OncelogError((names.get(number) ?? "Internal") as ErrorCode, message);
}

/** The answer to a call on a handle that was closed. */
export function closed(what: string): OncelogError {
  return new OncelogError("Closed", `this ${what} was closed; open a new one`);
}

/** Runs a call of the native half. */
export function run<T>(call: () => T): T {
  try {
    return call();
  } catch (thrown) {
    throw toError(thrown);
  }
}
