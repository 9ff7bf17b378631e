/**
 * A process of its own that runs `-s` and `-m` by library calls, because a run as root becomes the server account
 * for good: `migrate-small.ts <options as JSON>`. Prints the two reports as JSON.
 */
import { upgradeFolders } from '../../src/upgrade/folders.js';
import { upgradeMessages } from '../../src/upgrade/upgradeMessages.js';

interface Input {
  readonly instance: string;
  readonly from: string;
  readonly directory: string;
  readonly remove?: boolean;
  readonly acceptFailures?: boolean;
  readonly engine?: 'native' | 'portable' | 'auto';
  /** Only `-s`. */
  readonly foldersOnly?: boolean;
}

const input = JSON.parse(process.argv[2] ?? '{}') as Input;
const folders = await upgradeFolders(input);
const messages =
  input.foldersOnly === true
    ? null
    : await upgradeMessages({
        instance: input.instance,
        threads: 1,
        queue: 50,
        remove: input.remove === true,
        engine: input.engine ?? 'portable',
        acceptFailures: input.acceptFailures === true,
        takeForeign: false,
        inboxOnly: false,
        failedOnly: false,
      });
process.stdout.write(JSON.stringify({ folders, messages }));
