/** `upgrade -m` as real processes on generated stores, one rule each; with every engine that is built. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { inTurn } from '../support/in-turn.js';
import { engineOptions, reportOf, type TestSite } from '../support/site.js';
import { newSite, removeSites, someMessage, upgraded } from './messages-support.js';

afterEach(removeSites);

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

for (const engine of engineOptions()) {
  describe(`upgrade -m ${engine}`, () => {
    const test = inTurn(engine);
    it('migrates everything; a second run finds nothing to do', async () => {
      const made = upgraded({ singleCopy: 0.2, bareLf: 0.1, hostileNames: 0.2 });
      const first = made.messages(engine);
      expect(first.status, first.stderr).toBe(0);
      expect((await made.compare()).problems).toEqual([]);
      const second = made.messages(engine);
      expect(second.status).toBe(0);
      expect(reportOf(second).folders).toMatchObject({ done: 0, failed: 0 });
      expect(reportOf(second).messages.done).toBe(0);
      // Threads cost more than all else in such a run.
      const log = fs.readFileSync(path.join(made.instance, 'log/default/default'), 'utf8');
      expect(log.match(/upgrade -m: \d+ folders, \d+ threads/g)?.at(-1)).toBe('upgrade -m: 0 folders, 0 threads');
    });

    test('leaves a failed message and its folder, and takes the rest under the same uids after the repair', async () => {
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

    test('publishes with --accept-failures, keeps reporting, and adds the message after the repair', async () => {
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

    test('honours a partition path set with configutil, also on another file system', async (context) => {
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

    test('tells before and says while a partition is full; what an earlier attempt copied counts as copied', async (context) => {
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
        expect([survey.status, planned.method]).toEqual([4, 'copy']);
        expect(planned.spaceNeeded).toBeGreaterThan(planned.spaceFree);
        const halted = made.messages(engine);
        expect(halted.status).toBe(4);
        expect(reportOf(halted).halted?.message).toContain('ENOSPC');
        // The dry run adds up as the run itself does.
        const [{ bytesNeeded, filesNeeded }] = JSON.parse(survey.stdout).devices;
        expect(JSON.parse(halted.stdout).devices).toMatchObject([{ bytesNeeded, filesNeeded }]);
        expect(mount('remount,size=64m')).toBe(true);
        const result = made.messages(engine);
        expect(result.status, result.stderr + result.stdout).toBe(0);
        // Further names of one copy are links; nothing is one of a 3.x file.
        const { copy, link, rename, reflink } = reportOf(result).methods;
        expect([copy > link, rename, reflink]).toEqual([true, 0, 0]);
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
