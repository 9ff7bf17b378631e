/** `upgrade -m` as real processes on generated stores, one rule each; with every engine that is built. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { engineOptions, makeTestSite, messageFiles, reportOf, type TestSite } from '../support/site.js';

let site: TestSite | undefined;

function newSite(options: Parameters<typeof makeTestSite>[0] = {}): TestSite {
  site = makeTestSite({ damage: 0, ...options });
  return site;
}

function upgraded(options: Parameters<typeof makeTestSite>[0] = {}): TestSite {
  const made = newSite(options);
  const result = made.folders();
  if (result.status !== 0) throw new Error(result.stderr + result.stdout);
  return made;
}

/** The first message file of the first folder that has one; latin1 path. */
function someMessage(made: TestSite): string {
  const file = made.made.storePaths.flatMap((store) => messageFiles(store)).sort()[0];
  if (file === undefined) throw new Error('the generator made no message');
  return file;
}

/** Puts a symbolic link in place of a message; returns the means to repair it. */
function breakMessage(file: string): () => void {
  const raw = Buffer.from(file, 'latin1');
  const aside = Buffer.from(`${path.dirname(file)}/.aside`, 'latin1');
  fs.renameSync(raw, aside);
  fs.symlinkSync('/etc/passwd', raw);
  return () => {
    fs.unlinkSync(raw);
    fs.renameSync(aside, raw);
  };
}

afterEach(() => {
  site?.remove();
  site = undefined;
});

