/** Plans of folders that a test makes, and what they say. */
import { type DirectoryScan, MESSAGE_ERRORS } from '../../src/engine/types.js';
import { readIndex } from '../../src/source/nsms3/mailbox.js';
import { planFolder } from '../../src/upgrade/plan.js';
import type { FolderPlan, MigrationRecord } from '../../src/upgrade/types.js';
import { namesOf, scanFolder, type TestFolder } from '../source/nsms3/folder.js';

export const OWNER = process.getuid!();

export interface PlanOptions {
  previous?: MigrationRecord;
  chosen?: number;
  owner?: number;
  takeForeign?: boolean;
  final?: boolean;
  published?: boolean;
  now?: number;
  scan?: DirectoryScan;
}

export function planOf(folder: TestFolder, options: PlanOptions = {}): FolderPlan {
  return planFolder({
    index: readIndex(folder.dir),
    scan: options.scan ?? scanFolder(folder.path),
    previous: options.previous,
    chosenUidvalidity: options.chosen ?? 500,
    uidvalidityIsFinal: options.final,
    published: options.published,
    ownerUid: options.owner ?? OWNER,
    takeForeign: options.takeForeign ?? false,
    now: options.now ?? 1_000_000_000,
  });
}

/** `name=uid`, ascending uid; a refused message has its code behind. */
export function messages({ messages: table }: FolderPlan): string[] {
  return namesOf(table).map((name, i) => {
    const refused = MESSAGE_ERRORS[table.refused[i]!];
    return `${name}=${table.uids[i]}${refused === '' ? '' : ` ${refused}`}`;
  });
}

export const codes = ({ warnings }: FolderPlan) => [...new Set(warnings.map((w) => w.code))];
export const datesOf = ({ messages: table }: FolderPlan) => [...table.internalDates];
