import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openMailboxDatabase } from '../../src/store/database.js';
import { mailboxPathComponents } from '../../src/store/names.js';
import {
  fillFolder,
  migrate,
  project,
  runCli,
  type SmallStore,
  simpleMessage,
  smallStore,
} from '../support/migrated-store.js';
import { commandFile } from '../support/process.js';

let store: SmallStore;
const nested =
  'Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>\xff\r\n--b--\r\n';

beforeAll(() => {
  store = smallStore();
  store.user('joe');
  store.user('Ann');
  fillFolder(store, 'joe', 'INBOX', 7, [
    { uid: 3, content: simpleMessage('first'), flags: 'SA,$Forwarded', date: 946_684_800 },
    { uid: 250, content: Buffer.from(`Subject: \xe9 "q"\r\n${nested}`, 'latin1'), flags: 'D' },
  ]);
  fillFolder(store, 'joe', Buffer.from('Entw\xfcrfe', 'latin1'), 8, [{ uid: 1, content: 'Subject: bare\n\nLF\n' }]);
  fillFolder(store, 'joe', 'INBOX/sub', 9, []);
  fs.writeFileSync(`${store.mailbox}/joe/.subscriptions`, 'INBOX/sub\n');
  fs.writeFileSync(`${store.mailbox}/joe/INBOX/.acl`, 'joe lrswipcda\nanyone lr\n');
  migrate(store);
  // A mailbox that waits for its migration.
  store.user('late');
  fillFolder(store, 'late', 'INBOX', 10, [{ uid: 1, content: simpleMessage('late') }]);
  migrate(store, { foldersOnly: true });
});

afterAll(() => store.remove());

const mboxutil = (...args: string[]) => runCli('mboxutil', '--instance', store.instance, ...args);
const lines = (text: string) =>
  text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Record<string, unknown>);

describe('mboxutil -l', () => {
  it('lists every mailbox with the fields of commands.md', () => {
    const { status, stdout } = mboxutil('-l', '--json');
    expect(status).toBe(0);
    const mailboxes = lines(stdout);
    expect(mailboxes.map(({ name }) => name)).toEqual([
      'user/Ann/INBOX',
      'user/joe/Entw&APw-rfe',
      'user/joe/INBOX',
      'user/joe/INBOX/sub',
      'user/late/INBOX',
    ]);
    expect(mailboxes[1]).toEqual({
      name: 'user/joe/Entw&APw-rfe',
      legacyName: 'Entwürfe',
      partition: 'primary',
      path: `${store.instance}/store/partition/primary/${mailboxPathComponents('joe', 'user/joe/Entw&APw-rfe').join('/')}`,
      state: 'NON-TRANSITION',
      messages: 1,
      bytes: 'Subject: bare\r\n\r\nLF\r\n'.length,
      uidvalidity: 8,
      uidnext: 2,
      acl: [],
      subscribed: false,
    });
    expect(fs.existsSync(`${String(mailboxes[1]!.path)}/store.idx`)).toBe(true);
    expect(mailboxes[2]).toMatchObject({
      messages: 2,
      uidnext: 251,
      acl: [
        { identifier: 'joe', rights: 'lrswipcda' },
        { identifier: 'anyone', rights: 'lr' },
      ],
    });
    expect(mailboxes[3]).toMatchObject({ legacyName: 'INBOX/sub', subscribed: true, messages: 0 });
    expect(mailboxes[4]).toMatchObject({ state: 'TRANSITION', messages: 0, bytes: 0 });
  });

  it('-p takes the names that match', () => {
    expect(lines(mboxutil('-l', '-p', 'user/joe/%', '--json').stdout).map(({ name }) => name)).toEqual([
      'user/joe/Entw&APw-rfe',
      'user/joe/INBOX',
    ]);
  });

  it('prints a table for people, with -x path and ACL', () => {
    expect(mboxutil('-l').stdout).toMatch(/^ +2 +1 {2}primary +NON-TRANSITION user\/joe\/INBOX$/m);
    expect(mboxutil('-l', '-x').stdout).toMatch(/user\/joe\/INBOX {2}\/.*\/=joe {2}joe lrswipcda, anyone lr$/m);
  });
});

