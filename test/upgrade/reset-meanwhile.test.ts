/** What changes in the stores while a reset is under way: between its survey, the question and the removal. */
import { type ChildProcess, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { createRequire, syncBuiltinESMExports } from 'node:module';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { tryFlock } from '../../src/fs/flock.js';
import { armFaults } from '../../src/fs/seam.js';
import type { ResetReport } from '../../src/upgrade/reset.js';
import { migrate, type SmallStore, simpleMessage } from '../support/migrated-store.js';
import {
  filesBelow,
  haltedBy,
  joeInbox,
  joeStore,
  namedAsStopped,
  primaryOf,
  refusalsOf,
  reset,
  stoppedHolder,
  until,
} from './reset-support.js';
import { ACCOUNT } from './small-store.js';

let store: SmallStore;
const CONTENT = simpleMessage('first');

beforeEach(() => {
  store = joeStore(CONTENT);
});

afterEach(() => {
  armFaults(undefined);
  store.remove();
});

const original = (): string => `${store.mailbox}/joe/INBOX/msg1`;
const migrated = (): string => `${joeInbox(store)}/00/1.msg`;

/** A reset; `action` happens when the survey is done and somebody is asked. */
const resetWhile = (action: () => void): Promise<ResetReport> =>
  reset(store, {
    confirm: () => {
      action();
      return 'yes';
    },
  });

/** Another file under the 3.x name. */
function replaceOriginal(content: string): void {
  fs.rmSync(original());
  fs.writeFileSync(original(), content);
  fs.chownSync(original(), ACCOUNT.uid, ACCOUNT.gid);
}

describe('the 3.x name of a message', () => {
  beforeEach(() => void migrate(store));

  it.each([
    ['another message', simpleMessage('other')],
    ['a part of it', CONTENT.slice(0, -5)],
    ['an empty file', ''],
  ])('that holds %s then: the 4.x file stays, and the next reset refuses', async (_, content) => {
    expect(await resetWhile(() => replaceOriginal(content))).toMatchObject(haltedBy('RESET_LEFT'));
    expect(fs.readFileSync(migrated(), 'latin1')).toBe(CONTENT);
    expect(refusalsOf(await reset(store))).toEqual(['RESET_SOURCE_CHANGED']);
    fs.rmSync(original());
    expect(await reset(store)).toMatchObject({ outcome: 'done', restore: { messages: 1 } });
    expect(fs.readFileSync(original(), 'latin1')).toBe(CONTENT);
  });

  it('that holds the same message in another file: the reset goes on', async () => {
    expect(await resetWhile(() => replaceOriginal(CONTENT))).toMatchObject({ outcome: 'done' });
    expect(fs.readFileSync(original(), 'latin1')).toBe(CONTENT);
  });
});

describe('the only copy of a message, in 4.x', () => {
  beforeEach(() => void migrate(store, { remove: true }));

  it('that is taken away: RESET_FOLDER_CHANGED before anything is removed, and the next reset says what it lacks', async () => {
    const away = `${store.root}/away`;
    const halted = await resetWhile(() => fs.renameSync(migrated(), away));
    expect(halted).toMatchObject(haltedBy('RESET_FOLDER_CHANGED'));
    expect(halted.done).toEqual({ restored: 0, removed: 0 });
    expect(refusalsOf(await reset(store))).toEqual(['RESET_LOST']);
    fs.renameSync(away, migrated());
    expect(await reset(store)).toMatchObject({ outcome: 'done', resumed: true });
    expect(fs.readFileSync(original(), 'latin1')).toBe(CONTENT);
  });

  it('that cannot be linked because of an error of the disk: RESET_HALTED says so, and the next reset goes on', async () => {
    let message = '';
    for (let at = 1; at < 40 && !message.includes('injected, link'); at++) {
      const report = await resetWhile(() => void armFaults({ mode: 'fail', at, errno: 5, report: '' }));
      armFaults(undefined);
      expect(report).toMatchObject({ outcome: 'halted', exitCode: 4 });
      if (report.halted?.code === 'RESET_HALTED') message = report.halted.message;
    }
    expect(message).toMatch(/injected, link.*Nothing was lost.*Run `upgrade --reset` again/s);
    expect(fs.readFileSync(migrated(), 'latin1')).toBe(CONTENT);
    expect(await reset(store)).toMatchObject({ outcome: 'done', resumed: true });
    expect(fs.readFileSync(original(), 'latin1')).toBe(CONTENT);
  });

  describe('whose 3.x name is given right before its link', () => {
    const builtin = createRequire(import.meta.url)('node:fs') as { linkSync: typeof fs.linkSync };
    const { linkSync } = builtin;
    afterEach(() => {
      builtin.linkSync = linkSync;
      syncBuiltinESMExports();
    });

    /** `give` happens before the first link to the 3.x name. */
    function beforeLink(give: () => void): void {
      builtin.linkSync = (from, to) => {
        if (String(to).endsWith('/msg1') && !fs.existsSync(original())) give();
        linkSync(from, to);
      };
      syncBuiltinESMExports();
    }

    it.each([
      ['to the same file', () => linkSync(migrated(), original())],
      ['to the same content', () => fs.writeFileSync(original(), CONTENT)],
    ])('%s: it is back', async (_, give) => {
      beforeLink(give);
      expect(await reset(store)).toMatchObject({ outcome: 'done' });
      expect(fs.readFileSync(original(), 'latin1')).toBe(CONTENT);
    });

    it('while something else is in the place of the 4.x file: that gets no 3.x name', async () => {
      const away = `${migrated()}.away`;
      beforeLink(() => {
        fs.renameSync(migrated(), away);
        fs.symlinkSync('/etc/passwd', migrated());
      });
      expect(await reset(store)).toMatchObject(haltedBy('RESET_FOLDER_CHANGED'));
      expect(fs.lstatSync(original(), { throwIfNoEntry: false })).toBeUndefined();
      fs.renameSync(away, migrated());
      builtin.linkSync = linkSync;
      syncBuiltinESMExports();
      expect(await reset(store)).toMatchObject({ outcome: 'done' });
      expect(fs.readFileSync(original(), 'latin1')).toBe(CONTENT);
    });

    it('to another message: nothing is replaced, nothing taken', async () => {
      beforeLink(() => fs.writeFileSync(original(), simpleMessage('other')));
      expect(await reset(store)).toMatchObject(haltedBy('RESET_HALTED'));
      expect(fs.readFileSync(original(), 'latin1')).toBe(simpleMessage('other'));
      expect(fs.readFileSync(migrated(), 'latin1')).toBe(CONTENT);
    });
  });
});

it('a stopped process takes the folder after the survey: it is named, and the next reset goes on', async () => {
  migrate(store, { remove: true });
  let holder: ChildProcess | undefined;
  try {
    const report = await reset(store, {
      async confirm() {
        holder = await stoppedHolder(`${store.mailbox}/joe/INBOX/.lock`);
        return 'yes' as const;
      },
    });
    expect(report).toMatchObject(haltedBy('RESET_FOLDER_BUSY'));
    if (holder !== undefined) expect(report.halted?.message).toContain(`locked by ${namedAsStopped(holder)}.`);
  } finally {
    holder?.kill('SIGKILL');
  }
  await until(() => tryLock(`${store.mailbox}/joe/INBOX/.lock`));
  expect(await reset(store)).toMatchObject({ outcome: 'done', resumed: true });
});

/** Whether nobody holds the lock of a file. */
function tryLock(file: string): boolean {
  const fd = fs.openSync(file, 'r');
  try {
    return tryFlock(fd, 'exclusive');
  } finally {
    fs.closeSync(fd);
  }
}

describe('the name of a partition', () => {
  const away = (): string => `${primaryOf(store)}.away`;
  beforeEach(() => void migrate(store));

  it('that leads elsewhere since the start: what was opened then is emptied, nothing else', async () => {
    const outside = `${store.root}/outside`;
    const asked = reset(store, {
      onStart() {
        fs.cpSync(primaryOf(store), outside, { recursive: true });
        spawnSync('chown', ['-R', `${ACCOUNT.uid}:${ACCOUNT.gid}`, outside]);
        fs.renameSync(primaryOf(store), away());
        fs.symlinkSync(outside, primaryOf(store));
      },
    });
    expect(await asked).toMatchObject({ outcome: 'done' });
    expect(Object.keys(filesBelow(outside))).toHaveLength(2);
    expect(fs.readdirSync(away())).toEqual([]);
  });

  it('that led nowhere when the reset began, and does now: refused, and nothing is forgotten', async () => {
    fs.renameSync(primaryOf(store), away());
    const asked = reset(store, { onStart: () => fs.renameSync(away(), primaryOf(store)) });
    expect(refusalsOf(await asked)).toContain('RESET_PARTITION');
    expect(await reset(store)).toMatchObject({ outcome: 'done', done: { removed: 1 } });
  });
});
