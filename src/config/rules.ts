/** Rules for the values of single options, beyond what a configdb line can hold (docs/formats/configdb.md). */
import { MailhaulError } from '../errors.js';

/** Says whether a partition holds migrated mail: a folder with a root in it (attempted), or one that was published. */
export type PartitionInUse = (partition: string) => boolean | Promise<boolean>;

/** The partition whose path this option is; undefined for any other option. */
export function partitionOfOption(option: string): string | undefined {
  return /^store\.partition\.([^.]+)\.path$/i.exec(option)?.[1]?.toLowerCase();
}

/**
 * Throws for a change that the store could not survive: a partition path that is not absolute and clean
 * (CONF_PARTITION_PATH, exit 2), or that of a partition which holds migrated mail (CONF_PARTITION_IN_USE,
 * exit 3; 4x-store.md, "A partition's path cannot be changed once it holds migrated mail").
 * `current` is the present value, '' when there is none; the same value again is no change.
 */
export async function checkOptionChange(
  option: string,
  value: string,
  current: string,
  partitionInUse: PartitionInUse,
): Promise<void> {
  const partition = partitionOfOption(option);
  if (partition === undefined || value === current) return;
  if (value !== '' && !isCleanAbsolutePath(value)) {
    throw new MailhaulError('CONF_PARTITION_PATH', 'A partition path must be absolute, without “.” and “..”.', {
      where: `${option}|${value}`,
      exit: 2,
    });
  }
  if (await partitionInUse(partition)) {
    throw new MailhaulError(
      'CONF_PARTITION_IN_USE',
      `Partition “${partition}” holds migrated mail, so its path cannot be changed: that mail would not be found.`,
      { where: current === '' ? option : `${option}|${current}`, hint: 'Move mailboxes to another partition instead.' },
    );
  }
}

function isCleanAbsolutePath(path: string): boolean {
  return path.startsWith('/') && !path.split('/').some((part) => part === '.' || part === '..');
}