it('mboxutil -l -x shows no control character of a path or a partition, which the server account can write', async () => {
  const database = await openMailboxDatabase(`${store.instance}/store/mboxlist`);
  const late = database.get('user/late/INBOX');
  if (late === undefined) throw new Error('there is no such mailbox');
  try {
    await database.update((writes) => writes.put({ ...late, root: '/x\x1b[2J', partition: 'p\x9b2J' }));
    const { stdout } = mboxutil('-l', '-x', '-p', 'user/late/*');
    expect(stdout).toMatch(/ p\ufffd2J .* \/x\ufffd\[2J\//);
    expect(stdout).not.toMatch(/[\x1b\x9b]/);
  } finally {
    await database.update((writes) => writes.put(late));
    await database.close();
  }
});

describe('mboxutil --dump', () => {
  it('prints one object a message, of all mailboxes', () => {
    const { status, stdout } = mboxutil('--dump', '--json');
    expect(status).toBe(0);
    expect(lines(stdout).map(({ mailbox, uid }) => [mailbox, uid])).toEqual([
      ['user/joe/Entw&APw-rfe', 1],
      ['user/joe/INBOX', 3],
      ['user/joe/INBOX', 250],
    ]);
  });

  it('gives flags, date, size, hash, envelope and structure', () => {
    const [first, second] = lines(mboxutil('--dump', 'user/joe/inbox', '--json').stdout);
    const content = simpleMessage('first');
    expect(first).toEqual({
      mailbox: 'user/joe/INBOX',
      uid: 3,
      internaldate: 946_684_800,
      size: content.length,
      flags: ['\\Seen', '\\Answered', '$Forwarded'],
      sha256: createHash('sha256').update(content).digest('hex'),
      envelope: [
        'Sat, 1 Jan 2000 00:00:00 +0000',
        'first',
        [['Joe', null, 'joe', 'example.com']],
        [['Joe', null, 'joe', 'example.com']],
        [['Joe', null, 'joe', 'example.com']],
        [[null, null, 'ann', 'example.com']],
        null,
        null,
        null,
        '<first@example.com>',
      ],
      bodystructure: expect.arrayContaining(['text', 'plain', 7]),
    });
    expect((second!.envelope as string[])[1]).toBe('\xe9 "q"');
    expect((second!.bodystructure as unknown[]).slice(0, 3)).toEqual([expect.any(Array), expect.any(Array), 'mixed']);
  });

  it('hashes the stored form: a message with bare LF became CRLF', () => {
    const [message] = lines(mboxutil('--dump', 'user/joe/Entw&APw-rfe', '--json').stdout);
    expect(message!.sha256).toBe(createHash('sha256').update('Subject: bare\r\n\r\nLF\r\n').digest('hex'));
  });

  it('has nothing of a mailbox in TRANSITION, and that is no error', () => {
    expect(mboxutil('--dump', 'user/late/INBOX', '--json')).toMatchObject({ status: 0, stdout: '' });
  });

  it('names a mailbox that is not there', () => {
    const { status, stderr } = mboxutil('--dump', 'user/joe/none');
    expect(status).toBe(1);
    expect(stderr).toMatch(/^mboxutil: MBOX_MISSING: .* \[user\/joe\/none\]/);
  });

  it('reports a message file that is gone, prints the rest, and exits 1', async () => {
    const record = await withDatabase((database) => database.get('user/joe/INBOX'));
    const file = `${record!.root}/${mailboxPathComponents('joe', 'user/joe/INBOX').join('/')}/02/250.msg`;
    fs.renameSync(file, `${file}.away`);
    try {
      const { status, stdout, stderr } = mboxutil('--dump', 'user/joe/INBOX', '--json');
      expect(status).toBe(1);
      expect(stderr).toMatch(/MSG_UNREADABLE.*\[user\/joe\/INBOX, uid 250\]/);
      expect(lines(stdout).map(({ sha256 }) => sha256 === null)).toEqual([false, true]);
    } finally {
      fs.renameSync(`${file}.away`, file);
    }
  });

  it('stops quietly when its reader does', async () => {
    const args = [commandFile('mboxutil'), '--instance', store.instance, '--dump', '--json'];
    const child = spawn(process.execPath, args, { cwd: project, stdio: ['ignore', 'pipe', 'pipe'] });
    let stderr = '';
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    child.stdout.destroy();
    expect(await new Promise((resolve) => child.on('close', resolve))).toBe(0);
    expect(stderr).toBe('');
  });
});

describe('wrong use', () => {
  it.each([[], ['-l', '--dump'], ['--dump', '-x'], ['-l', '--no-such-option'], ['-l', 'operand']])(
    '%j %j is named and exits 2',
    (...args) => {
      expect(mboxutil(...args)).toMatchObject({ status: 2, stdout: '', stderr: expect.stringContaining('USAGE') });
    },
  );

  it('of --log-level is named', () => {
    expect(mboxutil('-l', '--log-level', 'Loud').status).toBe(2);
  });

  it('without an instance is refused', () => {
    expect(runCli('mboxutil', '-l')).toMatchObject({ status: 3, stderr: expect.stringContaining('INSTANCE_UNKNOWN') });
    expect(runCli('mboxutil', '-l', '--instance', '/nonexistent').status).toBe(3);
  });

  it('without store/mboxlist is refused', () => {
    const directory = `${store.instance}/store/mboxlist`;
    fs.renameSync(directory, `${directory}.away`);
    try {
      expect(mboxutil('-l')).toMatchObject({ status: 3, stderr: expect.stringContaining('INSTANCE_INCOMPLETE') });
    } finally {
      fs.renameSync(`${directory}.away`, directory);
    }
  });
});

async function withDatabase<T>(use: (database: Awaited<ReturnType<typeof openMailboxDatabase>>) => T): Promise<T> {
  const database = await openMailboxDatabase(`${store.instance}/store/mboxlist`, { readOnly: true });
  try {
    return use(database);
  } finally {
    await database.close();
  }
}
