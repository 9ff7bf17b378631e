/**
 * A service makes a mailbox under the name of a folder that `-s` has written into the mapping database, and not yet into
 * the mailbox database: `-s` ends with FOLDER_NAME_TAKEN, or is killed in between. A folder of which 3.x has nothing
 * waits for nothing then, and the mailbox stays the service's.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createMailbox } from '../../src/store/mailbox/names.js';
import { asService } from '../campaign/support/service.js';
import { foldersResult, type HandSite, handSite, MAIL, messagesResult, putMail } from '../e2e/hand-site.js';
import { databases, INDEX } from './small-store.js';

let made: HandSite;

beforeEach(() => {
  made = handSite();
  const { store } = made;
  store.user('anna');
  putMail(store.folder(store.mailbox, 'anna', 'INBOX', `${INDEX(9, 3)}1 9 - 9 one\n`), 'one');
  putMail(store.folder(store.mailbox, 'anna', 'Work', `${INDEX(9, 3)}2 9 - 9 two\n`), 'two');
  store.user('late');
  store.finish();
  expect(made.folders().status).toBe(0);
});

afterEach(() => made.remove());

/** What `-s` leaves when it is killed between its databases. */
const loseEntry = (name: string): Promise<void> =>
  databases(made.store, (_, mailboxes) => mailboxes.update((writes) => writes.remove(name)));

/** A service makes the mailbox and delivers into it; what it is like then. */
async function makeInstead(name: string): Promise<unknown> {
  await loseEntry(name);
  const root = path.join(made.store.instance, 'store/partition/primary');
  const owner = name.split('/')[1]!;
  await asService(made.store.instance, async (service) => {
    await createMailbox(service.store, name, { owner, partition: 'primary', root });
    await service.append(name, MAIL('new in 4.x'));
  });
  return entry(name);
}

const entry = (name: string): Promise<unknown> => databases(made.store, (_, mailboxes) => mailboxes.get(name));

const problems = (result: ReturnType<HandSite['folders']>): string[] => {
  const { errors, warnings } = foldersResult(result);
  return [...errors, ...warnings].map(({ code, user, folder }) => `${user} ${folder} ${code}`);
};

/** Every command comes to its end with 0. */
function expectSettled(): void {
  expect([made.folders().status, made.messages().status]).toEqual([0, 0]);
  const verified = made.run('upgrade', '--verify');
  expect(verified.status, verified.stdout).toBe(0);
}

describe('the INBOX of a user who has none in 3.x', () => {
  it('is the one that the service has made', async () => {
    const before = await makeInstead('user/late/INBOX');
    expectSettled();
    expect(await entry('user/late/INBOX')).toEqual(before);
    expect(made.dump('user/late/INBOX')).toHaveLength(1);
  });

  it('is that for subscriptions too', async () => {
    made.store.folder(made.store.mailbox, 'late', 'Other');
    fs.writeFileSync(path.join(made.store.mailbox, 'late/.subscriptions'), 'INBOX\n');
    made.store.finish();
    await makeInstead('user/late/INBOX');
    expectSettled();
    await databases(made.store, (_, mailboxes) => expect(mailboxes.subscriptions('late')).toEqual(['user/late/INBOX']));
  });

  it('is missed where nobody has made one: that -s makes', async () => {
    await loseEntry('user/late/INBOX');
    const result = made.messages();
    expect([result.status, messagesResult(result).errors.map(({ code }) => code)]).toEqual([1, ['MAILBOX_MISSING']]);
    expect(made.run('upgrade', '--verify').stdout).toContain('VERIFY_FOLDER_MISSING');
    expectSettled();
  });

  it('comes in 3.x afterwards: --verify says that -s has not seen it', async () => {
    await makeInstead('user/late/INBOX');
    expectSettled();
    putMail(made.store.folder(made.store.mailbox, 'late', 'INBOX', `${INDEX(8, 2)}1 9 - 9 one\n`), 'one');
    made.store.finish();
    expect(made.run('upgrade', '--verify').stdout).toContain('VERIFY_FOLDER_UNKNOWN');
    expect([made.folders().status, made.messages().status]).toEqual([0, 0]);
    expect(made.dump().filter(({ mailbox }) => mailbox.startsWith('user/late/INBOX~'))).toHaveLength(1);
    expect(made.run('upgrade', '--verify').status).toBe(0);
  });
});

describe('a folder that is gone from 3.x since', () => {
  let away: string;
  let before: unknown;
  beforeEach(async () => {
    before = await makeInstead('user/anna/Work');
    away = path.join(made.store.root, 'away');
    fs.renameSync(path.join(made.store.mailbox, 'anna/Work'), away);
  });

  it('is said once and waits for nothing; the mailbox stays as it is', async () => {
    expect(problems(made.folders())).toEqual(['anna Work FOLDER_VANISHED', 'late  USER_NO_MAILBOX']);
    expect(problems(made.folders())).toEqual(['late  USER_NO_MAILBOX']);
    expectSettled();
    expect(await entry('user/anna/Work')).toEqual(before);
  });

  it('gets a name of its own when it is back', () => {
    expectSettled();
    fs.renameSync(away, path.join(made.store.mailbox, 'anna/Work'));
    expect(problems(made.folders())).toContain('anna Work FOLDER_RENAMED');
    expectSettled();
    expect(made.dump().filter(({ mailbox }) => mailbox.startsWith('user/anna/Work~'))).toHaveLength(1);
  });
});
