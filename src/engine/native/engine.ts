/** The native engine: the C++ addon behind the interface that the portable engine has too. */
import type { NativeAddon } from '../../fs/addon.js';
import type { FolderEngine } from '../types.js';

/** `FolderEngine` over a loaded addon. The addon's errors carry `code`, `errno` and `syscall` like Node's own. */
export function nativeEngine(addon: NativeAddon): FolderEngine {
  let run: Int32Array | undefined;
  return {
    name: 'native',
    scan: (directoryFd) => addon.scan(directoryFd),
    migrate(input) {
      // A sync of an earlier run may have failed.
      if (input.progress !== run) addon.forgetWritten();
      run = input.progress;
      return addon.migrate(input);
    },
    removeSources: (input) => addon.removeSources(input),
  };
}
