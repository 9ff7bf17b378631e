/**
 * Whole files replaced at once: temporary name, write, fsync, rename, fsync of the directory.
 * A reader sees the old content or the new, never a part; after the call the new one is durable.
 */
import * as fs from 'node:fs';
import { createOver, type Dir, type Ownership, rename, sync, unlink, withPath, writeAll } from './dir.js';

/** Replaces or creates `name` in `dir`. A temporary file of a killed earlier run is replaced. */
export function replaceFile(dir: Dir, name: string, data: Uint8Array | string, owner?: Ownership, mode = 0o600): void {
  const temporary = `.${name}.new`;
  const bytes = typeof data === 'string' ? Buffer.from(data) : data;
  const fd = createOver(dir, temporary, owner, mode);
  try {
    writeAll(fd, bytes);
    sync(fd);
  } catch (error) {
    fs.closeSync(fd);
    try {
      unlink(dir, temporary);
    } catch {
      // The next run replaces it; what is told is the first failure.
    }
    throw withPath(error, dir, name);
  }
  fs.closeSync(fd);
  rename(dir, temporary, dir, name);
  sync(dir.fd);
}
