import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { afterEach, describe, expect, it } from 'vitest';
import { lookupAccount } from '../../src/config/account.js';
import { accountIdsByCommand } from '../../src/config/nss.js';
import { type AccountIds, loadAddon } from '../../src/fs/addon.js';

const path = process.env.PATH;
afterEach(() => {
  process.env.PATH = path;
});

const idOf = (...flags: string[]) => Number(spawnSync('id', flags, { encoding: 'utf8' }).stdout);

/** Must not be reached: the name is none. */
function never(): AccountIds {
  throw new Error('asked');
}

const addon = loadAddon();
const ways = new Map([['getent', accountIdsByCommand]]);
if (addon !== undefined) ways.set('the addon', (user, group) => addon.accountIds(user, group));

describe.each([...ways])('the server account, by %s', (_, lookup) => {
  it('is looked up by name', () => {
    expect(lookupAccount('mail', 'mail', lookup)).toEqual({
      user: 'mail',
      group: 'mail',
      uid: idOf('-u', 'mail'),
      gid: idOf('-g', 'mail'),
      groups: [idOf('-g', 'mail')],
    });
  });

  it('may have another group than its own, which comes first', () => {
    const gid = idOf('-g', 'daemon');
    expect(lookupAccount('mail', 'daemon', lookup)).toMatchObject({ gid, groups: [gid] });
  });

  it.each([
    ['no-such-user', 'mail'],
    ['mail', 'no-such-group'],
    ['no-such-user', 'no-such-group'],
    ['0', 'mail'],
    ['mail', '0'],
    ['8', '8'],
    ['MAIL', 'mail'],
  ])('%j with group %j is CONF_ACCOUNT', (user, group) => {
    expect(() => lookupAccount(user, group, lookup)).toThrow(
      expect.objectContaining({ code: 'CONF_ACCOUNT', exit: 3 }),
    );
  });
});

describe('names of accounts', () => {
  it.each(['', '-', '--help', '-x', 'mail:x', 'a,b', 'a b', 'a\tb', 'a\u00a0b', 'a\0b', ' mail', 'mail\n'])(
    '%j is none, and nobody is asked for it',
    (name) => {
      expect(() => lookupAccount(name, 'mail', never)).toThrow(expect.objectContaining({ code: 'CONF_ACCOUNT' }));
      expect(() => lookupAccount('mail', name, never)).toThrow(expect.objectContaining({ code: 'CONF_ACCOUNT' }));
    },
  );

  it.each([
    ['x', true],
    ['a-b_c.d$', true],
    ['ü'.repeat(256), true],
    ['ü'.repeat(257), false],
    // Two units each.
    ['😀'.repeat(256), true],
    ['😀'.repeat(257), false],
    [`${'😀'.repeat(255)}xx`, false],
    ['x'.repeat(1_000_000), false],
  ])('have 1 to 256 characters: %#', (name, isOne) => {
    const ids = { uid: 1, gid: 2, groups: [2] };
    const account = () => lookupAccount(name, 'mail', () => ids);
    if (isOne) expect(account()).toEqual({ user: name, group: 'mail', ...ids });
    else expect(account).toThrow(expect.objectContaining({ code: 'CONF_ACCOUNT' }));
  });
});

it('a user database that does not answer is another error than an account that does not exist', () => {
  const broken = () => {
    throw Object.assign(new Error('EIO: Input/output error, getpwnam'), { code: 'EIO', syscall: 'getpwnam' });
  };
  expect(() => lookupAccount('mail', 'mail', broken)).toThrow(
    expect.objectContaining({ code: 'CONF_ACCOUNT_LOOKUP', exit: 3, cause: expect.objectContaining({ code: 'EIO' }) }),
  );
});

it('the account is found in the local files when there is no getent', () => {
  const empty = mkdtempSync(`${tmpdir()}/mailhaul-path-`);
  const expected = accountIdsByCommand('mail', 'mail');
  process.env.PATH = empty;
  expect(accountIdsByCommand('mail', 'mail')).toEqual(expected);
  rmSync(empty, { recursive: true });
});

/** Accounts of this machine, each with the group of the next one. */
describe.skipIf(addon === undefined)('the addon and getent', () => {
  it('answer the same', () => {
    const names = (database: string): string[] =>
      spawnSync('getent', [database], { encoding: 'utf8' })
        .stdout.split('\n')
        .map((line) => line.split(':')[0] ?? '')
        .filter((name) => name !== '');
    const groups = names('group');
    for (const [i, user] of names('passwd').slice(0, 6).entries()) {
      const group = groups[(i + 1) % groups.length] ?? 'root';
      expect(addon?.accountIds(user, group)).toEqual(accountIdsByCommand(user, group));
    }
  });

  it('takes strings only', () => {
    const call = addon?.accountIds as unknown as (...values: unknown[]) => unknown;
    for (const values of [[], ['mail'], ['mail', 8], [null, 'mail']]) expect(() => call(...values)).toThrow(TypeError);
  });
});
