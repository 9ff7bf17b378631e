/** `--failed`: which folders it takes; killed at any of its commits and run again, it ends where an undisturbed one does. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { type HandSite, handSite, messagesResult, putMail } from '../e2e/hand-site.js';
import { INDEX } from './small-store.js';

const WORK = 'user/anna/Work';

let site: HandSite | undefined;
afterEach(() => {
  site?.remove();
  site = undefined;
});

/** anna's Work with two messages that failed, and are repaired since. */
function repaired(...options: readonly string[]): HandSite {
  const made = handSite();
  site = made;
  const { store } = made;
  store.user('anna');
  const lines = '1 11 - 9 one\n2 12 - 9 two\n3 13 - 9 three\n';
  const folder = store.folder(store.mailbox, 'anna', 'Work', `${INDEX(70, 9)}${lines}`);
  putMail(folder, 'one');
  for (const name of ['two', 'three']) fs.symlinkSync('/etc/passwd', path.join(folder, name));
  store.finish();
  expect(made.folders().status).toBe(0);
  expect(made.messages(...options).status).toBe(1);
  const { uid, gid } = fs.statSync(path.join(folder, 'one'));
  for (const name of ['two', 'three']) {
    fs.unlinkSync(path.join(folder, name));
    fs.chownSync(putMail(folder, name), uid, gid);
  }
  return made;
}

describe.each([['waiting'], ['published', '--accept-failures']])('a folder that is %s', (_, ...options) => {
  it.each([2, 3, 4])('killed at commit %i', (at) => {
    const made = repaired(...options);
    made.runWith({ MAILHAUL_FAULT: `kill:${at}:commit` }, 'upgrade', '-m', '--failed');
    expect(made.messages('--failed').status).toBe(0);
    expect(made.mailbox(WORK)).toMatchObject({ state: 'NON-TRANSITION', messages: 3 });
    expect(fs.readdirSync(made.mailbox(WORK).path ?? '').sort()).toEqual(['00', 'store.idx']);
    expect(made.run('upgrade', '--verify').status).toBe(0);
  });
});

describe('a folder whose first attempt did not come to its end', () => {
  /** anna's Work and Other, each with one message. */
  function twoFolders(): HandSite {
    const made = handSite();
    site = made;
    const { store } = made;
    store.user('anna');
    for (const name of ['Work', 'Other']) {
      putMail(store.folder(store.mailbox, 'anna', name, `${INDEX(70, 9)}1 11 - 9 one\n`), 'one');
    }
    store.finish();
    expect(made.folders().status).toBe(0);
    return made;
  }

  it('because the whole folder failed', () => {
    const made = twoFolders();
    const directory = made.mailbox(WORK).path ?? '';
    const blocked = path.join(directory, 'store.idx.new');
    fs.mkdirSync(blocked, { recursive: true });
    // The new index goes over it, by a temporary name.
    fs.writeFileSync(path.join(directory, 'store.idx'), '');
    spawnSync('chown', ['-R', '--reference', made.store.mailbox, `${made.store.instance}/store/partition/primary`]);
    spawnSync('chmod', ['-R', '0700', `${made.store.instance}/store/partition/primary`]);
    const failed = made.messages();
    expect([failed.status, messagesResult(failed).errors.map(({ code }) => code)]).toEqual([1, ['FOLDER_TARGET']]);
    expect(messagesResult(made.messages('--failed')).errors.map(({ code }) => code)).toEqual(['FOLDER_TARGET']);
    fs.rmdirSync(blocked);
    const repaired = made.messages('--failed');
    expect([repaired.status, messagesResult(repaired).folders]).toEqual([0, { done: 1, skipped: 0, failed: 0 }]);
    expect(made.mailbox(WORK)).toMatchObject({ state: 'NON-TRANSITION', messages: 1 });
  });

  it('because it was killed', () => {
    const made = twoFolders();
    // At its publication: the records of all folders were made by then, in two batches.
    made.runWith({ MAILHAUL_FAULT: 'kill:3:commit' }, 'upgrade', '-m', '-t', '1');
    expect(made.mailbox(WORK).state).toBe('TRANSITION');
    expect(made.messages('--failed').status).toBe(0);
    expect(made.mailbox(WORK)).toMatchObject({ state: 'NON-TRANSITION', messages: 1 });
  });
});
