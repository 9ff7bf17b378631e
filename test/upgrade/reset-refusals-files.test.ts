/** What `--reset` refuses, each by name: files and directories of 4.x, and the 3.x side. */
import * as fs from 'node:fs';
import { describe, expect, it } from 'vitest';
import { tryFlock } from '../../src/fs/flock.js';
import { simpleMessage } from '../support/migrated-store.js';
import { annFile, ask, mailboxOf, owned, refused, refusedWith, site } from './reset-refusals-support.js';
import { namedAsStopped, primaryOf, refusalsOf, stoppedHolder } from './reset-support.js';

it('a mailbox directory in whose place a link stands is not followed', async () => {
  const directory = mailboxOf('joe', 'Box');
  const away = `${site().root}/away`;
  const report = await refused(
    () => {
      fs.renameSync(directory, away);
      fs.symlinkSync(away, directory);
    },
    () => {
      fs.unlinkSync(directory);
      fs.renameSync(away, directory);
    },
  );
  expect(refusalsOf(report)).toEqual(['RESET_UNKNOWN_FILE', 'RESET_UNREADABLE']);
});

describe('message files', () => {
  it('that were changed, when they are the only copy', async () => {
    const report = await refusedWith(annFile(2), 'Subject: bare\r\n\r\nXX\r\n');
    expect(refusalsOf(report)).toEqual(['RESET_CONTENT']);
    expect(report.refusals[0]).toMatchObject({ user: 'ann', mailbox: 'user/ann/INBOX', uid: 2, where: annFile(2) });
  });

  it('that were changed, when 3.x has the original', async () => {
    const report = await refusedWith(`${mailboxOf('joe', 'INBOX')}/00/2.msg`, 'Subject: bare\r\n\r\nXX\r\n');
    expect(refusalsOf(report)).toEqual(['RESET_CONTENT']);
  });

  it('that are in neither store', async () => {
    const away = `${site().root}/away`;
    const report = await refused(
      () => fs.renameSync(annFile(1), away),
      () => fs.renameSync(away, annFile(1)),
    );
    expect(refusalsOf(report)).toEqual(['RESET_LOST']);
  });

  it('that are symbolic links, which are not followed', async () => {
    const away = `${site().root}/away`;
    const report = await refused(
      () => {
        fs.renameSync(annFile(1), away);
        fs.symlinkSync(away, annFile(1));
      },
      () => {
        fs.rmSync(annFile(1));
        fs.renameSync(away, annFile(1));
      },
    );
    expect(refusalsOf(report)).toEqual(['RESET_UNKNOWN_FILE']);
  });

  it.each([
    ['in a mailbox directory', () => `${mailboxOf('joe', 'INBOX')}/notes`],
    ['in a hash directory', () => `${mailboxOf('joe', 'INBOX')}/00/77.msg`],
    ['in the partition', () => `${primaryOf(site())}/data`],
    ['among the hash levels', () => `${primaryOf(site())}/=user/zz`],
    ['in store/user', () => `${site().instance}/store/user/prefs`],
    ['in store/mboxlist', () => `${site().instance}/store/mboxlist/other.db`],
  ])('that nobody knows, %s', async (_, place) => {
    const file = place();
    const report = await refused(
      () => fs.writeFileSync(file, 'mine'),
      () => fs.rmSync(file),
    );
    expect(report.refusals).toMatchObject([{ code: 'RESET_UNKNOWN_FILE', where: file }]);
  });

  it('of a mailbox whose index is damaged or gone', async () => {
    const index = `${mailboxOf('ann', 'INBOX')}/store.idx`;
    expect(refusalsOf(await refusedWith(index, 'junk'))).toEqual(['RESET_INDEX', 'RESET_UNVERIFIED']);
    const away = `${site().root}/away`;
    const gone = await refused(
      () => fs.renameSync(index, away),
      () => fs.renameSync(away, index),
    );
    expect(refusalsOf(gone)).toEqual(['RESET_INDEX', 'RESET_UNVERIFIED']);
  });
});

