/** One of the two databases was restored from an older backup without the other. Nothing may be lost, or skipped. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { asService } from '../campaign/support/service.js';
import {
  foldersResult,
  type HandSite,
  handSite,
  MAIL,
  messagesResult,
  putMail,
  type Result,
} from '../e2e/hand-site.js';
import { inTurn } from '../support/in-turn.js';
import { engineOptions } from '../support/site.js';
import { INDEX } from './small-store.js';

let site: HandSite | undefined;
afterEach(() => {
  site?.remove();
  site = undefined;
});

/** anna's INBOX and Work after `-s`. */
function upgraded(): HandSite {
  const made = handSite();
  site = made;
  addUser(made, 'anna');
  expect(made.folders().status).toBe(0);
  return made;
}

function addUser({ store }: HandSite, uid: string): void {
  store.user(uid);
  putMail(store.folder(store.mailbox, uid, 'INBOX', `${INDEX(9, 3)}1 9 - 9 one\n`), 'one');
  putMail(store.folder(store.mailbox, uid, 'Work', `${INDEX(9, 3)}2 9 S 9 two\n`), 'two');
  store.finish();
}

const mailboxDatabase = ({ store }: HandSite): string => path.join(store.instance, 'store/mboxlist/mboxlist.mdb');
const mappingDatabase = ({ store }: HandSite): string => path.join(store.mailbox, '__upfolder.db');

/** A backup of one file; what is returned brings it back. */
function backUp(file: string): () => void {
  const content = fs.readFileSync(file);
  return () => fs.writeFileSync(file, content);
}

function messageFiles({ store }: HandSite): string[] {
  const top = path.join(store.instance, 'store/partition');
  return (fs.readdirSync(top, { recursive: true }) as string[]).filter((name) => name.endsWith('.msg')).sort();
}

const codesOf = (result: Result): string[] => messagesResult(result).errors.map(({ code }) => code);

describe.each(engineOptions())('the mailbox database alone, from before the migration, %s', (engine) => {
  it('is refused folder by folder: nothing in 4.x is swept, not what -r left as the only copy', async () => {
    const made = upgraded();
    const restore = backUp(mailboxDatabase(made));
    expect(made.messages(engine, '-r').status).toBe(0);
    await asService(made.store.instance, (service) => service.append('user/anna/Work', MAIL('new in 4.x')));
    const before = messageFiles(made);
    expect(before).toHaveLength(3);
    restore();
    for (const more of [[], ['--dry-run'], ['-r']]) {
      const again = made.messages(engine, ...more);
      expect(again.status, again.stdout + again.stderr).toBe(1);
      if (more[0] === '--dry-run') expect(again.stdout.match(/"DATABASES_DISAGREE"/g)).toHaveLength(2);
      else expect(codesOf(again)).toEqual(['DATABASES_DISAGREE', 'DATABASES_DISAGREE']);
      expect(messageFiles(made)).toEqual(before);
    }
    const folders = made.folders();
    expect(folders.status).toBe(1);
    expect(foldersResult(folders).errors.map(({ code }) => code)).toEqual(['DATABASES_DISAGREE', 'DATABASES_DISAGREE']);
    expect(made.run('upgrade', '--verify', '--json').stdout).toContain('the mapping has it as migrated');
  });
});

