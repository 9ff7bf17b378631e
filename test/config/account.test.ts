import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { afterEach, describe, expect, it } from 'vitest';
import { lookupAccount } from '../../src/config/account.js';

const path = process.env.PATH;
afterEach(() => {
  process.env.PATH = path;
});

const idOf = (...flags: string[]) => Number(spawnSync('id', flags, { encoding: 'utf8' }).stdout);

describe('the server account', () => {
  it('is looked up by name', () => {
    expect(lookupAccount('mail', 'mail')).toEqual({
      ...{
        user: 'mail',
        group: 'mail',
        uid: idOf('-u', 'mail'),
        gid: idOf('-g', 'mail'),
        groups: [idOf('-g', 'mail')],
      },
    });
  });

  it('may have another group than its own', () => {
    expect(lookupAccount('mail', 'daemon').gid).toBe(idOf('-g', 'daemon'));
  });

  it('is found in the local files when there is no getent', () => {
    const empty = mkdtempSync(`${tmpdir()}/mailhaul-path-`);
    const expected = lookupAccount('mail', 'mail');
    process.env.PATH = empty;
    expect(lookupAccount('mail', 'mail')).toEqual(expected);
    rmSync(empty, { recursive: true });
  });

  it.each([
    ['no-such-user', 'mail'],
    ['mail', 'no-such-group'],
    ['0', 'mail'],
    ['--help', 'mail'],
    ['', 'mail'],
    ['mail:x', 'mail'],
    ['a\0b', 'mail'],
  ])('%j with group %j is CONF_ACCOUNT', (user, group) => {
    expect(() => lookupAccount(user, group)).toThrow(expect.objectContaining({ code: 'CONF_ACCOUNT', exit: 3 }));
  });
});
