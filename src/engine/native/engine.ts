/** The native engine: the C++ addon behind the interface that the portable engine has too. */
import { randomBytes } from 'node:crypto';
import type { NativeAddon } from '../../fs/addon.js';
import type { FolderEngine } from '../types.js';
import { outputOf } from './output.js';

/** `FolderEngine` over a loaded addon. The addon's errors carry `code`, `errno` and `syscall` like Node's own. */
export function nativeEngine(addon: NativeAddon): FolderEngine {
  /** Made when it is needed: a run with nothing to do need not load what makes it. */
  let made: Buffer | undefined;
  const key = (): Buffer => {
    made ??= randomBytes(16);
    return made;
  };
  let run: Int32Array | undefined;
  /** A sync of an earlier run may have failed. */
  const begin = (progress: Int32Array): void => {
    if (progress !== run) addon.forgetWritten();
    run = progress;
  };
  return {
    name: 'native',
    scan: (directoryFd, job = 0) => addon.scan(directoryFd, job),
    planPlain: (scan, indexFd, rules) => addon.planPlain(scan, indexFd, rules, key()),
    makeReady: (sourceFd, source, targetFd, target, rules, columns, wide, numbers) =>
      addon.makeReady(sourceFd, source, targetFd, target, rules, key(), columns, wide, numbers),
    jobs: {
      announce: () => addon.announceJob(),
      forget: (job) => addon.forgetJob(job),
      help(job, progress) {
        begin(progress);
        return addon.help(job);
      },
    },
    migrate(input) {
      begin(input.progress);
      const { messages, room } = input;
      return outputOf(messages.count, room, (columns, numbers) => addon.migrate(input, columns, numbers));
    },
    removeSources: (input) => addon.removeSources(input),
  };
}
