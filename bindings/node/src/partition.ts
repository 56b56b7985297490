import { amount, iterable, options as given, signalOf, until, whole } from "./arguments.js";
import { invalid, run } from "./errors.js";
import { hub } from "./hub.js";
import type { NativePartition } from "./native.js";
import { ENTRY_MAX, Packer, tooLarge } from "./packer.js";
import { makerOf, Records } from "./records.js";
import type { Room } from "./room.js";
import type { Appended, Bounds, Durability, Offsets, ReadOptions, RecordInput, Waiting, Whole } from "./types.js";

/** How to append. */
export interface AppendOptions extends Waiting {
  /** When the append is acknowledged; readers see it by the topic's level. */
  durability?: Durability;
}

/** One partition: the log itself, as plain as it gets. */
export class Partition {
  /** The topic's name. */
  readonly topic: string;
  /** The partition's number in its topic. */
  readonly number: number;
  readonly #native: NativePartition;
  readonly #room: Room;

  /** @internal */
  constructor(native: NativePartition, topic: string, number: number, room: Room) {
    this.#native = native;
    this.topic = topic;
    this.number = number;
    this.#room = room;
  }

  /** Appends records as one batch, all or none. `signal` stops the waiting, never the write. */
  async append(records: Iterable<RecordInput>, options?: AppendOptions): Promise<Appended> {
    const signal = signalOf(options);
    const { durability } = given(options, "the options of append");
    let packer = new Packer(16 << 10);
    for (const record of iterable(records, "records")) {
      if (record?.partition !== undefined || record?.position !== undefined) {
        throw invalid("what is appended to a partition has no partition and no position of its own; leave them out");
      }
      for (let left = record; !packer.pack(left, 0, 0, 0); packer = larger(packer)) left = packer.left!;
      // However many there are to come.
      if (packer.at > ENTRY_MAX) throw tooLarge(packer.at);
    }
    const bytes = packer.bytes.subarray(0, packer.at);
    if (!this.#mayAppend(bytes.length)) await this.#room.until(bytes.length);
    return until(hub.wait<Appended>((who) => this.#native.append(who, bytes, durability)), signal);
  }

  /** True if an append need not wait for room, or cannot wait any more. */
  #mayAppend(bytes: number): boolean {
    return this.#room.has(bytes) || hub.leaving !== undefined;
  }

  /**
   * Reads from an offset on, up to about `maxBytes`: what is visible now, none if that is nothing yet. Go on with
   * `records.nextOffset`.
   */
  async read<O extends Offsets = "bigint">(offset: Whole, options?: ReadOptions<O>): Promise<Records<O>> {
    const { maxBytes, isolation, offsets } = given(options, "the options of read");
    const from = whole(offset, "offset");
    const maker = makerOf(offsets);
    const most = amount(maxBytes, "maxBytes");
    return new Records(run(() => this.#native.read(from, most, isolation)), maker);
  }

  /** The first offset, the last stable one and the end, as readers see them now. */
  bounds(): Bounds {
    return run(() => this.#native.bounds());
  }
}

function larger(packer: Packer): Packer {
  const more = new Packer(Math.max(2 * packer.bytes.length, packer.at + packer.needed));
  more.bytes.set(packer.bytes.subarray(0, packer.at));
  more.at = packer.at;
  return more;
}
