import { spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type ConfigDb, openConfigDb, parseConfigLine, parseOptionKey } from '../../src/config/configdb.js';
import { checkOptionChange, partitionOfOption } from '../../src/config/rules.js';
import { closeDir, type Dir, openRoot } from '../../src/fs/dir.js';
import { tryFlock } from '../../src/fs/flock.js';
import { armFaults } from '../../src/fs/seam.js';
import { walk } from '../../src/fs/walk.js';
import { INSIDE } from '../support/process.js';

let root: string;
let dir: Dir;
let db: ConfigDb;
const file = () => join(root, 'configdb');
const content = () => readFileSync(file(), 'latin1');

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'mailhaul-config-'));
  dir = openRoot(root);
  db = openConfigDb(dir);
});
afterEach(() => {
  armFaults(undefined);
  closeDir(dir);
  rmSync(root, { recursive: true, force: true });
});

describe('reading', () => {
  it('gives option|value lines; a value may hold pipes, blanks and nothing', () => {
    writeFileSync(file(), 'a.b|x | y|z \nempty|\nc|é\n');
    expect(db.get('a.b')).toBe('x | y|z ');
    expect(db.get('c')).toBe('é');
    expect(db.get('empty')).toBeUndefined();
    expect(db.entry('empty')).toEqual({ option: 'empty', language: null, value: '' });
    expect(db.get('none')).toBeUndefined();
  });

  it('takes a missing file for an empty one', () => {
    expect(db.entries()).toEqual([]);
  });

  it('keeps languages apart', () => {
    writeFileSync(file(), 'banner|Hello\nbanner;LANG-fr|Salut\n');
    expect(db.get('banner')).toBe('Hello');
    expect(db.get('banner', 'lang-fr')).toBe('Salut');
    expect(db.getByPrefix('ban')).toHaveLength(1);
    expect(db.getByPrefix('ban', 'lang-fr')).toMatchObject([{ value: 'Salut' }]);
  });

  it('compares names without case, and lets the last of repeated lines rule', () => {
    writeFileSync(file(), 'Service.Imap.Port|143\nservice.imap.port|993\n');
    expect(db.get('SERVICE.IMAP.PORT')).toBe('993');
    expect(db.entries()).toHaveLength(1);
  });

  it('passes over garbage', () => {
    writeFileSync(
      file(),
      Buffer.from('# comment\n\n|x\nno pipe\n bad name|1\na..b|2\n\xff\xfe|3\na|\xff\nok|yes\r\nlast|one', 'latin1'),
    );
    expect(db.entries().map((entry) => `${entry.option}=${entry.value}`)).toEqual(['ok=yes', 'last=one']);
  });

  it('lists by prefix, without cleared options', () => {
    writeFileSync(file(), 'store.a|1\nstore.b|\nstorex|2\nstore.c|3\n');
    expect(db.getByPrefix('store.').map((entry) => entry.option)).toEqual(['store.a', 'store.c']);
  });

  it('refuses a link and an endless file', () => {
    symlinkSync('/etc/passwd', file());
    expect(() => db.entries()).toThrow(expect.objectContaining({ code: 'FS_NOT_REGULAR' }));
  });
});

