/**
 * The portable engine: FolderEngine in TypeScript, for machines without the addon. Same rules, same results
 * and the same store.idx, byte for byte, as the native one; slower.
 *
 * Needs Linux (`/proc/self/fd`): it is handed descriptors, and Node can work beneath a held directory only
 * through that. Before the first call: `await loadDigest()`.
 */
import { existsSync } from 'node:fs';
import { MailhaulError } from '../../errors.js';
import { crlfForm, parseMessage } from '../message/parse.js';
import type { FolderEngine } from '../types.js';
import { heldDir, type MessageParser, migrate } from './migrate.js';
import { removeSources } from './remove.js';
import { scan } from './scan.js';
import { forgetOtherRuns } from './single.js';
import { ReadBuffer } from './source.js';

/** One engine a thread: it keeps a read buffer of up to 64 MiB. Throws ENGINE_NEEDS_PROC without `/proc`. */
export function portableEngine(parser: MessageParser = { parseMessage, crlfForm }): FolderEngine {
  if (!existsSync('/proc/self/fd')) {
    throw new MailhaulError('ENGINE_NEEDS_PROC', 'The portable engine needs /proc/self/fd, which is not there.', {
      hint: 'Run on Linux with /proc mounted, or build the native engine: `npm run build:native`.',
    });
  }
  const buffer = new ReadBuffer();
  return {
    name: 'portable',
    scan: (directoryFd) => scan(heldDir(directoryFd)),
    migrate(input) {
      forgetOtherRuns(input.progress);
      return migrate(input, parser, buffer);
    },
    removeSources: (input) => removeSources(heldDir(input.sourceFd), input),
  };
}
