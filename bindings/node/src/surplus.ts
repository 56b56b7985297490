import { Backlog, TURN } from "./backlog.js";
import { toError } from "./errors.js";
import { hub } from "./hub.js";
import { native, type NativeTransaction } from "./native.js";
import { Packer } from "./packer.js";
import type { Room, Waits } from "./room.js";

/** Memory that is taken at once for records that wait. */
const PIECE = 64 << 10;

/** What of a transaction has to wait for room in the log: its records from the first such one on. */
export class Surplus implements Waits {
  /** Held, since the slot is its own only as long as it lives. */
  readonly #native: NativeTransaction;
  readonly #room: Room;
  readonly #backlog = new Backlog();
  /** Why one of the records was refused, and those behind it with it: the transaction can only be aborted. */
  refused: { readonly error: unknown } | undefined;
  #committing = false;

  constructor(native: NativeTransaction, room: Room) {
    this.#native = native;
    this.#room = room;
  }

  get empty(): boolean {
    return this.#backlog.empty;
  }

  /** Nothing waits, and nothing was refused. */
  get settled(): boolean {
    return this.empty && this.refused === undefined;
  }

  /** Refuses everything once a record was refused. */
  mustGoOn(): void {
    if (this.refused !== undefined) throw this.refused.error;
  }

  /** Refuses another record where too much waits, too. */
  mustTakeMore(): void {
    this.mustGoOn();
    this.#backlog.mustTakeMore();
  }

  /** Puts a packed record behind those that wait. */
  add(packed: Uint8Array): void {
    if (!this.#backlog.extend(packed)) {
      const packer = new Packer(Math.max(packed.length, PIECE));
      packer.copy(packed);
      this.#backlog.push(packer);
    }
    if (hub.leaving === undefined) this.#room.wait(this);
    else this.crossBacklog(true);
  }

  crossBacklog(wait: boolean): boolean {
    // No turn comes after this one when the process exits.
    const bytes = hub.leaving === undefined ? TURN : Infinity;
    const moved = this.#backlog.cross(bytes, (packer) => {
      const before = packer.crossed;
      if (this.refused === undefined) this.#cross(packer, wait);
      return packer.crossed > before;
    });
    if (this.refused !== undefined) this.#backlog.clear();
    if (this.empty) this.#backlog.tell();
    return moved;
  }

  #cross(packer: Packer, wait: boolean): void {
    const { bytes, crossed, at } = packer;
    try {
      packer.crossed += native.cross(this.#native.slot, bytes, crossed, at, wait);
    } catch (thrown) {
      this.refused = { error: toError(thrown) };
      packer.crossed = at;
    }
  }

  /** Called when the process exits: only what is to be committed outlives it. */
  crossPacked(wait: boolean): void {
    if (this.#committing) this.crossBacklog(wait);
  }

  /** Waits until nothing waits, and tells why a record was refused. */
  async drained(): Promise<void> {
    while (!this.empty) await new Promise<void>((resolve) => this.#backlog.whenGone(resolve));
    this.mustGoOn();
  }

  /** Has `commit` called when nothing waits, at once if that is now. */
  whenGone(commit: () => void): void {
    this.#committing = true;
    this.#backlog.whenGone(commit);
    if (this.empty || hub.leaving !== undefined) this.crossBacklog(true);
  }

  /** Throws everything away. */
  clear(): void {
    this.#backlog.clear();
    this.#backlog.tell();
  }
}