describe.each(engineOptions())('both databases, from before a folder was published with -r, %s', (engine) => {
  const test = inTurn(engine);
  /** anna's Work was begun and failed, with one message in 4.x; a backup of both databases is made of that. */
  function begun(): { made: HandSite; folder: string; restore: () => void } {
    const made = handSite();
    site = made;
    const { store } = made;
    store.user('anna');
    const folder = store.folder(store.mailbox, 'anna', 'Work', `${INDEX(9, 4)}1 9 - 9 one\n2 9 - 9 two\n`);
    for (const name of ['one', 'two']) putMail(folder, name);
    fs.chmodSync(path.join(folder, 'two'), 0o602);
    store.finish();
    expect(made.folders().status).toBe(0);
    expect(made.messages(engine).status).toBe(1);
    fs.chmodSync(path.join(folder, 'two'), 0o600);
    const restores = [backUp(mailboxDatabase(made)), backUp(mappingDatabase(made))];
    const restore = (): void => {
      for (const bringBack of restores) bringBack();
    };
    return { made, folder, restore };
  }

  test('is a folder that -r has emptied: its 4.x files stay', () => {
    const { made, restore } = begun();
    expect(made.messages(engine, '-r').status).toBe(0);
    const before = messageFiles(made);
    expect(before).toHaveLength(2);
    restore();
    const again = made.messages(engine);
    expect([again.status, codesOf(again)]).toEqual([1, ['FOLDER_EMPTIED']]);
    expect(made.messages(engine, '--dry-run').stdout).toContain('FOLDER_EMPTIED');
    expect(messageFiles(made)).toEqual(before);
  });

  test('is none where 3.x says that its messages were deleted', () => {
    const { made, folder } = begun();
    expect(messageFiles(made)).toHaveLength(1);
    for (const name of ['one', 'two']) fs.unlinkSync(path.join(folder, name));
    fs.writeFileSync(path.join(folder, '.mailbox'), INDEX(9, 4));
    expect(made.messages(engine).status).toBe(0);
    expect(messageFiles(made)).toEqual([]);
  });
});

describe('the mailbox database', () => {
  it('that is gone is no reason to run -s again, once folders are migrated', () => {
    const made = upgraded();
    expect(made.messages('-r').status).toBe(0);
    const before = messageFiles(made);
    fs.unlinkSync(mailboxDatabase(made));
    expect(foldersResult(made.folders()).errors.map(({ code }) => code)).toContain('DATABASES_DISAGREE');
    const messages = made.messages();
    expect([messages.status, codesOf(messages)]).toEqual([1, ['DATABASES_DISAGREE', 'DATABASES_DISAGREE']]);
    expect(messageFiles(made)).toEqual(before);
  });
});

describe('the mapping database alone, from before the migration', () => {
  it('is refused folder by folder: it has forgotten what failed, and what the originals were', () => {
    const made = upgraded();
    const restore = backUp(mappingDatabase(made));
    fs.chmodSync(path.join(made.store.mailbox, 'anna/Work/two'), 0o602);
    expect(made.messages('--accept-failures').status).toBe(1);
    const bringBack = backUp(mappingDatabase(made));
    restore();
    const both = ['DATABASES_DISAGREE', 'DATABASES_DISAGREE'];
    for (const more of [[], ['-r']]) {
      const again = made.messages(...more);
      expect([again.status, codesOf(again)], again.stderr).toEqual([1, both]);
    }
    const dry = made.messages('--dry-run');
    expect([dry.status, dry.stdout.match(/"DATABASES_DISAGREE"/g)]).toEqual([1, both.map((code) => `"${code}"`)]);
    const folders = made.folders();
    expect([folders.status, foldersResult(folders).errors.map(({ code }) => code)]).toEqual([1, both]);
    expect(made.run('upgrade', '--verify').status).toBe(1);
    bringBack();
    expect(codesOf(made.messages('-r'))).toEqual(['MSG_WRITABLE_BY_OTHERS']);
    expect(fs.readdirSync(path.join(made.store.mailbox, 'anna/INBOX'))).not.toContain('one');
  });
});

describe('the mapping database alone, from before the last -s', () => {
  it('is refused, since it would give ids of migrated folders again; with the newer one all goes on', () => {
    const made = upgraded();
    const restore = backUp(mappingDatabase(made));
    addUser(made, 'fred');
    expect(made.folders().status).toBe(0);
    expect(made.messages().status).toBe(0);
    const bringBack = backUp(mappingDatabase(made));
    restore();
    addUser(made, 'carl');
    for (const result of [made.folders(), made.folders('--dry-run'), made.messages(), made.messages('--dry-run')]) {
      expect([result.status, result.stderr]).toEqual([3, expect.stringContaining('MAPPING_OLD')]);
    }
    expect(made.run('upgrade', '--verify').status).toBe(1);
    expect(made.run('upgrade', '--status').status).toBe(0);
    bringBack();
    expect(made.folders().status).toBe(0);
    expect(messagesResult(made.messages())).toMatchObject({ folders: { done: 2, failed: 0 } });
  });
});