for (const engine of engineOptions()) {
  describe(`upgrade -m ${engine}`, () => {
    it('migrates everything; a second run finds nothing to do', async () => {
      const made = upgraded({ singleCopy: 0.2, bareLf: 0.1, hostileNames: 0.2 });
      const first = made.messages(engine);
      expect(first.status, first.stderr).toBe(0);
      expect((await made.compare()).problems).toEqual([]);
      const second = made.messages(engine);
      expect(second.status).toBe(0);
      expect(reportOf(second).folders).toMatchObject({ done: 0, failed: 0 });
      expect(reportOf(second).messages.done).toBe(0);
    });

    it('leaves a failed message and its folder, and takes the rest under the same uids after the repair', async () => {
      const made = upgraded();
      const repair = breakMessage(someMessage(made));
      const first = made.messages(engine);
      expect(first.status).toBe(1);
      expect(reportOf(first).errors).toMatchObject([{ code: 'MSG_NOT_REGULAR' }]);
      expect(made.mailboxes().filter(({ state }) => state === 'TRANSITION')).toHaveLength(1);
      repair();
      const second = made.messages(engine);
      expect(second.status, second.stdout).toBe(0);
      expect((await made.compare()).problems).toEqual([]);
    });

    it('publishes with --accept-failures, keeps reporting, and adds the message after the repair', async () => {
      const made = upgraded();
      const repair = breakMessage(someMessage(made));
      expect(made.messages(engine, '--accept-failures').status).toBe(1);
      expect(made.mailboxes().every(({ state }) => state === 'NON-TRANSITION')).toBe(true);
      const again = made.messages(engine);
      expect(again.status).toBe(1);
      expect(reportOf(again).errors).toMatchObject([{ code: 'MSG_NOT_REGULAR' }]);
      repair();
      const last = made.messages(engine);
      expect(last.status, last.stdout).toBe(0);
      expect((await made.compare()).problems).toEqual([]);
    });

    it('removes message files with -r, and nothing else', async () => {
      const made = upgraded({ singleCopy: 0.2, bareLf: 0.2 });
      const kept = made.made.storePaths.flatMap(otherFiles);
      const result = made.messages(engine, '-r');
      expect(result.status, result.stderr).toBe(0);
      expect(made.made.storePaths.flatMap((store) => messageFiles(store))).toEqual([]);
      expect(made.made.storePaths.flatMap(otherFiles)).toEqual(expect.arrayContaining(kept));
      expect((await made.compare()).problems).toEqual([]);
    });

    it('removes the originals of folders that an earlier run migrated without -r', async () => {
      const made = upgraded();
      expect(made.messages(engine).status).toBe(0);
      expect(made.made.storePaths.flatMap((store) => messageFiles(store)).length).toBeGreaterThan(0);
      expect(made.messages(engine, '-r').status).toBe(0);
      expect(made.made.storePaths.flatMap((store) => messageFiles(store))).toEqual([]);
      expect((await made.compare()).problems).toEqual([]);
    });

    it('removes no original that changed since it was migrated', () => {
      const made = upgraded();
      expect(made.messages(engine).status).toBe(0);
      const file = Buffer.from(someMessage(made), 'latin1');
      const content = fs.readFileSync(file);
      fs.unlinkSync(file);
      fs.writeFileSync(file, content);
      expect(made.messages(engine, '-r').status).toBe(0);
      expect(fs.readFileSync(file)).toEqual(content);
    });

    it('honours a partition path set with configutil, also on another file system', async (context) => {
      const made = upgraded({ storePaths: 2, singleCopy: 0.3 });
      const partition = fs.mkdtempSync('/dev/shm/mailhaul-');
      if (fs.statSync(partition).dev === fs.statSync(made.root).dev) {
        fs.rmSync(partition, { recursive: true });
        context.skip('/dev/shm is on the same file system as the temporary directory');
      }
      try {
        fs.chownSync(partition, made.made.owner.uid, made.made.owner.gid);
        expect(made.run('configutil', '-o', 'store.partition.primary.path', '-v', partition).status).toBe(0);
        const result = made.messages(engine);
        expect(result.status, result.stderr + result.stdout).toBe(0);
        expect(reportOf(result).methods.copy).toBeGreaterThan(0);
        expect(reportOf(result).methods.link).toBeGreaterThan(0);
        expect((await made.compare()).problems).toEqual([]);
        // Mail lies there now: the path is fixed.
        const refused = made.run('configutil', '-o', 'store.partition.primary.path', '-v', '/elsewhere');
        expect(refused.status).toBe(3);
      } finally {
        fs.rmSync(partition, { recursive: true });
      }
    });

    it('tells before and says while a partition is full; what an earlier attempt copied counts as copied', async (context) => {
      const made = upgraded({ storePaths: 1 });
      const partition = fs.mkdtempSync('/tmp/mailhaul-full-');
      const { uid, gid } = made.made.owner;
      const mount = (options: string): boolean =>
        spawnSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', partition]).status === 0;
      if (!mount(`size=256k,mode=700,uid=${uid},gid=${gid}`)) {
        fs.rmdirSync(partition);
        context.skip('no tmpfs can be mounted here');
      }
      try {
        expect(made.run('configutil', '-o', 'store.partition.primary.path', '-v', partition).status).toBe(0);
        const survey = made.messages(engine, '--dry-run');
        const [planned] = JSON.parse(survey.stdout).partitions;
        expect([survey.status, planned.method]).toEqual([3, 'copy']);
        expect(planned.spaceNeeded).toBeGreaterThan(planned.spaceFree);
        const halted = made.messages(engine);
        expect(halted.status).toBe(4);
        expect(reportOf(halted).halted?.message).toContain('ENOSPC');
        expect(mount('remount,size=64m')).toBe(true);
        const result = made.messages(engine);
        expect(result.status, result.stderr + result.stdout).toBe(0);
        expect(reportOf(result).methods).toMatchObject({ link: 0, rename: 0 });
        expect((await made.compare()).problems).toEqual([]);
      } finally {
        spawnSync('umount', [partition]);
        fs.rmdirSync(partition);
      }
    });

    it('shares the work with other processes: every folder is done once', async () => {
      const made = upgraded({ users: 12, folders: 6, messages: 700 });
      const lists = made.made.storePaths.map((_, i) => `__up.${i === 0 ? 'primary' : `mail${i + 1}`}.txt`);
      const runs = [
        made.start('upgrade', '-m', '-t', '2', '--json', engine),
        ...lists
          .slice(0, 2)
          .map((list) =>
            made.start('upgrade', '-u', path.join(made.made.storePaths[0] ?? '', list), '-t', '1', '--json', engine),
          ),
      ];
      const reports = await Promise.all(runs.map(outcomeOf));
      expect(reports.map(({ status }) => status)).toEqual([0, 0, 0]);
      const done = reports.reduce((sum, { report }) => sum + report.messages.done, 0);
      expect(done).toBe(700);
      expect((await made.compare()).problems).toEqual([]);
    });
  });
}

