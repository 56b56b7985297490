import { text } from "./arguments.js";
import { run } from "./errors.js";
import type { NativeSender } from "./native.js";

/** The numbers by which the native half of a sender knows topics. */
export class Topics {
  readonly #native: NativeSender;
  readonly #numbers = new Map<string, number>();
  /** The topic of the record before, where most records go. Nobody can ask for what it is before the first. */
  #last: string | symbol = Symbol("none");
  #lastNumber = 0;

  constructor(native: NativeSender) {
    this.#native = native;
  }

  number(topic: string): number {
    return topic === this.#last ? this.#lastNumber : this.#other(topic);
  }

  #other(topic: string): number {
    const known = this.#numbers.get(text(topic, "topic"));
    const number = known ?? run(() => this.#native.topic(topic));
    if (known === undefined) this.#numbers.set(topic, number);
    [this.#last, this.#lastNumber] = [topic, number];
    return number;
  }
}
