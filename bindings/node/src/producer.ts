import { Answers } from "./answers.js";
import { iterable, mustBeOpen, signalOf, until } from "./arguments.js";
import { Backlog, BACKLOG_MAX, TURN, tooMany } from "./backlog.js";
import { crossOwn } from "./desk.js";
import { closed, OncelogError, run, toError } from "./errors.js";
import { hub } from "./hub.js";
import { ANSWER, MANY, MORE, REFUSED } from "./layout.js";
import { native, type NativeProducer } from "./native.js";
import { Packer } from "./packer.js";
import type { Room } from "./room.js";
import { soon } from "./schedule.js";
import { Topics } from "./topics.js";
import type { Appended, RecordInput, Waiting } from "./types.js";

/** Bytes at which packed records cross without waiting for the end of the task. */
const CROSS_AT = 64 << 10;
/** Bytes of a call of many that cross together. */
const PIECE = 256 << 10;

/** Memory for a call of many; used by one at a time, and a call inside a call makes its own. */
let spare: Packer | undefined;

/**
 * Sends records to topics. Records are packed here and cross to the engine together, at the end of the running task;
 * each partition's records keep the order of the calls.
 *
 * Opened with a name it never writes a record twice: each record carries a position, and what lies at or below
 * `position` is answered as a duplicate.
 */
export class Producer {
  readonly #native: NativeProducer;
  readonly #room: Room;
  readonly #slot: number;
  readonly #refusals: number;
  readonly #topics: Topics;
  /** Where records are packed mostly: the native half knows this memory. */
  readonly #own: Packer;
  /** Where the next record is packed: there, or in memory for one that is larger. */
  #packer: Packer;
  #scheduled = false;
  #open = true;
  #closing: Promise<void> | undefined;
  /** Flushes that have no answer yet: with the native half gone they would have none. */
  readonly #flushes = new Set<Promise<void>>();
  readonly #backlog = new Backlog();
  /** Something was posted that no flush has taken along. */
  #posted = false;
  /** Why the first posted record was refused of which nobody has heard. */
  #refused: unknown;

  /** @internal */
  constructor(take: (memory: Uint8Array, refusals: number) => NativeProducer, room: Room) {
    this.#refusals = hub.listen(this);
    this.#own = new Packer(CROSS_AT);
    this.#packer = this.#own;
    this.#native = take(this.#own.bytes, this.#refusals);
    this.#slot = this.#native.slot;
    this.#topics = new Topics(this.#native);
    this.#room = room;
  }

  /**
   * Sends a record. The promise is kept when the record has met its level; it closes the batch at the end of the task,
   * so records sent together go down together. `signal` stops the waiting, never the write.
   */
  send(topic: string, record: RecordInput, waiting?: Waiting): Promise<Appended> {
    if (waiting !== undefined) return this.#waiting(waiting, () => this.send(topic, record));
    return new Promise<Appended>((resolve, reject) => {
      const who = hub.expect(resolve as (value: unknown) => void, reject, undefined);
      try {
        this.#add(topic, record, ANSWER, who);
      } catch (error) {
        hub.forget(who);
        reject(error);
      }
    });
  }

