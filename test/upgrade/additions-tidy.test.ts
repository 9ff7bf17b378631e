/** `.retry` of one mailbox that cannot be taken away is that folder's problem, not the run's. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { type HandSite, handSite, messagesResult, putMail, type Result } from '../e2e/hand-site.js';
import { engineOptions } from '../support/site.js';
import { ACCOUNT, INDEX } from './small-store.js';

let site: HandSite | undefined;
afterEach(() => {
  site?.remove();
  site = undefined;
});

/** anna and bert each have a published INBOX, to which a second message can be added by now. */
function retryable(engine: string): HandSite {
  const made = handSite();
  site = made;
  const { store } = made;
  const inboxes = ['anna', 'bert'].map((uid) => {
    store.user(uid);
    const inbox = store.folder(store.mailbox, uid, 'INBOX', `${INDEX(70, 9)}1 11 S 9 one\n2 12 - 9 two\n`);
    for (const name of ['one', 'two']) putMail(inbox, name);
    fs.chmodSync(path.join(inbox, 'two'), 0o602);
    return inbox;
  });
  store.finish();
  expect(made.folders().status).toBe(0);
  expect(made.messages(engine, '--accept-failures').status).toBe(1);
  for (const inbox of inboxes) fs.chmodSync(path.join(inbox, 'two'), 0o600);
  return made;
}

const uidsOf = (made: HandSite, user: string): number[] => made.dump(`user/${user}/INBOX`).map(({ uid }) => uid);

const told = (result: Result): unknown => messagesResult(result).errors.map(({ user, code }) => `${user} ${code}`);

describe.each(engineOptions())('a directory of somebody else in `.retry`, %s', (engine) => {
  it('is told, and the other folders of the group are done; a later run goes on when it is away', () => {
    const made = retryable(engine);
    const retry = path.join(made.mailbox('user/anna/INBOX').path ?? '', '.retry');
    const stray = path.join(retry, 'stray');
    fs.mkdirSync(stray, { recursive: true, mode: 0o700 });
    for (const name of [retry, stray]) fs.chownSync(name, ACCOUNT.uid, ACCOUNT.gid);
    const result = made.messages(engine);
    expect([result.status, told(result)], result.stdout).toEqual([1, ['anna RETRY_NOT_REMOVED']]);
    expect(messagesResult(result)).toMatchObject({ halted: null, folders: { done: 2 }, messages: { done: 2 } });
    expect(fs.existsSync(stray)).toBe(true);
    expect(told(made.messages(engine))).toEqual(['anna RETRY_NOT_REMOVED']);
    fs.rmdirSync(stray);
    expect(made.messages(engine).status).toBe(0);
    expect(fs.existsSync(retry)).toBe(false);
    for (const user of ['anna', 'bert']) expect(uidsOf(made, user)).toEqual([1, 2]);
  });
});