interface Outcome {
  readonly status: number | null;
  readonly report: ReturnType<typeof reportOf>;
}

function outcomeOf(child: ReturnType<TestSite['start']>): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    let stdout = '';
    let stderr = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      stdout += chunk.toString();
    });
    child.stderr?.on('data', (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    child.on('close', (status, signal) => {
      try {
        resolve({ status, report: JSON.parse(stdout) });
      } catch {
        reject(new Error(`ended with ${status ?? signal}: ${stderr}${stdout}`));
      }
    });
  });
}

/** `.mailbox`, `.acl` and so on, and every directory. */
function otherFiles(store: string): string[] {
  return fs
    .readdirSync(store, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.parentPath.includes('/.0004x.') && (entry.isDirectory() || entry.name.startsWith('.')))
    .map((entry) => path.join(entry.parentPath, entry.name))
    .filter((name) => !name.includes('/.0004x.'))
    .sort();
}

describe('upgrade -m', () => {
  it('refuses before -s has finished', () => {
    const made = newSite();
    const result = made.messages();
    expect(result.status).toBe(3);
    expect(result.stderr).toMatch(/INSTANCE_MISSING|FOLDERS_FIRST/);
  });

  it('refuses while the 3.x server runs, unless its pid is said to be stale', () => {
    const made = upgraded();
    fs.writeFileSync(path.join(made.made.instance, 'NscpMail.pid'), `${process.pid}\n`);
    const refused = made.messages();
    expect(refused.status).toBe(3);
    expect(refused.stderr).toContain('SOURCE_RUNNING');
    expect(made.messages('--pid-is-stale').status).toBe(0);
  });

  it('refuses a partition directory that is missing or open to others, by name, and makes nothing', () => {
    const made = upgraded({ storePaths: 2 });
    const partition = path.join(made.made.storePaths[1] ?? '', '.0004x.mail2');
    fs.chmodSync(partition, 0o755);
    expect(made.messages()).toMatchObject({ status: 3, stderr: expect.stringMatching(/PARTITION_MODE.*mail2/) });
    fs.rmSync(partition, { recursive: true });
    expect(made.messages()).toMatchObject({ status: 3, stderr: expect.stringMatching(/PARTITION_MISSING.*mail2/) });
    expect(fs.existsSync(partition)).toBe(false);
  });

  it('takes INBOXes only with -i', () => {
    const made = upgraded();
    expect(made.messages('-i').status).toBe(0);
    for (const { name, state } of made.mailboxes()) {
      expect([name, state]).toEqual([
        name,
        name.endsWith('/INBOX') && name.split('/').length === 3 ? 'NON-TRANSITION' : 'TRANSITION',
      ]);
    }
  });

  it('writes nothing with --dry-run, and says how each partition will be filled', () => {
    const made = upgraded();
    const before = fs.readdirSync(made.root, { recursive: true }).sort();
    const result = made.messages('--dry-run');
    expect(result.status, result.stderr).toBe(0);
    expect(JSON.parse(result.stdout)).toMatchObject({
      dryRun: true,
      messages: 120,
      partitions: [{ method: 'link' }, {}, {}],
    });
    expect(fs.readdirSync(made.root, { recursive: true }).sort()).toEqual(before);
    expect(made.mailboxes().every(({ state }) => state === 'TRANSITION')).toBe(true);
  });

  it('refuses an instance whose mapping database a later -s took for another one', async () => {
    const made = upgraded();
    const other = path.join(made.root, 'server5', 'msg-other');
    const folders = made.run(
      'upgrade',
      '-s',
      '--from',
      made.made.instance,
      '--directory',
      made.made.ldif,
      '--instance',
      other,
    );
    expect(folders.status, folders.stderr).toBe(0);
    for (const mode of [['-m'], ['-m', '--dry-run'], ['--verify']]) {
      const refused = made.run('upgrade', ...mode);
      expect([refused.status, refused.stderr]).toEqual([3, expect.stringContaining('MAPPING_OTHER_INSTANCE')]);
    }
    expect(made.run('upgrade', '-m', '--instance', other).status).toBe(0);
    expect(made.messages().status).toBe(3);
    expect(made.mailboxes().every(({ state }) => state === 'TRANSITION')).toBe(true);
  });

  it('goes on with an instance that was moved since -s', () => {
    const made = upgraded();
    const moved = path.join(made.root, 'moved');
    fs.renameSync(made.instance, moved);
    fs.symlinkSync(moved, made.instance);
    expect(made.run('upgrade', '-m', '--instance', moved).status).toBe(0);
  });

  it('takes --from again when it is the recorded 3.x instance, and refuses another (exit 2)', () => {
    const made = upgraded();
    for (const mode of ['-m', '--status', '--verify']) {
      expect(made.run('upgrade', mode, '--from', `${made.made.instance}/`).status).toBe(0);
      const other = made.run('upgrade', mode, '--from', made.root);
      expect([other.status, other.stderr]).toEqual([2, expect.stringContaining('FROM_OTHER')]);
    }
  });

  it('says so when the 3.x instance was moved; --work-dir does without it', () => {
    const made = upgraded();
    fs.renameSync(made.made.instance, `${made.made.instance}.moved`);
    for (const mode of ['-m', '--status', '--verify']) {
      const refused = made.run('upgrade', mode);
      expect([refused.status, refused.stderr]).toEqual([3, expect.stringContaining('upgrade: FROM_MISSING')]);
      expect(made.run('upgrade', mode, '--work-dir', made.made.storePaths[0] ?? '').status).toBe(0);
    }
  });

  it('lets no name from the store begin a line of its own', () => {
    const made = upgraded();
    const file = someMessage(made);
    fs.symlinkSync('/etc/passwd', `${path.dirname(file)}/x\nEverything holds.`);
    for (const mode of ['-m', '--status', '--verify']) {
      const result = made.run('upgrade', mode);
      expect(result.stdout).toContain('MSG_NOT_REGULAR');
      expect(result.stdout).not.toMatch(/^Everything holds/m);
    }
  });

  it('halts with 4 at SIGTERM, and goes on where it stopped', async () => {
    const made = upgraded({ users: 20, folders: 10, messages: 3_000 });
    const child = made.start('upgrade', '-m', '-t', '1', '-q', '2', '--json', '--no-native');
    const outcome = outcomeOf(child);
    await untilPublished(made, 1);
    child.kill('SIGTERM');
    const { status, report } = await outcome;
    expect(status).toBe(4);
    expect(report.halted).toMatchObject({ code: 'RUN_STOPPED' });
    expect(made.messages().status).toBe(0);
    expect((await made.compare()).problems).toEqual([]);
  });
});

