/** `configutil` as a real process. */
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openMailboxDatabase } from '../../src/store/database.js';
import type { MailboxRecord } from '../../src/store/types.js';
import { commandFile } from '../support/process.js';

const command = commandFile('configutil');

let instance: string;
const configdb = () => join(instance, 'config/configdb');
const content = () => readFileSync(configdb(), 'utf8');

beforeEach(() => {
  instance = mkdtempSync(join(tmpdir(), 'mailhaul-instance-'));
  mkdirSync(join(instance, 'config'));
  writeFileSync(configdb(), '');
});
afterEach(() => rmSync(instance, { recursive: true, force: true }));

interface Result {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

function run(args: readonly string[], more: { input?: string; env?: NodeJS.ProcessEnv } = {}): Result {
  const env = more.env ?? { ...process.env, MSG_INSTANCE: instance };
  const result = spawnSync(process.execPath, [command, ...args], {
    encoding: 'utf8',
    env,
    input: more.input ?? '',
  });
  return { code: result.status, out: result.stdout, err: result.stderr };
}

const ok = (out: string) => ({ code: 0, out, err: '' });

describe('listing and showing', () => {
  beforeEach(() => {
    writeFileSync(
      configdb(),
      'store.partition.primary.path|/srv/msg/store/partition/primary\nservice.imap.port|143\n' +
        'service.imap.banner|\nservice.imap.banner;lang-fr|Bon jour\nservice.smtp.port|25\n',
    );
  });

  it('lists everything, with the instance from the environment or the option', () => {
    const all =
      'service.imap.banner;lang-fr|Bon jour\nservice.imap.port|143\nservice.smtp.port|25\n' +
      'store.partition.primary.path|/srv/msg/store/partition/primary\n';
    expect(run([])).toEqual(ok(all));
    const { MSG_INSTANCE: _, ...env } = process.env;
    expect(run(['--instance', instance], { env })).toEqual(ok(all));
  });

  it('lists by prefix, with empty values, and by language', () => {
    expect(run(['-p', 'service.imap'])).toEqual(ok('service.imap.port|143\n'));
    expect(run(['-e', '-p', 'service.imap'])).toEqual(ok('service.imap.banner|\nservice.imap.port|143\n'));
    expect(run(['-p', 'service.imap', ';lang-fr'])).toEqual(ok('service.imap.banner;lang-fr|Bon jour\n'));
    expect(run(['-p', 'service.imap;lang-fr'])).toEqual(ok('service.imap.banner;lang-fr|Bon jour\n'));
    expect(run(['-p', 'nothing'])).toEqual(ok(''));
  });

  it('shows one option', () => {
    expect(run(['-o', 'service.smtp.port'])).toEqual(ok('25\n'));
    expect(run(['-o', 'service.imap.banner'])).toEqual(ok('\n'));
    expect(run(['-o', 'service.imap.banner;lang-fr'])).toEqual(ok('Bon jour\n'));
    expect(run(['-o', 'service.imap.banner', ';lang-fr'])).toEqual(ok('Bon jour\n'));
  });

  it('says that an option is not set, exit 1', () => {
    const result = run(['-o', 'service.pop.port']);
    expect([result.code, result.out]).toEqual([1, '']);
    expect(result.err).toMatch(/^configutil: CONF_NOT_SET: .*\[service\.pop\.port\]/);
  });

  it('prints JSON', () => {
    expect(JSON.parse(run(['--json', '-o', 'service.smtp.port']).out)).toEqual({
      ...{ option: 'service.smtp.port', language: null, value: '25' },
    });
    expect(JSON.parse(run(['--json', '-p', 'service.imap', '-e']).out)).toEqual({
      options: [
        { option: 'service.imap.banner', language: null, value: '' },
        { option: 'service.imap.port', language: null, value: '143' },
      ],
    });
    expect(JSON.parse(run(['--json', '-o', 'nope']).out)).toEqual({
      errors: [{ code: 'CONF_NOT_SET', message: 'This option is not set.', where: 'nope' }],
    });
  });
});

describe('a value with control characters, which the server account can write', () => {
  const value = 'x\x1b]0;y\x07\x9b2J';
  beforeEach(() => writeFileSync(configdb(), `a.b|${value}\n`));

  it.each([
    [[], `a.b|${value}\n`],
    [['-o', 'a.b'], `${value}\n`],
  ])('goes to scripts as it is: %j', (args, expected) => {
    expect(run(args)).toEqual(ok(expected));
  });

  it.each([[[]], [['-o', 'a.b']]])('does nothing to a terminal: %j', (args) => {
    const line = [process.execPath, command, ...args].join(' ');
    const shown = spawnSync('script', ['-qefc', line, '/dev/null'], {
      encoding: 'utf8',
      env: { ...process.env, MSG_INSTANCE: instance },
    });
    expect(shown.stdout).toContain('x\ufffd]0;y\ufffd\ufffd2J\r\n');
    expect(shown.stdout).not.toMatch(/[\x07\x1b\x9b]/);
  });
});

describe('setting', () => {
  it('sets, with blanks and pipes, in a language, and clears', () => {
    expect(run(['-o', 'service.imap.banner', '-v', 'Hello | world'])).toEqual(ok(''));
    expect(run(['-o', 'service.imap.banner;lang-fr', '-v', 'Salut'])).toEqual(ok(''));
    expect(run(['-o', 'service.imap.banner', ';lang-de', '-v', '-Hallo'])).toEqual(ok(''));
    expect(content()).toBe(
      'service.imap.banner|Hello | world\nservice.imap.banner;lang-fr|Salut\nservice.imap.banner;lang-de|-Hallo\n',
    );
    expect(run(['-o', 'service.imap.banner', '-v', ''])).toEqual(ok(''));
    expect(content()).toMatch(/^service\.imap\.banner\|\nservice\.imap\.banner;lang-fr\|Salut\n/);
  });

  it('names the option, not the value, in the log', () => {
    run(['-o', 'local.secret', '-v', 'sesame']);
    run(['-o', 'local.quiet', '-v', 'x', '--log-level', 'Error']);
    const log = readFileSync(join(instance, 'log/default/default'), 'utf8');
    expect(log).toMatch(/ configutil\[\d+\]: General Notice: Option local\.secret was changed\.\n$/);
    expect(log).not.toMatch(/sesame|quiet/);
  });

  it('refuses a value of several lines, a bad name, a relative partition path: exit 2', () => {
    for (const args of [
      ['-o', 'a', '-v', 'x\nb|y'],
      ['-o', 'a b', '-v', 'x'],
      ['-o', 'store.partition.x.path', '-v', 'x'],
    ]) {
      const result = run(args);
      expect([result.code, result.out], args.join(' ')).toEqual([2, '']);
      expect(result.err).toMatch(/^configutil: CONF_/);
    }
    expect(content()).toBe('');
  });

  it('refuses to move a partition that holds migrated mail: exit 3, and says why', async () => {
    mkdirSync(join(instance, 'store/mboxlist'), { recursive: true });
    const mailbox = (name: string, partition: string, state: MailboxRecord['state']): MailboxRecord => ({
      ...{ name, owner: 'bob', legacyName: 'INBOX', partition, acl: [], uidvalidity: 1, uidnext: 1, state },
      ...{ summary: null, mappingId: null, root: null },
    });
    const database = await openMailboxDatabase(join(instance, 'store/mboxlist'), { create: true });
    await database.update((writes) => {
      writes.put(mailbox('user/bob', 'sales', 'NON-TRANSITION'));
      writes.put(mailbox('user/eve', 'research', 'TRANSITION'));
    });
    await database.close();
    writeFileSync(configdb(), 'store.partition.sales.path|/old/sales\nstore.partition.research.path|/old/research\n');

    const result = run(['-o', 'store.partition.SALES.path', '-v', '/new/sales']);
    expect([result.code, result.out]).toEqual([3, '']);
    expect(result.err).toMatch(/CONF_PARTITION_IN_USE: .*holds migrated mail/);
    expect(run(['-o', 'store.partition.research.path', '-v', '/new/research'])).toEqual(ok(''));
    expect(run(['-o', 'store.partition.sales.path', '-v', '/old/sales'])).toEqual(ok(''));
    const imported = run(['-i'], { input: 'store.partition.sales.path|/new/sales\na|1\n' });
    expect(imported.code).toBe(1);
    expect(content()).toBe('store.partition.sales.path|/old/sales\nstore.partition.research.path|/new/research\na|1\n');
  });

  it('loses no change of commands that run at once', async () => {
    const children = Array.from({ length: 5 }, (_, i) =>
      spawn(process.execPath, [command, '-o', `n.o${i}`, '-v', 'x', '--instance', instance]),
    );
    const codes = await Promise.all(children.map((child) => new Promise((resolve) => child.on('exit', resolve))));
    expect(codes).toEqual([0, 0, 0, 0, 0]);
    expect(content().split('\n').sort()).toEqual(['', 'n.o0|x', 'n.o1|x', 'n.o2|x', 'n.o3|x', 'n.o4|x']);
  });
});

describe('reading lines', () => {
  const lines = '# comment\n\na.b|1\r\nbanner|x | y\nbanner;lang-fr|z\ncleared|\n';
  const stored = 'a.b|1\nbanner|x | y\nbanner;lang-fr|z\ncleared|\n';

  it('takes a file', () => {
    const file = join(instance, 'input');
    writeFileSync(file, lines);
    expect(run(['-i', file])).toEqual(ok(''));
    expect(content()).toBe(stored);
  });

  it('takes standard input, also into another file', () => {
    expect(run(['-i'], { input: lines })).toEqual(ok(''));
    expect(content()).toBe(stored);
    const other = join(instance, 'other');
    expect(run(['-i', '-f', other], { input: lines })).toEqual(ok(''));
    expect(readFileSync(other, 'utf8')).toBe(stored);
  });

  it('takes what it lists', () => {
    writeFileSync(configdb(), stored);
    const listed = run(['-e']).out;
    writeFileSync(configdb(), '');
    expect(run(['-i'], { input: listed })).toEqual(ok(''));
    expect(content()).toBe(stored);
  });

  it('reports bad lines with their numbers and takes the good ones, exit 1', () => {
    const result = run(['-i', '--json'], { input: 'a|1\nno option\nb|2\nstore.partition.x.path|rel\n' });
    expect(result.code).toBe(1);
    expect(result.err).toMatch(/CONF_LINE.*standard input:2/);
    expect(JSON.parse(result.out)).toMatchObject({
      changed: ['a', 'b'],
      errors: [{ where: 'standard input:2' }, { where: 'standard input:4', code: 'CONF_PARTITION_PATH' }],
    });
    expect(content()).toBe('a|1\nb|2\n');
  });

  it('says that a file does not exist, exit 3', () => {
    expect(run(['-i', join(instance, 'none')])).toMatchObject({ code: 3, err: expect.stringMatching(/CONF_FILE/) });
  });
});

describe('another file', () => {
  it('is used instead of that of the instance, which is not needed', () => {
    const { MSG_INSTANCE: _, ...env } = process.env;
    const file = join(instance, 'other.conf');
    expect(run(['-f', file, '-o', 'a', '-v', '1'], { env })).toEqual(ok(''));
    expect(run(['-f', file], { env })).toEqual(ok('a|1\n'));
    expect(content()).toBe('');
  });

  it('that is not there cannot be listed, exit 3', () => {
    expect(run(['-f', join(instance, 'none')])).toMatchObject({ code: 3, err: expect.stringMatching(/CONF_FILE/) });
  });
});

describe('the command', () => {
  it.each([
    [['--bogus']],
    [['-v', 'x']],
    [['-o']],
    [['-o', 'a', '-p', 'b']],
    [['-o', 'a', '-e']],
    [['-i', 'x', '-p', 'b']],
    [['french']],
    [[';']],
    [['-o', 'a;lang-fr', ';lang-de']],
    [['-o', 'a', '-v', 'x', '--log-level', 'loud']],
  ])('refuses %j as wrong usage, exit 2', (args) => {
    const result = run(args);
    expect([result.code, result.out]).toEqual([2, '']);
    expect(result.err).not.toBe('');
  });

  it('cannot start without an instance, in a missing one, in a 3.x one: exit 3', () => {
    const { MSG_INSTANCE: _, ...env } = process.env;
    expect(run([], { env })).toMatchObject({ code: 3, err: expect.stringMatching(/INSTANCE_UNKNOWN/) });
    expect(run(['--instance', '/nonexistent'])).toMatchObject({
      code: 3,
      err: expect.stringMatching(/INSTANCE_MISSING/),
    });
    rmSync(configdb());
    writeFileSync(join(instance, 'config/NscpMail.conf'), 'Version: 3.6\n');
    expect(run(['-o', 'a', '-v', 'b'])).toMatchObject({ code: 3, err: expect.stringMatching(/INSTANCE_MISSING/) });
  });

  it('prints help and version', () => {
    expect(run(['--help'])).toMatchObject({ code: 0, out: expect.stringMatching(/--instance <dir>/) });
    expect(run(['--version'])).toMatchObject({ code: 0, out: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) });
  });
});
