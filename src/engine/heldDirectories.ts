/**
 * How many hash directories an engine keeps open of a mailbox. Uids that are far apart, or the threads of a run together,
 * must not use up the files that a process may have open.
 */

/** Those of a slice of messages (41 when its uids are dense), and twice the gaps. */
const MOST = 96;
const LEAST = 8;
/** A thread has this share of the files for them. */
const SHARE_OF_FILES = 64;

/**
 * The same as HashDirectories::mostOpen of native/src/engine/target.cc; both tests go by native/test/held_directories.inc.
 *
 * @param limit files that may be open
 */
export function heldDirectories(limit: number): number {
  return Math.min(MOST, Math.max(LEAST, Math.floor(limit / SHARE_OF_FILES)));
}
