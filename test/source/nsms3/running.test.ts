import { spawn, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { refuseWhileRunning, serverState } from '../../../src/source/nsms3/running.js';
import { type TestFolder, testFolder, unprivileged } from './folder.js';

let instance: TestFolder;
beforeEach(() => {
  instance = testFolder();
});
afterEach(() => instance.remove());
const pidFile = (content: string) => instance.write('NscpMail.pid', content);

describe('NscpMail.pid', () => {
  test('absent: stopped', () => {
    expect(serverState(instance.dir)).toEqual({ kind: 'stopped' });
  });

  test('a live process: running', async () => {
    const child = spawn('sleep', ['30']);
    const ended = new Promise((resolve) => child.on('exit', resolve));
    try {
      pidFile(`${child.pid}\n`);
      expect(serverState(instance.dir)).toEqual({ kind: 'running', pid: child.pid });
    } finally {
      child.kill();
    }
    await ended;
    expect(serverState(instance.dir)).toEqual({ kind: 'stopped' });
  });

  test('a process of another account is alive too', () => {
    const root = process.getuid?.() === 0;
    const child = root ? spawn('sleep', ['30'], { uid: 8, stdio: 'ignore' }) : undefined;
    const pid = child?.pid ?? 1;
    try {
      pidFile(`${pid}\n`);
      unprivileged(() => {
        expect(() => process.kill(pid, 0)).toThrow(expect.objectContaining({ code: 'EPERM' }));
        expect(serverState(instance.dir)).toEqual({ kind: 'running', pid });
      });
    } finally {
      child?.kill();
    }
  });

  test('a process that has ended: stopped', () => {
    const { pid } = spawnSync('true');
    pidFile(`${pid}\n`);
    expect(serverState(instance.dir)).toEqual({ kind: 'stopped' });
  });

  test.each(['', '\n', 'x', '0', '-1', '12 13', '4294967296', '99999999999999999999', '\0\0\0', '1.5', '0x10'])(
    'content %j names no process',
    (content) => {
      pidFile(content);
      expect(serverState(instance.dir).kind).toBe('unknown');
    },
  );

  test('a link or a huge file in its place is not read', () => {
    fs.symlinkSync('/proc/self/stat', `${instance.path}/NscpMail.pid`);
    expect(serverState(instance.dir).kind).toBe('unknown');
    fs.rmSync(`${instance.path}/NscpMail.pid`);
    pidFile('1'.repeat(5000));
    expect(serverState(instance.dir).kind).toBe('unknown');
  });
});

describe('the refusal', () => {
  const refuse = (kind: 'running' | 'unknown' | 'stopped', stale: boolean) => () =>
    refuseWhileRunning(instance.dir, kind === 'running' ? { kind, pid: 7 } : { kind, reason: 'empty' }, stale);

  test('running and unknown are refused with exit 3, unless the administrator says that the pid is stale', () => {
    expect(refuse('running', false)).toThrow(expect.objectContaining({ code: 'SOURCE_RUNNING', exit: 3 }));
    expect(refuse('unknown', false)).toThrow(expect.objectContaining({ code: 'SOURCE_PID_FILE', exit: 3 }));
    expect(refuse('running', true)).not.toThrow();
    expect(refuse('unknown', true)).not.toThrow();
    expect(refuse('stopped', false)).not.toThrow();
  });
});
