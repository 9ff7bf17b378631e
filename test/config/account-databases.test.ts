/** User databases as a test wants them: a process with its own /etc/passwd, /etc/group and /etc/nsswitch.conf. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { loadAddon } from '../../src/fs/addon.js';
import { INSIDE } from '../support/process.js';

/** Prints what both ways answer, or the codes of what they throw. */
const SCRIPT = `
  const { accountIdsByCommand, lookupAccount } = await import(${INSIDE});
  const answers = [undefined, accountIdsByCommand].map((lookup) => {
    try { return lookupAccount(process.argv[1], process.argv[2], lookup); }
    catch (error) { return { code: error.code, call: error.cause?.syscall }; }
  });
  console.log(JSON.stringify(answers));`;

let etc: string;

beforeEach((ctx) => {
  const missing =
    loadAddon() === undefined
      ? 'there is no addon'
      : spawnSync('unshare', ['-m', 'mount', '--bind', tmpdir(), tmpdir()]).status !== 0
        ? 'needs root (unshare, mount)'
        : undefined;
  if (missing !== undefined) {
    console.log(`skipped: ${ctx.task.name}: ${missing}`);
    ctx.skip(missing);
  }
  etc = fs.mkdtempSync(`${tmpdir()}/mailhaul-etc-`);
  fs.writeFileSync(`${etc}/nsswitch.conf`, 'passwd: files\ngroup: files\n');
  fs.writeFileSync(
    `${etc}/passwd`,
    'root:x:0:0:root:/root:/bin/sh\nposty:x:700:701::/:/bin/sh\n12:x:712:701::/:/bin/sh\n',
  );
  fs.writeFileSync(`${etc}/group`, 'root:x:0:\npostys:x:701:\n');
});

afterEach(() => {
  if (etc !== undefined) fs.rmSync(etc, { recursive: true, force: true });
});

/** By the addon, and by getent. */
function answers(user: string, group: string): unknown[] {
  const binds = ['nsswitch.conf', 'passwd', 'group'].map((name) => `mount --bind '${etc}/${name}' /etc/${name}`);
  const shell = `${binds.join(' && ')} && exec "$@"`;
  const node = [process.execPath, '--input-type=module', '-e', SCRIPT, user, group];
  const ran = spawnSync('unshare', ['-m', 'sh', '-c', shell, 'sh', ...node], { encoding: 'utf8' });
  expect(ran.stderr).toBe('');
  return JSON.parse(ran.stdout) as unknown[];
}

it('entries of any length, and users in any number of groups, are found', () => {
  const members = Array.from({ length: 20_000 }, (_, i) => `member${i}`).join(',');
  const groups = Array.from({ length: 500 }, (_, i) => `many${i}:x:${1000 + i}:posty\n`).join('');
  fs.appendFileSync(`${etc}/group`, `crowd:x:900:${members},posty\n${groups}`);
  const gids = [900, ...Array.from({ length: 500 }, (_, i) => 1000 + i)];
  const expected = { user: 'posty', group: 'crowd', uid: 700, gid: 900, groups: gids };
  expect(answers('posty', 'crowd')).toEqual([expected, expected]);
});

it('a number is no account, not even where one is called so', () => {
  expect(answers('700', 'postys')).toMatchObject([{ code: 'CONF_ACCOUNT' }, { code: 'CONF_ACCOUNT' }]);
  expect(answers('posty', '701')).toMatchObject([{ code: 'CONF_ACCOUNT' }, { code: 'CONF_ACCOUNT' }]);
  expect(answers('12', 'postys')).toMatchObject([{ code: 'CONF_ACCOUNT' }, { code: 'CONF_ACCOUNT' }]);
});

it('a database that cannot be read is told, by the call that failed', () => {
  for (const [name, call] of [
    ['passwd', 'getpwnam'],
    ['group', 'getgrnam'],
  ] as const) {
    const content = fs.readFileSync(`${etc}/${name}`);
    fs.rmSync(`${etc}/${name}`);
    // It can be opened, but there is nothing at 0 that could be read (EIO).
    fs.symlinkSync(`/proc/${process.pid}/mem`, `${etc}/${name}`);
    expect(answers('posty', 'postys')[0]).toEqual({ code: 'CONF_ACCOUNT_LOOKUP', call });
    fs.rmSync(`${etc}/${name}`);
    fs.writeFileSync(`${etc}/${name}`, content);
  }
});
