/** `--verify`: the mailbox directories, index and message files (3.x and databases: verify-source, verify-databases). */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { simpleMessage } from '../support/migrated-store.js';
import { commandFile } from '../support/process.js';
import { ACCOUNT, needRoot } from './small-store.js';
import { codes, factsFor, makeVerifiedStore, owned, TWINS, type VerifiedStore } from './verify-support.js';

let verified: VerifiedStore;

beforeAll(() => {
  verified = makeVerifiedStore();
});

afterAll(() => verified.store.remove());

const INBOX = 'user/joe/INBOX';
const inboxFile = (uid: number) => verified.fileOf(INBOX, uid);

it('a store just migrated holds, all messages read and compared', async () => {
  const report = await verified.verify();
  expect(report.findings).toEqual([]);
  expect(report).toMatchObject({
    exitCode: 0,
    errors: 0,
    open: 0,
    notes: 0,
    halted: null,
    messages: { checked: 7, read: 7, compared: 7, total: 7 },
    mailboxes: { checked: 6, waiting: 0, total: 6 },
    partitions: [{ name: 'primary', path: verified.primary, mailboxes: 6, waiting: 0, checked: 7, errors: 0 }],
    sample: { percent: 100, share: 1 },
    singleCopyShare: 1,
  });
  expect(report.implementations).toContain('portable');
  expect(report.text).toContain('Everything holds.');
  expect(JSON.parse(JSON.stringify(report))).not.toHaveProperty('text');
});

describe('message files', () => {
  it('with another content of the same size', async () => {
    const report = await verified.verifyWithContent(inboxFile(105), (content) => {
      content[3] = 0x58;
      return content;
    });
    expect(codes(report)).toEqual(['VERIFY_CONTENT']);
    expect(report.exitCode).toBe(1);
    expect(report.findings[0]).toMatchObject({ user: 'joe', mailbox: INBOX, uid: 105, where: inboxFile(105) });
  });

  it('with another size', async () => {
    const report = await verified.verifyWithContent(inboxFile(105), (content) => Buffer.concat([content, content]));
    expect(codes(report)).toEqual(['VERIFY_SIZE']);
  });

  it('that are gone, alone or with their directory', async () => {
    const away = `${verified.store.root}/away`;
    const gone = await verified.verifyWith(
      () => fs.renameSync(inboxFile(3), away),
      () => fs.renameSync(away, inboxFile(3)),
    );
    expect(codes(gone)).toEqual(['VERIFY_MESSAGE_MISSING']);
    const directory = `${verified.directoryOf(INBOX)}/01`;
    const all = await verified.verifyWith(
      () => fs.renameSync(directory, away),
      () => fs.renameSync(away, directory),
    );
    expect(all.byCode).toEqual({ VERIFY_MESSAGE_MISSING: 2 });
  });

  it('replaced by a symbolic link, which is not followed', async () => {
    const away = `${verified.store.root}/away`;
    const report = await verified.verifyWith(
      () => {
        fs.renameSync(inboxFile(3), away);
        fs.symlinkSync(away, inboxFile(3));
      },
      () => fs.renameSync(away, inboxFile(3)),
    );
    expect(codes(report)).toEqual(['VERIFY_MESSAGE_UNREADABLE']);
  });

  it('swapped with each other', async () => {
    const [a, b] = [verified.fileOf('user/joe/Twins', 1), verified.fileOf('user/joe/Twins', 2)];
    const swap = () => {
      fs.renameSync(a, `${verified.store.root}/away`);
      fs.renameSync(b, a);
      fs.renameSync(`${verified.store.root}/away`, b);
    };
    const report = await verified.verifyWith(swap, swap);
    expect(report.byCode.VERIFY_CONTENT).toBe(2);
  });

  it('of another mode', async () => {
    const report = await verified.verifyWith(
      () => fs.chmodSync(inboxFile(105), 0o644),
      () => fs.chmodSync(inboxFile(105), 0o600),
    );
    expect(codes(report)).toEqual(['VERIFY_MODE']);
  });

  it('of another owner', async (ctx) => {
    needRoot(ctx);
    const report = await verified.verifyWith(
      () => fs.chownSync(inboxFile(105), 0, 0),
      () => owned(inboxFile(105)),
    );
    expect(codes(report)).toEqual(['VERIFY_OWNER']);
  });

  it('that shared one inode in 3.x and no longer do', async () => {
    const path = verified.fileOf('user/joe/Box', 2);
    const report = await verified.verifyWith(
      () => {
        fs.copyFileSync(path, `${path}.copy`);
        owned(`${path}.copy`);
        fs.renameSync(`${path}.copy`, path);
      },
      () => {
        fs.unlinkSync(path);
        fs.linkSync(inboxFile(104), path);
      },
    );
    expect(codes(report)).toEqual(['VERIFY_SINGLE_COPY']);
  });

  it('with a name outside both stores: a note, so that a backup by hard links is none of an error', async () => {
    const outside = `${verified.store.root}/outside`;
    const report = await verified.verifyWith(
      () => fs.linkSync(inboxFile(105), outside),
      () => fs.unlinkSync(outside),
    );
    expect(report).toMatchObject({ exitCode: 0, byCode: { VERIFY_LINKS: 1 } });
  });
});

