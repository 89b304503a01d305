// A binary heap that can also remove a member from its middle: a waiting call may leave at any moment, and every change
// costs O(log n) comparisons. Code that changes a member's order calls `update`.

export class IndexedHeap<T extends object> {
  readonly #before: (one: T, other: T) => boolean;
  readonly #members: T[] = [];
  readonly #places = new Map<T, number>();

  /** @param before whether one comes out earlier than the other; must be a strict order. */
  constructor(before: (one: T, other: T) => boolean) {
    this.#before = before;
  }

  get size(): number {
    return this.#members.length;
  }

  has(member: T): boolean {
    return this.#places.has(member);
  }

  /** The first member, without removing it. */
  peek(): T | undefined {
    return this.#members[0];
  }

  push(member: T): void {
    this.#put(member, this.#members.length);
    this.#rise(member);
  }

  remove(member: T): boolean {
    const place = this.#places.get(member);
    if (place === undefined) return false;
    this.#places.delete(member);
    const last = this.#members.pop();
    if (last !== undefined && last !== member) {
      this.#put(last, place);
      this.update(last);
    }
    return true;
  }

  /** Moves a member to its place after its order has changed. */
  update(member: T): void {
    this.#rise(member);
    this.#sink(member);
  }

  clear(): void {
    this.#members.length = 0;
    this.#places.clear();
  }

  #rise(member: T): void {
    for (let place = this.#places.get(member) ?? 0; place > 0;) {
      const above = (place - 1) >> 1;
      const parent = this.#members[above];
      if (parent === undefined || !this.#before(member, parent)) return;
      this.#put(parent, place);
      this.#put(member, above);
      place = above;
    }
  }

  #sink(member: T): void {
    for (let place = this.#places.get(member) ?? 0; ;) {
      let below = 2 * place + 1;
      let child = this.#members[below];
      if (child === undefined) return;
      const right = this.#members[below + 1];
      if (right !== undefined && this.#before(right, child)) {
        child = right;
        below += 1;
      }
      if (!this.#before(child, member)) return;
      this.#put(child, place);
      this.#put(member, below);
      place = below;
    }
  }

  #put(member: T, place: number): void {
    this.#members[place] = member;
    this.#places.set(member, place);
  }
}
