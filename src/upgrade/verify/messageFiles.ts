/** The message files of one mailbox in columns: 12 bytes and the uid a message, not an object. */
export class MessageFiles {
  #count = 0;
  /** All files of a mailbox lie on one device, or on `#others`. */
  #device: bigint | undefined;
  readonly #others = new Map<number, bigint>();
  readonly #uids: Uint32Array;
  readonly #inodes: BigUint64Array;
  readonly #links: Uint32Array;

  /** @param capacity messages of the index */
  constructor(capacity: number) {
    this.#uids = new Uint32Array(capacity);
    this.#inodes = new BigUint64Array(capacity);
    this.#links = new Uint32Array(capacity);
  }

  /** In ascending uid. */
  add(uid: number, inode: bigint, links: number, device: bigint): void {
    const i = this.#count++;
    this.#uids[i] = uid;
    this.#inodes[i] = inode;
    this.#links[i] = links;
    this.#device ??= device;
    if (device !== this.#device) this.#others.set(i, device);
  }

  get count(): number {
    return this.#count;
  }

  /** The place of a message's file; -1 when it has none. */
  find(uid: number): number {
    let low = 0;
    let high = this.#count - 1;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      const found = this.#uids[middle] ?? 0;
      if (found === uid) return middle;
      if (found < uid) low = middle + 1;
      else high = middle - 1;
    }
    return -1;
  }

  uid(i: number): number {
    return this.#uids[i] ?? 0;
  }

  inode(i: number): bigint {
    return this.#inodes[i] ?? 0n;
  }

  links(i: number): number {
    return this.#links[i] ?? 0;
  }

  device(i: number): bigint {
    return this.#others.get(i) ?? this.#device ?? 0n;
  }

  /** Inodes that more than one message of the mailbox has; usually none. */
  repeatedInodes(): Set<bigint> {
    const repeated = new Set<bigint>();
    const sorted = this.#inodes.slice(0, this.#count).sort();
    for (let i = 1; i < sorted.length; i++) if (sorted[i] === sorted[i - 1]) repeated.add(sorted[i] ?? 0n);
    return repeated;
  }
}
