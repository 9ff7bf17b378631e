/** What `--folder` names: 3.x names are bytes, and a command line gives UTF-8 only. */
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EXIT } from '../../src/errors.js';
import { selectFolders } from '../../src/upgrade/selection.js';
import type { MappingDatabase, MappingFolder, MappingUser } from '../../src/upgrade/types.js';
import { userListHeader } from '../../src/upgrade/userlists.js';

const USER: MappingUser = { uid: 'anna', partition: 'primary', storePath: '/mail', quota: null };
/** Two names that differ in bytes that are not UTF-8, and one that looks like a 4.x name. */
const FOLDERS = [
  ['caf\ufffd', 'user/anna/caf&AOk-'],
  ['caf\ufffd', 'user/anna/caf&AOg-'],
  ['Sent', 'user/anna/Sent'],
  ['user/anna/Sent', 'user/anna/user/anna/Sent'],
].map(([legacyName, mailbox], id) => ({ id, uid: 'anna', legacyName, mailbox }) as MappingFolder);
const mapping = {
  user: (uid: string) => (uid === 'anna' ? USER : undefined),
  foldersOf: () => FOLDERS,
} as unknown as MappingDatabase;

let directory: string;
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(tmpdir(), 'mailhaul-selection-'));
  fs.writeFileSync(path.join(directory, 'list'), `${userListHeader('primary', '/mail')}anna\n`);
});
afterEach(() => fs.rmSync(directory, { recursive: true }));

function selected(folder: string): { ids: number[]; codes: string[] } {
  const { problems, folders } = selectFolders(mapping, directory, { userLists: [`${directory}/list`], folder });
  return { ids: [...folders()].map(({ id }) => id), codes: problems.map(({ code }) => code) };
}

describe('--folder', () => {
  it('names a folder by its 3.x name', () => {
    expect(selected('Sent')).toEqual({ ids: [2], codes: [] });
    expect(selected('user/anna/Sent')).toEqual({ ids: [3], codes: [] });
  });

  it('names a folder by its 4.x name where no 3.x folder is called so', () => {
    expect(selected('user/anna/caf&AOg-')).toEqual({ ids: [1], codes: [] });
    expect(selected('user/anna/user/anna/Sent')).toEqual({ ids: [3], codes: [] });
  });

  it('takes nothing for a name that is neither', () => {
    expect(selected('No/Such')).toEqual({ ids: [], codes: ['FOLDER_UNKNOWN'] });
  });

  it('is wrong usage with bytes that are not UTF-8: several folders may look like it', () => {
    const refusal = expect.objectContaining({
      code: 'FOLDER_NAME',
      exit: EXIT.usage,
      hint: expect.stringContaining('4.x name'),
    });
    expect(() => selected('caf\ufffd')).toThrow(refusal);
  });
});