/** Waits until some index is there: the run is under way. */
async function untilPublished(made: TestSite, count: number): Promise<void> {
  const stores = made.made.storePaths.slice(1).map((store) => path.join(store, `.0004x.${path.basename(store)}`));
  const roots = [path.join(made.instance, 'store/partition/primary'), ...stores];
  for (let waited = 0; waited < 60_000; waited += 50) {
    const names = roots.flatMap((root) => fs.readdirSync(root, { recursive: true, encoding: 'utf8' }));
    if (names.filter((name) => path.basename(name) === 'store.idx').length >= count) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('the run published nothing');
}

describe('upgrade -u', () => {
  const list = (made: TestSite, users: readonly string[], header?: string): string => {
    const file = path.join(made.root, 'list.txt');
    const lines =
      header ??
      `[4x partition]:primary\n[3x MailStorePath]:${made.made.storePaths[0]}\n#---------List of mail user id ------\n`;
    fs.writeFileSync(file, `${lines}${users.join('\n')}\n`);
    return file;
  };
  const usersOf = (made: TestSite, partition: string): string[] => [
    ...new Set(
      made
        .mailboxes()
        .filter((mailbox) => mailbox.partition === partition)
        .map(({ name }) => name.split('/')[1] ?? ''),
    ),
  ];

  it('migrates the users of the list that -s wrote, named without its directory', () => {
    const made = upgraded();
    const result = made.run('upgrade', '-u', '__up.mail2.txt', '--json');
    expect(result.status, result.stderr).toBe(0);
    for (const { partition, state } of made.mailboxes())
      expect(state).toBe(partition === 'mail2' ? 'NON-TRANSITION' : 'TRANSITION');
  });

  it('refuses a list with a wrong header as wrong usage', () => {
    const made = upgraded();
    const result = made.run('upgrade', '-u', list(made, ['x'], '[4x partition]: primary\n'));
    expect(result.status).toBe(2);
    expect(result.stderr).toContain('USERLIST_HEADER');
  });

  it('names bad lines by number and takes the good ones', () => {
    const made = upgraded();
    const [good = ''] = usersOf(made, 'primary');
    const [elsewhere = ''] = usersOf(made, 'mail2');
    const result = made.run('upgrade', '-u', list(made, ['nobody-here', '', elsewhere, good]), '--json');
    expect(result.status).toBe(1);
    expect(reportOf(result).errors.map(({ code }) => code)).toEqual([
      'USERLIST_UNKNOWN',
      'USERLIST_BLANK',
      'USERLIST_ELSEWHERE',
    ]);
    expect(reportOf(result).errors.map(({ message }) => /line (\d+)/.exec(message)?.[1])).toEqual(['4', '5', '6']);
    const done = made.mailboxes().filter(({ state }) => state === 'NON-TRANSITION');
    expect(new Set(done.map(({ name }) => name.split('/')[1]))).toEqual(new Set([good]));
  });

  it('takes one folder with --folder', () => {
    const made = upgraded();
    const [user = ''] = usersOf(made, 'primary');
    const folder = made.mailboxes().find(({ name }) => name.startsWith(`user/${user}/`) && !name.endsWith('/INBOX'));
    const result = made.run('upgrade', '-u', list(made, [user]), '--folder', folder?.legacyName ?? '', '--json');
    expect(result.status).toBe(0);
    expect(
      made
        .mailboxes()
        .filter(({ state }) => state === 'NON-TRANSITION')
        .map(({ name }) => name),
    ).toEqual([folder?.name]);
  });

  it('says so when none of the users has the folder of --folder', () => {
    const made = upgraded();
    const [user = ''] = usersOf(made, 'primary');
    for (const more of [[], ['--dry-run']]) {
      const result = made.run('upgrade', '-u', list(made, [user]), '--folder', 'No/Such', ...more);
      expect([result.status, result.stdout]).toEqual([1, expect.stringContaining('FOLDER_UNKNOWN')]);
    }
  });
});

describe('wrong usage', () => {
  it.each([
    [['-m', '-s'], /Exactly one/],
    [[], /Exactly one/],
    [['-m', '-t', '257'], /256 at most/],
    [['-m', '-t', '0'], /at least 1/],
    [['-m', '--store-path', '/x'], /--store-path does not go with -m/],
    [['-m', '--folder', 'x'], /--folder does not go with -m/],
    [['-m', '--no-such'], /unknown option/],
  ])('exits with 2: %j', (args, expected) => {
    const made = newSite({ users: 1, folders: 1, messages: 1 });
    const result = made.run('upgrade', ...args);
    expect(result.status).toBe(2);
    expect(result.stderr).toMatch(expected);
  });
});