describe('strangers', () => {
  it.each([
    ['in a mailbox directory', () => `${verified.directoryOf(INBOX)}/stray`],
    ['in a hash directory', () => `${verified.directoryOf(INBOX)}/00/7.msg`],
    ['in a directory that only leads to a mailbox', () => `${verified.directoryOf(INBOX)}/=+i+n+b+o+x/stray`],
    ['at the top of a partition', () => `${verified.primary}/stray`],
    ['among the hash levels', () => `${verified.primary}/=user/stray`],
    ['a directory of no mailbox', () => `${verified.directoryOf(INBOX)}/=gone`],
    ['a directory of no user', () => `${verified.primary}/=user/aa`],
    ['beside the databases', () => `${verified.store.instance}/store/mboxlist/stray`],
    ['in the store', () => `${verified.store.instance}/store/stray`],
    ['where only users would be', () => `${verified.store.instance}/store/user/stray`],
  ])('are found: %s', async (_, where) => {
    const path = where();
    const report = await verified.verifyWith(
      () => {
        if (path.endsWith('.msg') || path.endsWith('stray')) fs.writeFileSync(path, '', { mode: 0o600 });
        else fs.mkdirSync(path, { mode: 0o700 });
        owned(path);
        if (path.endsWith('/aa')) {
          fs.mkdirSync(`${path}/bb`, { mode: 0o700 });
          owned(`${path}/bb`);
          fs.mkdirSync(`${path}/bb/=nobody`, { mode: 0o700 });
        }
      },
      () => fs.rmSync(path, { recursive: true }),
    );
    expect(codes(report)).toEqual(['VERIFY_UNKNOWN_FILE']);
  });

  it.each(['.new-105', '.retry', 'store.idx.new', '00/.new-3'])('what a killed run left: %s', async (name) => {
    const path = `${verified.directoryOf(INBOX)}/${name}`;
    const report = await verified.verifyWith(
      () => {
        if (name === '.retry') fs.mkdirSync(path);
        else fs.writeFileSync(path, '');
      },
      () => fs.rmSync(path, { recursive: true }),
    );
    expect(codes(report)).toEqual(['VERIFY_LEFTOVER']);
  });

  it('a registry of shared copies that nobody needs any more: a note', async () => {
    const path = `${verified.primary}/=single`;
    const report = await verified.verifyWith(
      () => {
        fs.mkdirSync(path, { mode: 0o700 });
        owned(path);
        fs.linkSync(inboxFile(105), `${path}/1-2-3-aa`);
      },
      () => fs.rmSync(path, { recursive: true }),
    );
    expect(report).toMatchObject({ exitCode: 0, byCode: { VERIFY_SINGLE_LEFT: 1 } });
  });

  it('a directory that others may read is found', async () => {
    const report = await verified.verifyWith(
      () => fs.chmodSync(verified.directoryOf('user/joe/Box'), 0o755),
      () => fs.chmodSync(verified.directoryOf('user/joe/Box'), 0o700),
    );
    expect(codes(report)).toEqual(['VERIFY_MODE']);
  });

  it('a hostile name cannot begin a line of the report', async () => {
    const path = `${verified.directoryOf(INBOX)}/x\nerror VERIFY_COUNT\u001b[2J`;
    const report = await verified.verifyWith(
      () => fs.writeFileSync(path, ''),
      () => fs.rmSync(path),
    );
    expect(codes(report)).toEqual(['VERIFY_UNKNOWN_FILE']);
    expect(report.text).not.toMatch(/^error VERIFY_COUNT|\u001b/m);
  });
});

