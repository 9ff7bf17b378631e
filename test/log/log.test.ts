import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { closeDir, type Dir, openRoot } from '../../src/fs/dir.js';
import { tryFlock } from '../../src/fs/flock.js';
import { armFaults } from '../../src/fs/seam.js';
import {
  escapeLogText,
  formatLogLine,
  LOG_LEVELS,
  type LogOptions,
  logs,
  memoryLog,
  openLog,
  parseLogLevel,
} from '../../src/log/log.js';
import { INSIDE } from '../support/process.js';

const LINE =
  /^\[\d{2}\/(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\/\d{4}:\d{2}:\d{2}:\d{2} [+-]\d{4}\] [\w-]+ [a-z-]+\[\d+\]: [A-Z]\w+ [A-Z]\w+: .+$/;

let root: string;
let instance: Dir;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'mailhaul-log-'));
  instance = openRoot(root);
});
afterEach(() => {
  closeDir(instance);
  rmSync(root, { recursive: true, force: true });
});

const path = () => join(root, 'log/default/default');
const lines = () => readFileSync(path(), 'utf8').split('\n').slice(0, -1);
const withLog = (options: Omit<LogOptions, 'instance'>, use: (log: ReturnType<typeof openLog>) => void) => {
  const log = openLog({ instance, ...options });
  try {
    use(log);
  } finally {
    log.close();
  }
};

/** A process that says that it starts, opens the log and writes `count` lines. */
function startWriter(count: number): ChildProcessWithoutNullStreams {
  const script = join(root, 'writer.mjs');
  writeFileSync(
    script,
    `import { openLog, openRoot } from ${INSIDE};
     process.stdout.write('starting');
     const log = openLog({ instance: openRoot(${JSON.stringify(root)}) });
     for (let i = 0; i < Number(process.argv[2]); i++) log.write('Store', 'Error', String(i).repeat(300));`,
  );
  return spawn(process.execPath, [script, String(count)]);
}

describe('a line', () => {
  it('has the form of the product, in local time', () => {
    const zone = process.env.TZ;
    try {
      process.env.TZ = 'America/Los_Angeles';
      const line = formatLogLine(new Date(1093909985000), 'vadar', 'imapd', 13027, 'Account', 'Notice', 'badlogin');
      expect(line).toBe('[30/Aug/2004:16:53:05 -0700] vadar imapd[13027]: Account Notice: badlogin\n');
      process.env.TZ = 'Asia/Kolkata';
      expect(formatLogLine(new Date(0), 'h', 'p', 1, 'Store', 'Error', 'x')).toBe(
        '[01/Jan/1970:05:30:00 +0530] h p[1]: Store Error: x\n',
      );
    } finally {
      if (zone === undefined) delete process.env.TZ;
      else process.env.TZ = zone;
    }
  });

  it('cannot be forged or cheat a terminal', () => {
    expect(escapeLogText('a\nb\rc\td\0\x1b[2J\x7f\x9b\\')).toBe('a\\nb\\rc\\td\\x00\\x1b[2J\\x7f\\x9b\\\\');
    expect(escapeLogText('\u2028\u202e\ud800x é 日 😀')).toBe('\\u2028\\u202e\\ud800x é 日 😀');
  });

  it('is cut when it is endless', () => {
    expect(formatLogLine(new Date(), 'h', 'p', 1, 'Store', 'Error', 'x'.repeat(1e6)).length).toBeLessThan(9000);
  });
});

describe('a threshold', () => {
  it('passes its level and what is more urgent', () => {
    expect(LOG_LEVELS.filter((level) => logs('Warning', level))).toEqual([
      ...['Emergency', 'Alert', 'Critical', 'Error', 'Warning'],
    ]);
    expect(LOG_LEVELS.filter((level) => logs('Nolog', level))).toEqual([]);
  });

  it('is read without case; another word is wrong usage', () => {
    expect(parseLogLevel('debug')).toBe('Debug');
    expect(() => parseLogLevel('loud')).toThrow(expect.objectContaining({ code: 'LOG_LEVEL', exit: 2 }));
  });

  it('holds for the log in memory too', () => {
    const log = memoryLog('Error');
    log.write('Store', 'Warning', 'no');
    log.write('Store', 'Error', 'a\nb');
    expect(log.lines).toEqual(['Store Error: a\\nb']);
  });
});

