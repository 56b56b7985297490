import {
  amount, bytesOf, iterable, mustBeOpen, partitionName, positions, signalOf, text, until, whenRaised, whole,
} from "./arguments.js";
import { closed, OncelogError, run } from "./errors.js";
import { hub } from "./hub.js";
import type { NativeConsumer } from "./native.js";
import { makerOf, Records, type Maker, type RecordsIterator } from "./records.js";
import { CLOSES, type Room } from "./room.js";
import { turnDue, wasRead } from "./turn.js";
import type {
  Bounds, CommittedOffset, GroupMetadata, OffsetOf, Offsets, Position, PositionInfo, Record, TopicPartition, Waiting,
  Whole,
} from "./types.js";

/** How to poll. */
export interface PollOptions extends Waiting {
  /** How long to wait for a record if there is none. Default: as long as it takes. */
  timeoutMs?: number;
}

/** What `for await` gets at the end, and why a walk that has ended stops to wait. */
const END = { done: true, value: undefined } as const;

/**
 * Reads assigned partitions, each from what the group has committed, else by the start rule. Positions move with what
 * was given out: by `poll` with all its records, by `for await` with each record when it is given. One reader reads at
 * a time.
 *
 * A poll copies at most `maxBytes`, unpacked, and a batch while JavaScript waits, and never waits itself; pages of old
 * segments that are not in memory come from the disk then. Polls that follow each other let the event loop turn every
 * few milliseconds.
 */
export class Consumer<O extends Offsets = "bigint"> implements AsyncIterable<Record<O>> {
  /** @internal */
  readonly native: NativeConsumer;
  readonly #maker: Maker<O>;
  readonly #room: Room;
  #open = true;
  #closing: Promise<void> | undefined;
  #polling = false;
  /** The walk of `for await` over records of which the engine thinks that they were read. */
  #walk: RecordsIterator<O> | undefined;
  /** Hears of readiness while somebody waits for it. */
  readonly #who = hub.listen(this);
  /** The engine will say when a poll would answer; it is asked once, however many polls time out. */
  #asked = false;
  #stop: (() => void) | undefined;
  /** Kept when a commit has sent the positions that waits for room: until then they stay. */
  #committing: Promise<void> | undefined;

  /** @internal */
  constructor(native: NativeConsumer, offsets: O | undefined, room: Room) {
    this.native = native;
    this.#room = room;
    this.#maker = makerOf(offsets);
  }

  /** Takes over these partitions, in place of those before. Positions of partitions that stay are kept. */
  assign(partitions: Iterable<TopicPartition>): void {
    const names = Array.from(iterable(partitions, "partitions"), partitionName);
    this.#check();
    this.#mustBeStill("assign");
    this.#giveBack();
    run(() => this.native.assign(names));
  }

  /**
   * The next records, as soon as there are any; none when the time is up. Without a record too they say where to read
   * on: what was read may all be aborted. `signal` stops the waiting; records that were there already are given, and
   * what was stepped over the next poll tells. A partition of which a raw transaction will commit an offset for the
   * group has nothing to read before the decision (KIP-447), unless its position was sought or the isolation is
   * `read_uncommitted`. Rejects with `Poisoned` once the disk has failed and nothing is left to read, for nothing will
   * come.
   */
  async poll(options: PollOptions = {}): Promise<Records<O>> {
    const signal = signalOf(options);
    const { timeoutMs = Infinity } = options;
    const timeout = timeoutMs === Infinity ? Infinity : amount(timeoutMs, "timeoutMs")!;
    this.#check();
    while (this.#committing !== undefined) await until(this.#committing, signal);
    this.#check();
    this.#giveBack();
    return this.#next(timeout, signal, (memory) => new Records(memory, this.#maker));
  }

  /** What `take` makes of the next records, or of none when the time is up. Nobody looks at positions in between. */
  async #next<T>(
    timeout: number, signal: AbortSignal | undefined, take: (memory: ArrayBuffer | null) => T,
  ): Promise<T> {
    if (this.#polling) {
      throw new OncelogError("Busy", "this consumer is being polled already; give each reader a consumer of its own");
    }
    this.#polling = true;
    const deadline = performance.now() + timeout;
    try {
      for (;;) {
        this.#check();
        // Raised while this waited for something: what is there is left to others.
        if (signal?.aborted) throw signal.reason;
        const turn = turnDue();
        if (turn !== undefined) {
          await until(turn, signal);
          continue;
        }
        // What the group has committed may be news that no flush has met yet: that is waited for here.
        if (!run(() => this.native.settled())) {
          await until(hub.wait<void>((who) => this.native.settle(who)).catch(unlessPending), signal);
          continue;
        }
        const left = deadline - performance.now();
        const memory = run(() => this.native.poll(left <= 0));
        wasRead(memory);
        if (memory !== null || left <= 0) return take(memory);
        await this.#untilReady(left, signal);
      }
    } finally {
      this.#polling = false;
    }
  }