describe('the 3.x side', () => {
  const original = (): string => `${site().mailbox}/ann/INBOX/msg1`;

  it('another message under the name of one that was removed', async () => {
    const report = await refused(
      () => {
        fs.writeFileSync(original(), simpleMessage('other'));
        owned(original());
      },
      () => fs.rmSync(original()),
    );
    expect(refusalsOf(report)).toEqual(['RESET_SOURCE_CHANGED']);
  });

  it('but not the same message, restored from a backup', async () => {
    fs.writeFileSync(original(), simpleMessage('first'));
    owned(original());
    try {
      const report = await ask();
      expect(report.refusals).toEqual([]);
      expect(report.restore.messages).toBe(2);
    } finally {
      fs.rmSync(original());
    }
  });

  it('a link under the name', async () => {
    const report = await refused(
      () => fs.symlinkSync('/etc/passwd', original()),
      () => fs.rmSync(original()),
    );
    expect(refusalsOf(report)).toEqual(['RESET_SOURCE_CHANGED']);
  });

  it('a folder whose directory is gone', async () => {
    const away = `${site().root}/away`;
    const report = await refused(
      () => fs.renameSync(`${site().mailbox}/ann/Box`, away),
      () => fs.renameSync(away, `${site().mailbox}/ann/Box`),
    );
    expect(refusalsOf(report)).toEqual(['RESET_FOLDER_GONE']);
  });

  it('an index that cannot be read', async () => {
    const index = `${site().mailbox}/ann/INBOX/.mailbox`;
    const away = `${site().root}/away`;
    const report = await refused(
      () => {
        fs.renameSync(index, away);
        fs.symlinkSync(away, index);
      },
      () => {
        fs.rmSync(index);
        fs.renameSync(away, index);
      },
    );
    expect(refusalsOf(report)).toEqual(['RESET_SOURCE_INDEX']);
  });

  it.each(['/.lock', ''])('a folder that another process holds by its %j', async (name) => {
    const fd = fs.openSync(`${site().mailbox}/joe/Box${name}`, 'r');
    const report = await refused(
      () => expect(tryFlock(fd, 'exclusive')).toBe(true),
      () => fs.closeSync(fd),
    );
    expect(refusalsOf(report)).toEqual(['RESET_FOLDER_BUSY']);
    // Of its own locks of a directory a process says nothing.
    if (name !== '') expect(report.refusals[0]?.message).toContain(`process ${process.pid} (`);
  });

  it.each(['/.lock', ''])(
    'a folder that a stopped process holds by its %j: its command, and that it is',
    async (name) => {
      const holder = await stoppedHolder(`${site().mailbox}/joe/Box${name}`);
      const ended = new Promise((resolve) => holder.once('exit', resolve));
      const report = await refused(
        () => {},
        async () => {
          holder.kill('SIGKILL');
          await ended;
        },
      );
      const message = `The 3.x folder is locked by ${namedAsStopped(holder)}. Wait until it has ended, or stop it.`;
      expect(report.refusals).toMatchObject([{ code: 'RESET_FOLDER_BUSY', message }]);
    },
  );
});

it('a partition that is not there, or is somebody else’s', async () => {
  const away = `${site().root}/away`;
  const gone = await refused(
    () => fs.renameSync(primaryOf(site()), away),
    () => fs.renameSync(away, primaryOf(site())),
  );
  expect(gone.refusals).toMatchObject([{ code: 'RESET_PARTITION', where: primaryOf(site()) }]);
  const open = await refused(
    () => fs.chmodSync(primaryOf(site()), 0o755),
    () => fs.chmodSync(primaryOf(site()), 0o700),
  );
  expect(open.refusals).toMatchObject([{ code: 'RESET_PARTITION', where: primaryOf(site()) }]);
});

it('all there is to refuse at once', async () => {
  const file = `${mailboxOf('joe', 'INBOX')}/notes`;
  const away = `${site().root}/away`;
  const report = await refused(
    () => {
      fs.writeFileSync(file, 'mine');
      fs.renameSync(annFile(1), away);
    },
    () => {
      fs.rmSync(file);
      fs.renameSync(away, annFile(1));
    },
  );
  expect(refusalsOf(report)).toEqual(['RESET_LOST', 'RESET_UNKNOWN_FILE']);
});
