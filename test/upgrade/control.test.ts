import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { closeDir, type Dir, openRoot } from '../../src/fs/dir.js';
import { CONTROL_FILE, ControlFile, formatControl, parseControl, writeControl } from '../../src/upgrade/control.js';
import { Throttle } from '../../src/upgrade/throttle.js';
import { codeOf } from './small-store.js';

const parse = (text: string) => parseControl(Buffer.from(text, 'latin1'));

describe('parseControl', () => {
  it('reads what is named, and nothing else', () => {
    expect(parse('version 1\nbwlimit 20M\niops 500\nnice yes\n')).toEqual({
      bwlimit: 20 * 1024 ** 2,
      iops: 500,
      nice: true,
    });
    expect(parse('# at night\r\n\r\n  bwlimit = 0  \r\n')).toEqual({ bwlimit: 0 });
    expect(parse('')).toEqual({});
  });

  it('reads what formatControl writes', () => {
    for (const change of [{}, { bwlimit: 5e6 }, { iops: 0, nice: false }, { bwlimit: 0, iops: 7, nice: true }]) {
      expect(parse(formatControl(change))).toEqual(change);
    }
  });

  it.each([
    'bwlimit\n',
    'bwlimit fast\n',
    'bwlimit 5M fast\n',
    'nice maybe\n',
    'threads 5\n',
    'version 2\nbwlimit 5M\n',
    'bwlimit 5M\nbwlimit 6M\n',
    'nice toString\n',
    'constructor 1\n',
    '\xff\xfe\x00\n',
    `#${'x'.repeat(5000)}\n`,
  ])('takes nothing of %j', (text) => {
    expect(codeOf(() => parse(text))).toBe('CONTROL_FILE');
  });

  it('takes no half of a number: every line has an end', () => {
    expect(codeOf(() => parse('nice yes\nbwlimit 2'))).toBe('CONTROL_FILE');
  });

  it('tells the line, short and without control characters', () => {
    expect(() => parse(`nice yes\nx\u0007${'y'.repeat(100)}\n`)).toThrow(/^Line 2 cannot be read: x\?y{38}; nothing/);
  });
});

describe('ControlFile', () => {
  let directory: string;
  let dir: Dir;
  const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  beforeEach(() => {
    directory = fs.mkdtempSync(join(tmpdir(), 'mailhaul-control-'));
    dir = openRoot(directory);
  });
  afterEach(() => {
    closeDir(dir);
    fs.rmSync(directory, { recursive: true });
  });

  it('does not take what lies there from before', () => {
    writeControl(dir, { bwlimit: 5 }, owner);
    expect(new ControlFile(dir, owner.uid).changed()).toBeUndefined();
  });

  it('takes each file once', () => {
    const file = new ControlFile(dir, owner.uid);
    writeControl(dir, { bwlimit: 5 }, owner);
    expect(file.changed()).toEqual({ bwlimit: 5 });
    expect(file.changed()).toBeUndefined();
    writeControl(dir, { bwlimit: 5 }, owner);
    expect(file.changed()).toEqual({ bwlimit: 5 });
    fs.rmSync(join(directory, CONTROL_FILE));
    expect(file.changed()).toBeUndefined();
  });

  it('tells a file that cannot be taken once', () => {
    const file = new ControlFile(dir, owner.uid);
    fs.writeFileSync(join(directory, CONTROL_FILE), 'x\n');
    expect(codeOf(() => file.changed())).toBe('CONTROL_FILE');
    expect(file.changed()).toBeUndefined();
  });

  it('is read later when no descriptor is free', () => {
    const file = new ControlFile(dir, owner.uid);
    writeControl(dir, { bwlimit: 5 }, owner);
    const filled: number[] = [];
    const limit = (soft: string) => execFileSync('prlimit', [`--pid=${process.pid}`, `--nofile=${soft}:`]);
    const before = /^Max open files\s+(\d+)/m.exec(fs.readFileSync('/proc/self/limits', 'utf8'))?.[1] ?? '';
    limit('512');
    try {
      expect(() => {
        for (;;) filled.push(fs.openSync('/dev/null', 'r'));
      }).toThrow('EMFILE');
      expect(file.changed()).toBeUndefined();
    } finally {
      for (const fd of filled) fs.closeSync(fd);
      limit(before);
    }
    expect(file.changed()).toEqual({ bwlimit: 5 });
    expect(file.changed()).toBeUndefined();
  });

  it.each([
    ['a link', (path: string) => fs.symlinkSync('/etc/passwd', path)],
    ['a directory', (path: string) => fs.mkdirSync(path)],
    ['a large file', (path: string) => fs.writeFileSync(path, '#\n'.repeat(1e6))],
  ])('%s is none', (_, make) => {
    const file = new ControlFile(dir, owner.uid);
    make(join(directory, CONTROL_FILE));
    expect(codeOf(() => file.changed())).toBe('CONTROL_FILE');
  });

  it('changes what it names; the rest of the limits stays, and what cannot be taken is told', () => {
    const file = new ControlFile(dir, owner.uid);
    const throttle = new Throttle({ bwlimit: 1024, iops: 7, nice: false });
    const told: string[] = [];
    const look = (): void => throttle.look(file, (level, line) => told.push(`${level} ${line}`));
    look();
    writeControl(dir, { iops: 0 }, owner);
    look();
    expect(throttle.report()).toMatchObject({ bwlimit: 1024, iops: 0, nice: false, changes: 1 });
    fs.writeFileSync(join(directory, CONTROL_FILE), 'bwlimit 0\n\n?\n');
    look();
    look();
    expect(throttle.text()).toBe('limit 1K/s');
    expect(told).toEqual([
      'Notice upgrade.control: limit 1K/s from now on',
      expect.stringMatching(/^Warning CONTROL_FILE: Line 3 cannot be read: \?/),
    ]);
  });
});
