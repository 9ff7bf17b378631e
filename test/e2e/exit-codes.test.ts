/**
 * The exit codes of commands.md with their causes, through the real commands:
 *
 *     0 all done   1 done with errors   2 wrong usage   3 refused or could not start   4 halted, safe to run again
 */
import { type ChildProcess, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { engineOptions } from '../support/site.js';
import { ACCOUNT, INDEX, needRoot } from '../upgrade/small-store.js';
import { bare, expectRefused, NAMES, newSite, upgraded } from './exit-codes-site.js';
import { foldersResult, type HandSite, messagesResult, putMail, type Result } from './hand-site.js';
import { run } from './loop.js';

describe('every command', () => {
  it.each(NAMES)('%s ends with 0 for --help and --version, without an instance', (name) => {
    const help = bare(name, ['--help']);
    expect([help.status, help.stdout]).toEqual([0, expect.stringContaining(name)]);
    const version = bare(name, ['--version']);
    expect([version.status, version.stdout.trim()]).toEqual([0, expect.stringMatching(/^\d+\.\d+\.\d+/)]);
  });

  it.each(NAMES)('%s ends with 2 for an option that it does not have, and for a bad log level', (name) => {
    expectRefused(bare(name, ['--instance', '/nowhere', '--no-such-option']), 2, /USAGE/);
    expectRefused(bare(name, ['--instance', '/nowhere', '--log-level', 'loud']), 2, /loud/);
  });

  it.each([
    ['upgrade', ['-m']],
    ['upgrade', ['--status']],
    ['upgrade', ['--verify']],
    ['configutil', []],
    ['mboxutil', ['-l']],
    ['msg-setup', ['--host-name', 'mail.example.com']],
  ] as const)('%s %j ends with 3 when no instance was named', (name, args) => {
    expectRefused(bare(name, args), 3, /INSTANCE_UNKNOWN/);
  });

  it.each([
    ['upgrade', ['-s']],
    ['upgrade', ['-m']],
    ['upgrade', ['-m', '--dry-run']],
    ['upgrade', ['--status']],
    ['upgrade', ['--verify']],
    ['configutil', []],
    ['mboxutil', ['-l']],
  ] as const)('%s %j ends with 3 when there is no instance', (name, args) => {
    expectRefused(bare(name, ['--instance', '/nowhere/at/all', ...args]), 3, /INSTANCE_MISSING/);
  });

  it('takes the instance from MSG_INSTANCE', () => {
    const made = upgraded();
    const result = bare('mboxutil', ['-l', '--json'], { MSG_INSTANCE: made.store.instance });
    expect([result.status, result.stdout]).toEqual([0, expect.stringContaining('user/fred/INBOX')]);
  });
});

describe('upgrade, 0', () => {
  it('when all is done, also when there is nothing to do', () => {
    const made = newSite();
    expect(made.folders().status).toBe(0);
    expect(made.folders().status).toBe(0);
    for (const args of [
      ['-m', '--dry-run'],
      ['-m'],
      ['-m', '-r'],
      ['-m'],
      ['--status'],
      ['--verify'],
      ['-m', '--failed'],
    ]) {
      const result = made.run('upgrade', ...args);
      expect([args, result.status, result.stderr]).toEqual([args, 0, expect.any(String)]);
    }
  });
});

describe('upgrade, 1', () => {
  it('-s: a user was skipped', () => {
    const made = newSite(({ store }) => store.user('bad*user'));
    const result = made.folders();
    expect(result.status).toBe(1);
    expect(foldersResult(result)).toMatchObject({ exitCode: 1, users: { found: 1, skipped: 1 } });
  });

  it.each(engineOptions())('-m: a message failed, %s; --dry-run says so before', (engine) => {
    const made = upgraded(({ store }) => fs.symlinkSync('/etc/passwd', path.join(store.mailbox, 'fred/INBOX/two-b')));
    const plan = made.messages('--dry-run');
    expect([plan.status, plan.stdout]).toEqual([1, expect.stringContaining('MSG_NOT_REGULAR')]);
    const result = made.messages(engine);
    expect(result.status).toBe(1);
    expect(messagesResult(result)).toMatchObject({
      folders: { done: 0, failed: 1 },
      errors: [{ user: 'fred', folder: 'INBOX', file: 'two-b', code: 'MSG_NOT_REGULAR' }],
    });
    // Accepted failures are reported by every later run until they are repaired.
    expect(made.messages(engine, '--accept-failures').status).toBe(1);
    expect(made.messages(engine).status).toBe(1);
  });

  it('-u: a line of the list is wrong, the good ones go on', () => {
    const made = upgraded();
    const list = path.join(made.store.mailbox, '__up.primary.txt');
    fs.appendFileSync(list, 'nobody-knows\n');
    const result = made.run('upgrade', '-u', list, '--json');
    expect(result.status).toBe(1);
    expect(result.stdout + made.log()).toMatch(/line 5.*nobody-knows|nobody-knows.*line 5/);
    expect(made.mailbox('user/fred/INBOX').state).toBe('NON-TRANSITION');
  });

  it('--verify: a migrated message is not what it was', () => {
    const made = upgraded();
    expect(made.messages('-r').status).toBe(0);
    const directory = made.mailbox('user/fred/INBOX').path ?? '';
    fs.appendFileSync(run('find', directory, '-name', '1.msg').trim(), 'x');
    const result = made.run('upgrade', '--verify');
    expect([result.status, result.stdout]).toEqual([1, expect.stringContaining('fred')]);
  });
});

describe('upgrade, 2', () => {
  it.each([
    [[]],
    [['-s', '-m']],
    [['-m', '--status']],
    [['-m', '-t', '0']],
    [['-m', '-q', '0']],
    [['-m', '-t', '-1']],
    [['-m', '-t', 'five']],
    [['-m', '-t', '1.5']],
    [['-m', '-q', '']],
    [['-m', '-t']],
    [['-u']],
    [['-m', 'operand']],
    [['-s', '-r']],
    [['-s', '-t', '2']],
    [['-m', '--directory', '/x']],
    [['-m', '--folder', 'INBOX']],
    [['--status', '-r']],
  ])('for %j, before the instance is looked at', (args) => {
    expectRefused(bare('upgrade', ['--instance', '/nowhere/at/all', ...args]), 2, /USAGE/);
  });

  it('for a user list with a wrong header, or none', () => {
    const made = upgraded();
    const list = path.join(made.store.root, 'list');
    fs.writeFileSync(list, 'fred\n');
    expectRefused(made.run('upgrade', '-u', list), 2, /USERLIST_HEADER/);
    expectRefused(made.run('upgrade', '-u', path.join(made.store.root, 'no-list')), 2, /USERLIST_FILE/);
    expect(made.mailbox('user/fred/INBOX').state).toBe('TRANSITION');
  });

  it('for a directory URL that is none', () => {
    const made = newSite();
    const args = ['-s', '--from', made.store.from, '--directory', 'ldap://host:0/'];
    expectRefused(made.run('upgrade', ...args), 2, /DIR_URL/);
    expect(fs.existsSync(made.store.instance)).toBe(false);
  });
});

describe('upgrade, 3', () => {
  /** `-s` is refused, and nothing at all is written. */
  function expectUntouched(made: HandSite, result: Result, text: RegExp): void {
    expectRefused(result, 3, text);
    expect(fs.existsSync(made.store.instance)).toBe(false);
    expect(fs.readdirSync(made.store.mailbox).sort()).toEqual(['fred']);
  }

  it.each(['2.02', '3.00', '4.15', 'three', ''])('-s: version %j', (version) => {
    const made = newSite(({ store }) => store.configure({ Version: version }));
    expectUntouched(made, made.folders(), /CONF_VERSION|CONF_REQUIRED/);
  });

  it.each(['3.01', '3.6'])('not for version %s', (version) => {
    const made = newSite(({ store }) => store.configure({ Version: version }));
    expect(made.folders().status).toBe(0);
  });

  it.each(['HostName', 'MailboxDirectory'])('-s: no %s in NscpMail.conf', (key) => {
    const made = newSite(({ store }) => store.configure({ [key]: '' }));
    expectUntouched(made, made.folders(), new RegExp(key));
  });

  it('-s: a server account or group that does not exist', () => {
    const user = newSite(({ store }) => store.configure({ ServerUser: 'no-such-account' }));
    expectUntouched(user, user.folders(), /no-such-account/);
    user.remove();
    const group = newSite(({ store }) => store.configure({ ServerGroup: 'no-such-group' }));
    expectUntouched(group, group.folders(), /no-such-group/);
  });

  it('-s, -m and -u: the 3.x server runs; not once its process is gone, and not with --pid-is-stale', () => {
    const made = newSite();
    const pidFile = path.join(made.store.from, 'NscpMail.pid');
    fs.writeFileSync(pidFile, `${process.pid}\n`);
    expectUntouched(made, made.folders(), new RegExp(`SOURCE_RUNNING.*${process.pid}`));
    expect(made.folders('--pid-is-stale').status).toBe(0);
    const list = path.join(made.store.mailbox, '__up.primary.txt');
    expectRefused(made.messages(), 3, new RegExp(`RUNNING.*${process.pid}`));
    expectRefused(made.run('upgrade', '-u', list), 3, /RUNNING/);
    expectRefused(made.run('upgrade', '--verify'), 3, /RUNNING/);
    expectRefused(made.run('upgrade', '-m', '--dry-run'), 3, /RUNNING/);
    fs.writeFileSync(pidFile, `${spawnSync('true').pid}\n`);
    expect(made.messages().status).toBe(0);
  });

  it('-s: no directory was named, it does not answer, or its file is not there', () => {
    const made = newSite();
    const flags = ['-s', '--from', made.store.from];
    expectUntouched(made, made.run('upgrade', ...flags), /DIR_NONE/);
    expectUntouched(made, made.run('upgrade', ...flags, '--directory', 'ldap://127.0.0.1:1/'), /DIR_CONNECT/);
    expectUntouched(made, made.run('upgrade', ...flags, '--directory', '/no/such.ldif'), /DIR_/);
  });

  it('-s: no 3.x instance was named, or it is not there', () => {
    const made = newSite();
    expectRefused(made.run('upgrade', '-s', '--directory', made.store.ldif), 3, /INSTANCE_MISSING|FROM_UNKNOWN/);
    const flags = ['-s', '--from', '/no/such/msg-old', '--directory', made.store.ldif];
    expectUntouched(made, made.run('upgrade', ...flags), /\/no\/such\/msg-old/);
  });

  it('-s: partition names that are duplicate, empty or reserved, all at once with paths and numbers of users', () => {
    const made = newSite(({ store }) => {
      const paths = ['mail/a/partition.one', 'mail/b/Partition_One', 'mail/c/...', 'mail/d/primary'].map(
        store.storePath,
      );
      for (const [i, mailMessageStore] of [...paths, paths[0] ?? ''].entries())
        store.user(`user${i}`, { mailMessageStore });
    });
    const result = made.folders();
    expectRefused(result, 3, /PARTITION_NAMES/);
    for (const text of [
      /a\/partition\.one \(2 users\)/,
      /b\/Partition_One \(1 user\)/,
      /c\/\.\.\. \(1 user\)/,
      /d\/primary \(1 user\)/,
    ]) {
      expect(result.stderr).toMatch(text);
    }
    expect(fs.existsSync(made.store.instance)).toBe(false);
    expect(fs.readdirSync(path.join(made.store.root, 'mail/a/partition.one'))).toEqual([]);
  });

  it('-s: another -s runs, and says which process', async () => {
    const made = newSite();
    // A directory that accepts and never answers holds the first run while it has its locks.
    const { createServer } = await import('node:net');
    const silent = createServer(() => {});
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const port = (silent.address() as { port: number }).port;
    const first = made.start('upgrade', '-s', '--from', made.store.from, '--directory', `ldap://127.0.0.1:${port}/o=x`);
    try {
      await once(silent, 'connection');
      const second = made.folders();
      expectRefused(second, 3, new RegExp(`\\b${first.pid}\\b`));
    } finally {
      first.kill('SIGKILL');
      await once(first, 'exit');
      silent.close();
    }
    // The lock is gone with its holder.
    expect(made.folders().status).toBe(0);
  });

  it('-m: -s has not run, or not to its end', () => {
    const made = newSite();
    expect(made.run('msg-setup', '--from', made.store.from).status).toBe(0);
    expectRefused(made.messages(), 3, /FOLDERS_FIRST/);
    const cut = made.runWith({ MAILHAUL_FAULT: 'fail:40:EIO' }, 'upgrade', '-s', '--directory', made.store.ldif);
    expect(cut.status, cut.stderr).not.toBe(0);
    expectRefused(made.messages(), 3, /FOLDERS_FIRST/);
    expect(made.folders().status).toBe(0);
    expect(made.messages().status).toBe(0);
  });

  it('-m: a partition directory is missing, or has the wrong owner or mode; named, not made', (ctx) => {
    needRoot(ctx);
    const made = upgraded(({ store }) => {
      const mailMessageStore = store.storePath('mail/sales');
      store.user('anna', { mailMessageStore });
      store.folder(mailMessageStore, 'anna', 'INBOX');
    });
    const partition = path.join(made.store.root, 'mail/sales/.0004x.sales');
    fs.chmodSync(partition, 0o770);
    expectRefused(made.messages(), 3, /PARTITION_MODE.*sales/);
    fs.chmodSync(partition, 0o700);
    fs.chownSync(partition, 0, 0);
    expectRefused(made.messages(), 3, /PARTITION_OWNER.*sales/);
    fs.rmdirSync(partition);
    expectRefused(made.messages(), 3, /PARTITION_MISSING.*sales/);
    expect(fs.existsSync(partition)).toBe(false);
    expect(made.mailbox('user/fred/INBOX').state).toBe('TRANSITION');
  });

  it('-m --native: the addon is not there; without the option the portable engine says so in one line', () => {
    const made = upgraded();
    const none = { MAILHAUL_ADDON: 'none' };
    const refused = made.runWith(none, 'upgrade', '-m', '--native', '--json');
    expectRefused(refused, 3, /native|addon/i);
    const portable = made.runWith(none, 'upgrade', '-m', '--json');
    expect([portable.status, portable.stderr.trim().split('\n')]).toEqual([0, [expect.stringMatching(/portable/)]]);
  });
});

describe('upgrade, 4', () => {
  it.for(engineOptions())('-m: the disk is full, %s; the next run reaches the end', (engine, ctx) => {
    needRoot(ctx);
    const made = upgraded(({ store }) => {
      const folder = path.join(store.mailbox, 'fred/INBOX');
      for (let i = 0; i < 40; i++) putMail(folder, `large${i}`, `Subject: ${i}\r\n\r\n${'x'.repeat(100_000)}\r\n`);
    });
    const partition = path.join(made.store.root, 'small');
    fs.mkdirSync(partition);
    const owner = `uid=${ACCOUNT.uid},gid=${ACCOUNT.gid},mode=700`;
    run('mount', '-t', 'tmpfs', '-o', `size=1m,${owner}`, 'tmpfs', partition);
    try {
      expect(made.run('configutil', '-o', 'store.partition.primary.path', '-v', partition).status).toBe(0);
      const full = made.messages(engine);
      expect([full.status, full.stderr + full.stdout]).toEqual([4, expect.stringMatching(/full|ENOSPC|space/i)]);
      expect(made.mailbox('user/fred/INBOX').state).toBe('TRANSITION');
      // Nothing left 3.x: 42 messages and the index; a lock file comes with the first attempt.
      const left = fs.readdirSync(path.join(made.store.mailbox, 'fred/INBOX')).filter((name) => name !== '.lock');
      expect(left).toHaveLength(43);
      run('mount', '-o', 'remount,size=20m', partition);
      expect(made.messages(engine).status).toBe(0);
      expect(made.dump()).toHaveLength(42);
      expect(made.run('upgrade', '--verify').status).toBe(0);
    } finally {
      run('umount', partition);
    }
  });

  it.each([
    ['-s', 'SIGINT'],
    ['-m', 'SIGTERM'],
  ] as const)('%s: %s; the next run reaches the end', async (mode, signal) => {
    const users = 600;
    const prepare = ({ store }: HandSite) => {
      for (let i = 0; i < users; i++) {
        store.user(`user${i}`);
        store.folder(store.mailbox, `user${i}`, 'INBOX', INDEX(i + 1));
      }
    };
    const made = mode === '-s' ? newSite(prepare) : upgraded(prepare);
    const args = mode === '-s' ? ['--from', made.store.from, '--directory', made.store.ldif] : ['-t', '1'];
    const child = made.start('upgrade', mode, '--json', ...args);
    const ended = outcome(child);
    // From the first line of the log on, something has been written.
    const mark = mode === '-s' ? 'upgrade -s began' : 'upgrade -m';
    const before = made.log().split(mark).length;
    while (child.exitCode === null && made.log().split(mark).length === before)
      await new Promise((r) => setTimeout(r, 2));
    child.kill(signal);
    const { status, output } = await ended;
    expect([status, output]).toEqual([4, expect.stringMatching(/HALTED|stopped/i)]);
    if (mode === '-s') expect(made.folders().status).toBe(0);
    expect(made.messages().status).toBe(0);
    expect(made.mailboxes().filter(({ state }) => state === 'NON-TRANSITION')).toHaveLength(users + 1);
  });
});

async function outcome(child: ChildProcess): Promise<{ status: number | null; output: string }> {
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const [status] = (await once(child, 'close')) as [number | null];
  return { status, output };
}
