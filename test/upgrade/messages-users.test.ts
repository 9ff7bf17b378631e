/** `upgrade -u` as real processes on generated stores: whose folders a run takes; and what is wrong usage. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { reportOf, type TestSite } from '../support/site.js';
import { newSite, removeSites, upgraded } from './messages-support.js';

afterEach(removeSites);

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
    expect(reportOf(result).errors.map(({ user }) => user)).toEqual(['nobody-here', '', elsewhere]);
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
    [['-m', '-t', '257'], /whole number from 1 to 256\./],
    [['-m', '-t', '0'], /whole number from 1 to 256\./],
    [['-m', '-q', '1000000'], /whole number from 1 to 999999\./],
    [['-m', '--lock-wait', '1000000'], /whole number of seconds from 0 to 999999\./],
    [['-m', '--store-path', '/x'], /--store-path does not go with -m/],
    [['-m', '--folder', 'x'], /--folder does not go with -m/],
    [['-m', '--native', '--no-native'], /--native does not go with --no-native/],
    [['-m', '--no-native', '--native'], /--native does not go with --no-native/],
    [['-m', '--no-such'], /unknown option/],
  ])('exits with 2: %j', (args, expected) => {
    const made = newSite({ users: 1, folders: 1, messages: 1 });
    const result = made.run('upgrade', ...args);
    expect(result.status).toBe(2);
    expect(result.stderr).toMatch(expected);
  });
});
