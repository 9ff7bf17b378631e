/** The tables of messages have a row a message, ascending uid. */

/** The row with this uid, -1 for none. */
export function rowOfUid(uids: Uint32Array, uid: number): number {
  let [low, high] = [0, uids.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((uids[middle] ?? 0) < uid) low = middle + 1;
    else high = middle;
  }
  return uids[low] === uid ? low : -1;
}