  /**
   * Sends a record without a promise: the fastest way. It lingers for others, as `lingerMs` says; `flush` waits until
   * it is safe. True: go on. False: more is waiting than the engine takes; go on after `drained`.
   *
   * What a post is refused for in the engine is thrown by a later post, or by `flush`, `drained` or `close`.
   */
  post(topic: string, record: RecordInput): boolean {
    if (this.#refused !== undefined) this.#throwRefused();
    this.#add(topic, record, 0, 0);
    this.#posted = true;
    return this.#backlog.empty;
  }

  /**
   * Sends records in order, with one promise for all and an answer for each, which costs nothing until it is looked at.
   * If one is refused, those before it are sent, those behind it are not, and the promise says why. A record that
   * cannot be taken at all is told before any is sent. `signal` stops the waiting, never the write.
   */
  sendMany(topic: string, records: Iterable<RecordInput>, waiting?: Waiting): Promise<Answers> {
    if (waiting !== undefined) return this.#waiting(waiting, () => this.sendMany(topic, records));
    return new Promise<Answers>((resolve, reject) => {
      const answers: ArrayBuffer[] = [];
      const whos: number[] = [];
      let missing = 0;
      const expect = () => {
        const part = answers.push(undefined as unknown as ArrayBuffer) - 1;
        missing++;
        const heard = (answer: unknown) => {
          answers[part] = answer as ArrayBuffer;
          if (--missing === 0) resolve(new Answers(answers));
        };
        const who = hub.expect(heard, reject, (who) => hub.native.takeMany(who));
        whos.push(who);
        return who;
      };
      try {
        const pieces = this.#pack(topic, records, expect);
        if (pieces.length === 0) resolve(new Answers([]));
        this.#seal();
        for (const piece of pieces) this.#cross(piece);
        hub.leaving?.();
      } catch (error) {
        for (const who of whos) hub.forget(who);
        reject(error);
      }
    });
  }

  /** Waits until everything sent before has met its level. Rejects behind that with what a post was refused for. */
  async flush(waiting?: Waiting): Promise<void> {
    const signal = signalOf(waiting);
    mustBeOpen(this.#open, "producer");
    await until(this.#flush(), signal);
  }

  /** `taken` is called when the engine has taken the flush: what that answers is of the records then. */
  #flush(taken?: () => void): Promise<void> {
    const flush = this.#flushAll(taken);
    this.#flushes.add(flush);
    const through = () => this.#flushes.delete(flush);
    flush.then(through, through);
    return flush;
  }

  async #flushAll(taken?: () => void): Promise<void> {
    await this.#empty();
    await this.#room.flush((who) => {
      if (!this.#native.flush(who)) return false;
      // What was posted behind the call may still be here, and is not taken along.
      if (this.empty && this.#packer.at === 0) this.#posted = false;
      taken?.();
      return true;
    });
    if (this.#refused !== undefined) this.#throwRefused();
  }

  /** Waits until `post` may go on. */
  async drained(waiting?: Waiting): Promise<void> {
    const signal = signalOf(waiting);
    mustBeOpen(this.#open, "producer");
    await until(this.#empty(), signal);
    if (this.#refused !== undefined) this.#throwRefused();
  }

  /** The position of a named producer: everything sent up to it has met its level. Null before the first. */
  get position(): bigint | null {
    mustBeOpen(this.#open, "producer");
    return run(() => this.#native.position());
  }

  /** Flushes and lets the producer go. Rejects with what a post was refused for, also behind the engine's close. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    let taken = false;
    const flushed = this.#flush(() => (taken = true));
    this.#open = false;
    try {
      await flushed;
    } catch (error) {
      // Only from a flush that was not taken it means the engine: behind a refusal a named producer's answer it always.
      if (taken || !(error instanceof OncelogError && error.code === "Closed")) throw error;
      if (this.#posted) return await this.#closesLate();
      hub.hear();
      if (this.#refused !== undefined) this.#throwRefused();
    } finally {
      await Promise.allSettled(this.#flushes);
      this.#native.close();
    }
  }

  /** Behind the engine's close, which flushes too: tells what that did not take any more. */
  async #closesLate(): Promise<void> {
    // What was gathered while it closed is refused at its end.
    const closes = this.#room.closed();
    await closes.catch(() => {});
    hub.hear();
    try {
      this.#native.refused();
    } catch (thrown) {
      this.#refused ??= toError(thrown);
    }
    if (this.#refused !== undefined) this.#throwRefused();
    return closes;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #waiting<T>(waiting: Waiting, call: () => Promise<T>): Promise<T> {
    const signal = signalOf(waiting);
    return until(call(), signal);
  }

  #add(topic: string, record: RecordInput, flags: number, who: number): void {
    if (!this.#open) throw closed("producer");
    this.#backlog.mustTakeMore();
    const number = this.#topics.number(topic);
    for (let left = record; ; ) {
      // Code of the caller may run in here, and send as well.
      const packer = this.#packer;
      if (packer.pack(left, number, flags, who)) break;
      left = take(packer);
      this.#seal();
      if (packer.needed > this.#packer.bytes.length) this.#packer = new Packer(packer.needed);
    }
    if (!this.#scheduled) {
      this.#scheduled = true;
      soon(this);
    }
  }

  /** Makes the memory ready for more. */
  #seal(): void {
    if (this.empty) this.crossBacklog(false);
    else if (this.#packer.at > 0) this.#queue(this.#packer);
  }

  /** Packs the records of one call; a piece begins with a number that `expect` gives. */
  #pack(topic: string, records: Iterable<RecordInput>, expect: () => number): Packer[] {
    if (!this.#open) throw closed("producer");
    this.#backlog.mustTakeMore();
    const number = this.#topics.number(topic);
    const pieces: Packer[] = [];
    let piece: Packer | undefined;
    let bytes = 0;
    let who = 0;
    for (const record of iterable(records, "records")) {
      if (piece === undefined) {
        [piece, spare] = [spare ?? new Packer(PIECE), undefined];
        pieces.push(piece);
        who = expect();
      }
      for (let left = record; !piece.pack(left, number, MANY, who); ) {
        left = take(piece);
        if (piece.at > 0) {
          piece.mark(MORE);
          bytes += piece.at;
          if (bytes > BACKLOG_MAX) throw tooMany(bytes);
          who = expect();
        } else {
          pieces.pop();
        }
        piece = new Packer(Math.max(piece.needed, PIECE));
        pieces.push(piece);
      }
    }
    return pieces;
  }

  /** @internal What is packed crosses, or stays behind what waits. */
  crossPacked(wait: boolean): void {
    this.#scheduled = false;
    if (this.#packer.at === 0 && this.empty) return;
    if (wait || this.empty) this.crossBacklog(wait);
  }

  /** Puts a piece of a call behind what waits; it crosses if nothing does. */
  #cross(piece: Packer): void {
    const alone = this.empty;
    this.#queue(piece);
    if (alone) this.crossBacklog(false);
  }

  /** Puts packed records behind what waits. What is packed next lies in memory of its own. */
  #queue(packer: Packer): void {
    const waits = packer === this.#own ? packer.rest() : packer;
    if (packer === this.#packer) this.#packer = this.#own.reset();
    waits.sealed = true;
    this.#backlog.push(waits);
  }

  /** @internal */
  get empty(): boolean {
    return this.#backlog.empty;
  }

  /** @internal Called when there may be room. */
  crossBacklog(wait: boolean): boolean {
    if (this.empty) return this.#crossLast(wait);
    const keep = (packer: Packer) => {
      if (packer.bytes.length === PIECE) spare = packer.reset();
    };
    // What waits for the disk, or hears that there will be no room, has no turn to come.
    const moved = this.#backlog.cross(wait ? Infinity : TURN, (packer) => this.#goes(packer, wait), keep);
    if (this.empty) return this.#crossLast(wait) || moved;
    this.#room.wait(this);
    return moved;
  }

  /** What is being packed goes as well, since nothing is before it any more. */
  #crossLast(wait: boolean): boolean {
    const packer = this.#packer;
    const moved = packer.at > 0 && this.#goes(packer, wait);
    if (packer.crossed < packer.at) {
      this.#queue(packer);
      this.#room.wait(this);
      return moved;
    }
    this.#packer = this.#own.reset();
    this.#backlog.tell();
    return moved;
  }

  /** Answers whether anything went. */
  #goes(packer: Packer, wait: boolean): boolean {
    const { bytes, crossed, at } = packer;
    try {
      const own = packer === this.#own && !wait;
      packer.crossed += own ? crossOwn(this.#slot, packer, at) : native.cross(this.#slot, bytes, crossed, at, wait);
    } catch (thrown) {
      // Nothing of it goes, for whatever reason, and whoever waits for it must not wait for ever.
      const error = toError(thrown);
      for (const who of packer.waiting()) hub.refuse(who, error);
      this.#refused ??= error;
      packer.crossed = at;
    }
    return packer.crossed > crossed;
  }

  async #empty(): Promise<void> {
    this.crossPacked(false);
    while (!this.empty) await new Promise<void>((resolve) => this.#backlog.whenGone(resolve));
  }

  /** @internal Called by the hub: a posted record was refused. */
  heard(what: number): void {
    if (what === REFUSED) this.#refused ??= hub.error(this.#refusals);
  }

  #throwRefused(): never {
    const refused = this.#refused;
    this.#refused = undefined;
    if (!(refused instanceof OncelogError)) throw refused;
    throw new OncelogError(refused.code, `a posted record was refused: ${refused.message}`, { cause: refused });
  }
}

function take(packer: Packer): RecordInput {
  const left = packer.left!;
  packer.left = undefined;
  return left;
}