describe('the file', () => {
  it('begins with when it was created, and is appended to', () => {
    withLog({}, (log) => log.write('Store', 'Error', 'first'));
    withLog({ level: 'Warning', process: 'mboxutil' }, (log) => {
      log.write('Store', 'Notice', 'not this');
      log.write('LDAP', 'Warning', 'second');
    });
    expect(lines()).toHaveLength(3);
    for (const line of lines()) expect(line).toMatch(LINE);
    expect(lines()[0]).toMatch(/ upgrade\[\d+\]: General Notice: Log created \(\d+\)$/);
    expect(lines()[1]).toMatch(/: Store Error: first$/);
    expect(lines()[2]).toMatch(/ mboxutil\[\d+\]: LDAP Warning: second$/);
  });

  it('has mode 0600 in directories of mode 0700, also when it had another', () => {
    withLog({}, () => {});
    expect(statSync(path()).mode & 0o777).toBe(0o600);
    expect(statSync(join(root, 'log')).mode & 0o777).toBe(0o700);
    chmodSync(path(), 0o666);
    withLog({}, () => {});
    expect(statSync(path()).mode & 0o777).toBe(0o600);
  });

  it('belongs to the server account when root writes it', (ctx) => {
    if (process.geteuid?.() !== 0) return ctx.skip('not root');
    const owner = { uid: 8, gid: 12 };
    withLog({}, () => {});
    withLog({ owner }, () => {});
    expect([statSync(path()).uid, statSync(path()).gid]).toEqual([8, 12]);
    return undefined;
  });

  it.each(['a link', 'a directory'])('is never %s', (what) => {
    mkdirSync(join(root, 'log/default'), { recursive: true });
    writeFileSync(join(root, 'victim'), '');
    if (what === 'a link') symlinkSync('../../victim', path());
    else mkdirSync(path());
    expect(() => openLog({ instance })).toThrow(expect.objectContaining({ code: 'FS_NOT_REGULAR' }));
    expect(statSync(join(root, 'victim')).size).toBe(0);
  });

  it('is never a hard link of another file, which would get its lines and its owner', () => {
    mkdirSync(join(root, 'log/default'), { recursive: true });
    writeFileSync(join(root, 'victim'), 'precious', { mode: 0o640 });
    linkSync(join(root, 'victim'), path());
    expect(() => openLog({ instance, owner: { uid: 8, gid: 12 } })).toThrow(
      expect.objectContaining({ code: 'FS_LINKED' }),
    );
    expect([readFileSync(join(root, 'victim'), 'utf8'), statSync(path()).mode & 0o777]).toEqual(['precious', 0o640]);
    expect(statSync(path()).uid).toBe(process.getuid?.());
  });

  it('is not reached through a linked directory', () => {
    mkdirSync(join(root, 'log'));
    mkdirSync(join(root, 'elsewhere'));
    symlinkSync('../elsewhere', join(root, 'log/default'));
    expect(() => openLog({ instance })).toThrow();
  });

  it('says so when it cannot be written, and then begins a new line', () => {
    withLog({}, (log) => {
      armFaults({ mode: 'fail', at: 1, errno: 28, report: '' });
      expect(() => log.write('Store', 'Error', 'lost')).toThrow(expect.objectContaining({ code: 'ENOSPC' }));
      armFaults(undefined);
      log.write('Store', 'Error', 'after');
    });
    // Part of the lost line could have been written.
    expect(lines().at(-2)).toBe('');
    expect(lines().at(-1)).toMatch(/Store Error: after$/);
  });

  it('gets its first line from the process that holds the lock; others wait for it', async () => {
    mkdirSync(join(root, 'log/default'), { recursive: true });
    writeFileSync(path(), '');
    const fd = openSync(path(), 'a');
    expect(tryFlock(fd, 'exclusive')).toBe(true);
    const writer = startWriter(1);
    const ended = new Promise((resolve) => writer.on('exit', resolve));
    await new Promise((resolve) => writer.stdout.once('data', resolve));
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(lines()).toEqual([]);
    writeFileSync(path(), 'the first line\n', { flag: 'a' });
    closeSync(fd);
    expect(await ended).toBe(0);
    expect(lines()).toEqual(['the first line', expect.stringMatching(LINE)]);
  });

  it('holds whole lines of many processes, and one first line', async () => {
    const writers = Array.from({ length: 4 }, () => startWriter(200));
    const codes = await Promise.all(writers.map((child) => new Promise((resolve) => child.on('exit', resolve))));
    expect(codes).toEqual([0, 0, 0, 0]);
    expect(lines()).toHaveLength(1 + 4 * 200);
    for (const line of lines()) expect(line).toMatch(LINE);
    expect(
      lines()
        .map((line, i) => (line.includes('Log created') ? i : -1))
        .filter((i) => i >= 0),
    ).toEqual([0]);
  });
});