describe('the index', () => {
  it('that is damaged', async () => {
    const report = await verified.verifyWithContent(`${verified.directoryOf(INBOX)}/store.idx`, (content) => {
      content[300]! ^= 0xff;
      return content;
    });
    expect(codes(report)).toEqual(['VERIFY_INDEX']);
    expect(report.findings[0]!.message).toContain('IDX_CACHE');
  });

  it('whose padding between sections holds something', async () => {
    const report = await verified.verifyWithContent(`${verified.directoryOf(INBOX)}/store.idx`, (content) => {
      // The cache ends where the records, at a multiple of 8, do not begin yet.
      const end = content.readUInt32LE(88) + content.readUInt32LE(96);
      expect(end % 8).not.toBe(0);
      content[end] = 1;
      return content;
    });
    expect(codes(report)).toEqual(['VERIFY_INDEX']);
  });

  it('that is gone', async () => {
    const path = `${verified.directoryOf('user/joe/Box')}/store.idx`;
    const report = await verified.verifyWith(
      () => fs.renameSync(path, `${verified.store.root}/away`),
      () => fs.renameSync(`${verified.store.root}/away`, path),
    );
    expect(codes(report)).toEqual(['VERIFY_INDEX']);
  });

  it('with its directory gone', async () => {
    const path = verified.directoryOf('user/joe/Box');
    const report = await verified.verifyWith(
      () => fs.renameSync(path, `${verified.store.root}/away`),
      () => fs.renameSync(`${verified.store.root}/away`, path),
    );
    expect(codes(report)).toEqual(['VERIFY_DIRECTORY_MISSING']);
  });

  it('that a sound writer made from another parse: every part is compared', async () => {
    const other = simpleMessage('other-subject');
    const report = await verified.verifyWithIndex(INBOX, {
      message: (facts, cache) => ({ facts, cache: facts.uid === 3 ? factsFor(facts, other).cache : cache }),
    });
    expect(codes(report)).toEqual(['VERIFY_STRUCTURE']);
    expect(report.findings[0]!.message).toContain('envelope');
    const header = await verified.verifyWithIndex(INBOX, {
      message: (facts, cache) => ({ facts: { ...facts, headerBytes: facts.headerBytes - 2 }, cache }),
    });
    expect(header.byCode).toEqual({ VERIFY_STRUCTURE: 3 });
  });

  it('of another mailbox: the copy of its record tells', async () => {
    const report = await verified.verifyWithIndex('user/joe/Box', { admin: (text) => text.replace('Box', 'Bux') });
    expect(codes(report)).toEqual(['VERIFY_ADMIN']);
  });

  it('that was made from a message with bare LF', async () => {
    const bare = 'Subject: bare\r\n\r\nLFx\n';
    const path = inboxFile(105);
    const original = fs.readFileSync(path);
    expect(bare.length).toBe(original.length);
    fs.writeFileSync(path, bare);
    try {
      const report = await verified.verifyWithIndex(INBOX, {
        message: (facts, cache) => (facts.uid === 105 ? factsFor(facts, bare) : { facts, cache }),
      });
      expect(codes(report)).toEqual(['VERIFY_CRLF', 'VERIFY_SOURCE_CONTENT']);
    } finally {
      fs.writeFileSync(path, original);
    }
  });
});

describe('a message that is in 4.x twice though once in 3.x', () => {
  it('under one uid more, which the index does not have', async () => {
    const file = verified.fileOf('user/joe/Twins', 3);
    const report = await verified.verifyWith(
      () => fs.linkSync(verified.fileOf('user/joe/Twins', 1), file),
      () => fs.unlinkSync(file),
    );
    expect(codes(report)).toEqual(['VERIFY_UNKNOWN_FILE']);
  });

  it('in the place of another message, index and file in agreement', async () => {
    const [first, second] = [verified.fileOf('user/joe/Twins', 1), verified.fileOf('user/joe/Twins', 2)];
    const away = `${verified.store.root}/away`;
    fs.renameSync(second, away);
    fs.linkSync(first, second);
    try {
      const report = await verified.verifyWithIndex('user/joe/Twins', {
        message: (facts, cache) => (facts.uid === 2 ? factsFor(facts, TWINS[0]) : { facts, cache }),
      });
      expect(codes(report)).toEqual(['VERIFY_DOUBLED', 'VERIFY_SOURCE_CONTENT']);
    } finally {
      fs.renameSync(away, second);
    }
  });
});

it('writes nothing, in 3.x or 4.x', async () => {
  const state = () =>
    spawnSync('find', [verified.store.root, '!', '-name', '*-lock', '-printf', '%p %i %s %m %U %T@ %C@\\n'], {
      encoding: 'utf8',
    }).stdout;
  const before = state();
  await verified.verify();
  expect(state()).toBe(before);
});

it('as root it reads mail with the rights of the server account, and foreign originals as root', async (ctx) => {
  needRoot(ctx);
  const path = verified.original('INBOX/msg105');
  fs.chownSync(path, 0, 0);
  fs.chmodSync(path, 0o600);
  try {
    const report = await verified.verify({ becomeServerAccount: true });
    expect([report.exitCode, report.byCode]).toEqual([0, {}]);
    expect(report.messages).toEqual({ checked: 7, read: 7, compared: 7, total: 7 });
    expect(process.geteuid?.()).toBe(0);
    const account = spawnSync(
      process.execPath,
      [commandFile('upgrade'), '--verify', '--json', '--instance', verified.store.instance],
      { uid: ACCOUNT.uid, gid: ACCOUNT.gid, encoding: 'utf8' },
    );
    expect(JSON.parse(account.stdout)).toMatchObject({ exitCode: 1, byCode: { VERIFY_SOURCE_FOREIGN: 1 } });
  } finally {
    fs.chownSync(path, ACCOUNT.uid, ACCOUNT.gid);
  }
});