  /** Waits until a poll would answer, the time is up, the signal is raised or the consumer is closed. */
  async #untilReady(timeout: number, signal: AbortSignal | undefined): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const woken = new Promise<void>((resolve) => {
      this.#stop = resolve;
      // A timer that is set further off fires at once.
      if (timeout < 2 ** 31) timer = setTimeout(resolve, timeout);
    });
    hub.keep(this);
    try {
      if (!this.#asked) {
        run(() => this.native.onReady(this.#who));
        this.#asked = true;
      }
      await until(woken, signal);
    } finally {
      clearTimeout(timer);
      this.#stop = undefined;
      hub.letGo(this);
    }
  }

  /** @internal Called by the hub: a poll would answer. */
  heard(): void {
    this.#asked = false;
    this.#stop?.();
  }

  /**
   * Gives records one by one, for ever; ends when the consumer is closed. A record counts as read when it is given: a
   * commit in the loop commits up to it, and after a `break` the next reader goes on behind it.
   *
   * `Readable.from(consumer)` asks for records before anybody reads them, 16 unless told otherwise, and they count as
   * read: behind a stream commit what has arrived at its end, with `commitOffsets`. A stream that is destroyed ends the
   * wait.
   */
  [Symbol.asyncIterator](): AsyncIterator<Record<O>, undefined> {
    return this.#given(undefined);
  }

  /**
   * The same records, for `for await`, until the signal is raised: then the loop throws its reason, whether it waits
   * or not, and what was not given is not read.
   */
  records(options?: Waiting): AsyncIterable<Record<O>> {
    const signal = signalOf(options);
    return { [Symbol.asyncIterator]: () => this.#given(signal) };
  }

  #given(signal: AbortSignal | undefined): AsyncIterator<Record<O>, undefined> {
    const stop = new AbortController();
    const polls = new Set<Promise<unknown>>();
    let ended = false;
    const more = () => {
      const poll = this.#moreUntil(stop, signal);
      const through = () => polls.delete(poll);
      polls.add(poll);
      poll.then(through, through);
      return poll;
    };
    const next = (): Promise<IteratorResult<Record<O>, undefined>> => {
      if (ended) return Promise.resolve(END);
      if (signal !== undefined && signal.aborted) return Promise.reject(signal.reason);
      const walk = this.#walk;
      if (walk === undefined || this.#committing !== undefined) return more();
      try {
        const given = walk.next();
        return given.done ? more() : Promise.resolve(given);
      } catch (error) {
        return Promise.reject(error);
      }
    };
    return {
      next,
      return: async () => {
        ended = true;
        stop.abort(END);
        // Whoever reads next finds nobody reading, and gets what these would have got.
        if (polls.size > 0) await Promise.allSettled(polls);
        if (this.#open) this.#leave();
        return END;
      },
    };
  }

  /** As `#more`; a signal that is raised stops the poll itself, so that no record is given to nobody. */
  async #moreUntil(
    stop: AbortController, signal: AbortSignal | undefined,
  ): Promise<IteratorResult<Record<O>, undefined>> {
    const forget = signal && whenRaised(signal, () => stop.abort(signal.reason));
    try {
      return await this.#more(stop.signal);
    } finally {
      forget?.();
    }
  }

  /** The next record, from the next poll where nothing is left; the end when the consumer or the walk has ended. */
  async #more(stop: AbortSignal): Promise<IteratorResult<Record<O>, undefined>> {
    try {
      while (this.#committing !== undefined) await until(this.#committing, stop);
      this.#check();
      for (let given = this.#walk?.next(); ; ) {
        if (given !== undefined && !given.done) return given;
        this.#walk = undefined;
        given = await this.#next(Infinity, stop, (memory) => {
          this.#walk = new Records(memory, this.#maker)[Symbol.iterator]();
          return this.#walk.next();
        });
      }
    } catch (error) {
      if (!this.#open || error === END) return END;
      throw error;
    }
  }

  /** Moves a partition's position: the next record comes from there. */
  seek(partition: TopicPartition, offset: Whole): void {
    const name = partitionName(partition);
    const to = whole(offset, "offset");
    this.#check();
    this.#mustBeStill("seek");
    this.#giveBack();
    run(() => this.native.seek(name.topic, name.partition, to));
  }

  /**
   * The offset that is read next. Rejects with `UnstableOffsets`, which passes, if there is none yet and a raw
   * transaction is open that will commit one.
   */
  async position(partition: TopicPartition): Promise<OffsetOf<O>> {
    const { topic, partition: number } = partitionName(partition);
    this.#check();
    const left = this.#left().find((left) => left.topic === topic && left.partition === number);
    if (left !== undefined) return this.#maker(left.offset);
    const take = (who: number) => this.#maker(hub.native.takeOffset(who)!);
    return hub.wait((who) => this.native.settlePosition(who, topic, number), take);
  }

  /** The positions of all assigned partitions that have one. */
  positions(): PositionInfo<O>[] {
    this.#check();
    const left = this.#left();
    return run(() => this.native.positions()).map(({ topic, partition, offset }) => {
      const behind = left.find((left) => left.topic === topic && left.partition === partition);
      return { topic, partition, offset: this.#maker(behind?.offset ?? offset) };
    });
  }

  /**
   * What the group has committed for a partition, assigned or not; null for nothing. What is answered survives a power
   * cut. Rejects with `UnstableOffsets`, which passes, while a raw transaction is open that will commit another offset.
   */
  async committed(partition: TopicPartition): Promise<OffsetOf<O> | null> {
    const { topic, partition: number } = partitionName(partition);
    this.#check();
    const take = (who: number) => {
      const committed = hub.native.takeOffset(who);
      return committed === null ? null : this.#maker(committed);
    };
    return hub.wait((who) => this.native.committed(who, topic, number), take);
  }

  /**
   * What the group has committed for these partitions, assigned or not, with what was stored beside the offsets: the
   * counterpart of `commitOffsets`. All of one moment; partitions for which nothing is committed are left out. Rejects
   * as `committed`.
   */
  async committedOffsets(partitions: Iterable<TopicPartition>): Promise<CommittedOffset<O>[]> {
    const names = Array.from(iterable(partitions, "partitions"), partitionName);
    this.#check();
    const take = (who: number) =>
      hub.native.takeOffsets(who).map((row) => ({ ...row, offset: this.#maker(row.offset) }));
    return hub.wait((who) => this.native.committedOffsets(who, names), take);
  }

  /** How many records lie between the position and the end. Rejects as `position` does. */
  async lag(partition: TopicPartition): Promise<OffsetOf<O>> {
    const { topic, partition: number } = partitionName(partition);
    this.#check();
    const left = this.#left().find((left) => left.topic === topic && left.partition === number);
    if (left === undefined) {
      const take = (who: number) => this.#maker(hub.native.takeOffset(who)!);
      return hub.wait((who) => this.native.settleLag(who, topic, number), take);
    }
    // What was given on comes from a poll, and so the engine need not flush before it tells.
    return run(() => this.#maker(this.native.lag(topic, number) + this.native.position(topic, number) - left.offset));
  }

  /** Start, last stable offset and end of a partition, assigned or not. */
  bounds(partition: TopicPartition): Bounds<O> {
    const { topic, partition: number } = partitionName(partition);
    this.#check();
    const { start, stable, end } = run(() => this.native.bounds(topic, number));
    return { start: this.#maker(start), stable: this.#maker(stable), end: this.#maker(end) };
  }

  /**
   * Commits the positions of all assigned partitions, together; with `offsets` the same as `commitOffsets`. `signal`
   * stops the waiting, never the write.
   */
  async commit(offsets?: Iterable<Position> | null, waiting?: Waiting): Promise<void> {
    if (offsets !== undefined && offsets !== null) return this.commitOffsets(offsets, waiting);
    const signal = signalOf(waiting);
    this.#check();
    const room = this.#room.mayCall(CLOSES);
    const commits = this.#room.call<void>((who) => this.atGiven(() => this.native.commit(who)));
    // What is read from here on is no part of it.
    if (!room) this.stay(commits);
    await until(commits, signal);
  }

  /** Commits any positions of the group, together. `signal` stops the waiting, never the write. */
  async commitOffsets(offsets: Iterable<Position>, waiting?: Waiting): Promise<void> {
    const signal = signalOf(waiting);
    const rows = positions(offsets);
    this.#check();
    const commits = this.#room.call<void>((who) => this.native.commitOffsets(who, rows), undefined, bytesOf(rows));
    await until(commits, signal);
  }

  /** Goes back to what is committed, in all assigned partitions; where nothing is, to the start rule. */
  rewind(): void {
    this.#check();
    this.#mustBeStill("rewind");
    this.#walk = undefined;
    run(() => this.native.rewind());
  }

  /** Names the group, for `Transaction.sendOffsets`. */
  groupMetadata(): GroupMetadata {
    this.#check();
    return { group: text(run(() => this.native.group()), "group") };
  }

  /** Lets the consumer go; a `for await` over it ends. Nothing is committed but what waits for room in the log. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#open = false;
    this.#stop?.();
    while (this.#committing !== undefined) await this.#committing;
    try {
      // A transaction that was begun for it sends what was given on, also from here on.
      this.#leave();
    } finally {
      this.#walk = undefined;
      this.native.close();
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Positions stay where a commit that waits for room finds them. */
  #mustBeStill(verb: string): void {
    if (this.#committing === undefined) return;
    const text = "the positions are being committed and wait for room in the log; await that commit, then";
    throw new OncelogError("Busy", `${text} ${verb}`);
  }

  #check(): void {
    mustBeOpen(this.#open, "consumer");
  }

  /** Where partitions stand of which the engine gave more than was given on. */
  #left(): { topic: string; partition: number; offset: bigint }[] {
    return this.#walk?.left() ?? [];
  }

  /** @internal What the engine gave and nobody has seen is read again. */
  forgetWalk(): void {
    this.#walk = undefined;
  }

  /** Has the engine go back to what was given on; damage that nobody has heard of stays. */
  #giveBack(): void {
    const left = this.#left();
    if (left.length === 0) {
      if (this.#walk?.ended) this.#walk = undefined;
      return;
    }
    run(() => left.forEach(({ topic, partition, offset }) => this.native.seek(topic, partition, offset)));
    this.#walk = undefined;
  }

  /** As `#giveBack`, for a reader that goes: where the engine was closed there is nothing to go back in. */
  #leave(): void {
    try {
      this.#giveBack();
    } catch (error) {
      if (!(error instanceof OncelogError && error.code === "Closed")) throw error;
    }
  }

  /** @internal Makes a call for which the positions are those of what was given on, not of what was read ahead. */
  atGiven<T>(call: () => T): T {
    const left = this.#left();
    if (left.length === 0) return call();
    const ahead = left.map(({ topic, partition }) => this.native.position(topic, partition));
    left.forEach(({ topic, partition, offset }) => this.native.seek(topic, partition, offset));
    try {
      return call();
    } finally {
      // Where the call has put the consumer back it stays, and everything is read again from there.
      const stays = left.every(({ topic, partition, offset }) => this.native.position(topic, partition) === offset);
      if (stays) left.forEach(({ topic, partition }, n) => this.native.seek(topic, partition, ahead[n]));
      else this.#walk = undefined;
    }
  }

  /** @internal Has the positions stay until `commits` is settled. */
  stay(commits: Promise<unknown>): void {
    const through = () => {
      if (this.#committing === staying) this.#committing = undefined;
    };
    const staying = commits.then(through, through);
    this.#committing = staying;
  }

  /** @internal */
  mustBeOpen(): void {
    if (!this.#open) throw closed("consumer");
  }
}

/** Offsets that are pending are waited for like records: a poll answers without their partitions. */
function unlessPending(error: unknown): void {
  if (!(error instanceof OncelogError) || error.code !== "UnstableOffsets") throw error;
}