describe('changing', () => {
  it('replaces in place, adds at the end, and leaves other lines as they are, byte for byte', async () => {
    writeFileSync(file(), Buffer.from('# head\r\na|1\n\xff garbage\n\nb|2\nA|old', 'latin1'));
    await db.set('a', 'x y|z');
    await db.set('new.option', 'v');
    expect(content()).toBe('# head\r\n\xff garbage\n\nb|2\nA|x y|z\nnew.option|v\n');
  });

  it('clears to an empty value, and in one language only', async () => {
    await db.update([
      { option: 'a', language: null, value: '1' },
      { option: 'a', language: 'lang-fr', value: 'un' },
    ]);
    await db.set('a', null);
    expect(content()).toBe('a|\na;lang-fr|un\n');
  });

  it.each(['a\nb', 'a\rb', 'a\0b', '\x1b[2J', 'x'.repeat(70_000), '\ud800'])('refuses the value %j', async (value) => {
    await db.set('a', '1');
    await expect(db.set('a', value)).rejects.toMatchObject({ code: 'CONF_VALUE', exit: 2 });
    expect(content()).toBe('a|1\n');
  });

  it.each(['', '.a', 'a.', 'a..b', 'a b', 'a|b', 'a\nb', '-a', 'é', 'a/b', 'x'.repeat(256)])(
    'refuses the name %j',
    async (name) => {
      await expect(db.set(name, '1')).rejects.toMatchObject({ code: 'CONF_OPTION', exit: 2 });
      expect(existsSync(file())).toBe(false);
    },
  );

  it('makes all changes of a call, or none', async () => {
    const good = { option: 'good', language: null, value: '1' };
    await expect(db.update([good, { option: 'bad', language: null, value: '\n' }])).rejects.toThrow();
    expect(existsSync(file())).toBe(false);
  });

  it('makes a file of mode 0600, and keeps mode and owner of one that is there', async () => {
    await db.set('a', '1');
    expect(statSync(file()).mode & 0o777).toBe(0o600);
    chmodSync(file(), 0o640);
    await db.set('a', '2');
    expect(statSync(file()).mode & 0o777).toBe(0o640);
  });

  it('keeps the old file whole when any call fails', async () => {
    await db.set('a', 'old');
    for (let at = 1; ; at++) {
      const counter = armFaults({ mode: 'fail', at, errno: 28, report: '' });
      const done = await db.set('a', 'new').then(
        () => true,
        () => false,
      );
      armFaults(undefined);
      expect(content()).toMatch(/^a\|(old|new)\n$/);
      if (done && (counter?.[0] ?? 0) < at) break;
      await db.set('a', 'old');
      expect(at).toBeLessThan(20);
    }
    expect(content()).toBe('a|new\n');
  });

  it('waits for another writer and then sees its change', async () => {
    const other = walk(dir, []);
    expect(tryFlock(other.fd, 'exclusive')).toBe(true);
    const change = db.set('a', '1');
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(existsSync(file())).toBe(false);
    writeFileSync(file(), 'b|2\n');
    closeDir(other);
    await change;
    expect(content()).toBe('b|2\na|1\n');
  });

  it('that gives up names the process which is stopped with the lock, and what to do about it', async () => {
    writeFileSync(file(), 'a|1\n');
    const script = join(root, 'stopped.mjs');
    writeFileSync(
      script,
      `import { armFaults, openConfigDb, openRoot } from ${INSIDE};
       // Stops before its first call with an effect: it has the lock by then.
       armFaults({ mode: 'stop', at: 1, errno: 0, report: '' });
       await openConfigDb(openRoot(${JSON.stringify(root)})).set('a', '2');`,
    );
    const child = spawn(process.execPath, [script], { stdio: 'inherit' });
    try {
      const state = () => readFileSync(`/proc/${child.pid}/stat`, 'latin1').split(') ')[1] ?? '';
      while (!state().startsWith('T')) {
        expect(child.exitCode).toBeNull();
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      const now = performance.now.bind(performance);
      vi.spyOn(performance, 'now').mockImplementation(() => now() * 100);
      const named = `for 10 s it was locked by process ${child.pid} \\(.*stopped\\.mjs\\), which is stopped`;
      await expect(db.set('b', '1')).rejects.toMatchObject({
        code: 'CONF_LOCKED',
        exit: 3,
        where: root,
        message: expect.stringMatching(`${named} \\(continue it with kill -CONT ${child.pid}, or end it\\)`),
      });
      vi.restoreAllMocks();
      expect(content()).toBe('a|1\n');
      const over = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGCONT');
      expect(await over).toBe(0);
      await db.set('b', '1');
      expect(content()).toBe('a|2\nb|1\n');
    } finally {
      vi.restoreAllMocks();
      child.kill('SIGKILL');
    }
  });

  it('never loses a change among calls of one process', async () => {
    await Promise.all(Array.from({ length: 20 }, (_, i) => db.set(`option.n${i}`, String(i))));
    expect(db.entries()).toHaveLength(20);
  });

  it('never loses a change among processes', async () => {
    const script = join(root, 'writer.mjs');
    writeFileSync(
      script,
      `import { openConfigDb, openRoot } from ${INSIDE};
       const db = openConfigDb(openRoot(${JSON.stringify(root)}));
       for (let i = 0; i < 15; i++) await db.set('p' + process.argv[2] + '.n' + i, 'x');`,
    );
    const children = [1, 2, 3].map((n) => spawn(process.execPath, [script, String(n)]));
    const codes = await Promise.all(children.map((child) => new Promise((resolve) => child.on('exit', resolve))));
    expect(codes).toEqual([0, 0, 0]);
    expect(db.entries()).toHaveLength(45);
  });
});

describe('names', () => {
  it('are read with and without a language', () => {
    expect(parseOptionKey('a.b')).toEqual({ option: 'a.b', language: null });
    expect(parseOptionKey('a.b;LANG-fr')).toEqual({ option: 'a.b', language: 'lang-fr' });
    expect(() => parseOptionKey('a.b;')).toThrow(expect.objectContaining({ code: 'CONF_LANGUAGE' }));
    expect(() => parseOptionKey('a.b;x|y')).toThrow(expect.objectContaining({ code: 'CONF_LANGUAGE' }));
  });

  it('survive any bytes', () => {
    let x = 7;
    for (let round = 0; round < 20_000; round++) {
      const bytes = Buffer.alloc(round % 40);
      for (let i = 0; i < bytes.length; i++) {
        x = (Math.imul(x, 1103515245) + 12345) >>> 0;
        bytes[i] = (x >>> 16) % 3 === 0 ? (x >>> 8) % 256 : 'ab.|;-'.charCodeAt((x >>> 8) % 6);
      }
      const entry = parseConfigLine(bytes);
      if (entry !== undefined) expect(parseOptionKey(entry.option).option).toBe(entry.option);
    }
  });
});

describe('the path of a partition', () => {
  const check = (value: string, current = '', inUse = false) =>
    checkOptionChange('store.partition.sales.path', value, current, () => inUse);

  it('is known by its option name', () => {
    expect(partitionOfOption('store.partition.Sales.path')).toBe('sales');
    expect(partitionOfOption('store.partition.path')).toBeUndefined();
    expect(partitionOfOption('store.partition.sales.pathx')).toBeUndefined();
  });

  it.each(['relative', './x', '/a/../b', '/a/.'])('is never %j', async (value) => {
    await expect(check(value)).rejects.toMatchObject({ code: 'CONF_PARTITION_PATH', exit: 2 });
  });

  it('changes only while no migrated mail is there', async () => {
    await expect(check('/new', '/old')).resolves.toBeUndefined();
    await expect(check('/new', '/old', true)).rejects.toMatchObject({ code: 'CONF_PARTITION_IN_USE', exit: 3 });
    await expect(check('', '/old', true)).rejects.toMatchObject({ code: 'CONF_PARTITION_IN_USE' });
    await expect(check('/old', '/old', true)).resolves.toBeUndefined();
  });
});
