import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { MailhaulError } from '../../src/errors.js';
import type { MappingUser } from '../../src/upgrade/types.js';
import { parseUserList, readUserList, userListFileName, userListHeader } from '../../src/upgrade/userlists.js';
import { ACCOUNT } from './small-store.js';

const users = new Map<string, MappingUser>(
  [
    ['fred', 'primary', '/mail/box'],
    ['anna', 'primary', '/mail/box'],
    ['bob', 'sales', '/mail/sales'],
  ].map(([uid, partition, storePath]) => [
    uid!,
    { uid: uid!, partition: partition!, storePath: storePath!, quota: null },
  ]),
);
const lookup = (uid: string) => users.get(uid);
const HEADER = '[4x partition]:primary\n[3x MailStorePath]:/mail/box\n#---------List of mail user id ------\n';
const parse = (text: string | Buffer, size = 7) => {
  const bytes = Buffer.from(text);
  const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
    bytes.subarray(i * size, (i + 1) * size),
  );
  return parseUserList(chunks, lookup, 'list');
};

describe('user lists', () => {
  it('have the name and the three header lines of the guide', () => {
    expect(userListFileName('marketing')).toBe('__up.marketing.txt');
    expect(userListHeader('primary', '/mail/box')).toBe(HEADER);
  });

  it('give their users in order, with or without a last line end, in chunks of any size', () => {
    for (const size of [1, 2, 7, 4096]) {
      expect(parse(`${HEADER}fred\nanna\n`, size).users).toEqual(['fred', 'anna']);
      expect(parse(`${HEADER}fred\nanna`, size).users).toEqual(['fred', 'anna']);
    }
    expect(parse(HEADER)).toMatchObject({ partition: 'primary', storePath: '/mail/box', users: [], errors: [] });
  });

  it('are refused with exit 2 when a header line is not exact', () => {
    const lines = HEADER.split('\n');
    const wrong = [
      '',
      'fred\n',
      HEADER.replaceAll('\n', '\r\n'),
      HEADER.replace('[4x partition]:', '[4x Partition]:'),
      HEADER.replace('primary', ''),
      HEADER.replace('primary', ' primary'),
      HEADER.replace('primary', 'prim.ary'),
      HEADER.replace('MailStorePath]:', 'MailStorePath]: '),
      HEADER.replace('------\n', '-----\n'),
      ` ${HEADER}`,
      `${lines[1]}\n${lines[0]}\n${lines[2]}\n`,
      `${'x'.repeat(100_000)}\n${HEADER}`,
    ];
    for (const text of wrong) {
      let error: unknown;
      try {
        parse(text);
      } catch (caught) {
        error = caught;
      }
      expect(error, JSON.stringify(text.slice(0, 60))).toBeInstanceOf(MailhaulError);
      expect(error).toMatchObject({ code: 'USERLIST_HEADER', exit: 2 });
    }
    expect(() => parse(`${lines[0]}\nmail\n`)).toThrow(/Line 2/);
  });

  it('name bad lines by number, and the good ones go on', () => {
    const list = parse(`${HEADER}fred\n\nnobody\nbob\n with space\n${'u'.repeat(9999)}\nfred\nanna\n`);
    expect(list.users).toEqual(['fred', 'anna']);
    expect(list.errors.map(({ line, code }) => [line, code])).toEqual([
      [5, 'USERLIST_BLANK'],
      [6, 'USERLIST_UNKNOWN'],
      [7, 'USERLIST_ELSEWHERE'],
      [8, 'USERLIST_LINE'],
      [9, 'USERLIST_LINE'],
    ]);
    expect(list.warnings).toMatchObject([{ line: 10, code: 'USERLIST_REPEATED' }]);
    expect(list.errors[2]!.message).toContain('partition sales, /mail/sales');
  });

  it('take a store path with doubled or trailing slashes as the same path', () => {
    expect(parse(`${HEADER.replace('/mail/box', '//mail//box/')}fred\n`).users).toEqual(['fred']);
  });

  it('of garbage end in errors, in linear time, with few of them in memory', () => {
    const garbage = Buffer.alloc(4 << 20);
    for (let i = 0, state = 1; i < garbage.length; i += 1) {
      state = (state * 1103515245 + 12345) & 0x7fffffff;
      garbage[i] = state >> 16;
    }
    const started = performance.now();
    const list = parse(Buffer.concat([Buffer.from(HEADER), garbage, Buffer.alloc(30_000, '\n')]), 65536);
    expect(performance.now() - started).toBeLessThan(5000);
    expect(list.users).toEqual([]);
    expect(list.errors).toHaveLength(10_000);
    expect(list.errorsNotListed).toBeGreaterThan(10_000);
    // One line of many megabytes.
    expect(parse(Buffer.concat([Buffer.from(HEADER), Buffer.alloc(8 << 20, 'x')]), 65536).errors).toHaveLength(1);
  });

  it('show nothing of a line that a terminal would obey', () => {
    for (const line of ['\x1b[2J', 'a\x7f', 'b\u009b', '\u0085']) {
      const [error] = parse(Buffer.from(`${HEADER}${line}\n`, 'latin1')).errors;
      expect(error?.code).toBe('USERLIST_LINE');
      expect(error?.message).toMatch(/^[ -~]*$/);
    }
  });

  it('do not repeat a header of kilobytes in every message', () => {
    const header = `[4x partition]:${'p'.repeat(4000)}\n[3x MailStorePath]:/${'\u009b'.repeat(2000)}\n#---------List of mail user id ------\n`;
    const { errors } = parse(`${header}anna\n`);
    expect(errors.map(({ code }) => code)).toEqual(['USERLIST_ELSEWHERE']);
    expect(errors[0]?.message.length).toBeLessThan(1000);
    expect(errors[0]?.message).toMatch(/^[ -~…]*$/);
  });

  it('are read from a file; one that cannot be read is wrong usage', () => {
    const directory = fs.mkdtempSync(join(tmpdir(), 'mailhaul-list-'));
    try {
      fs.writeFileSync(join(directory, 'list'), `${HEADER}anna\n`);
      fs.symlinkSync('list', join(directory, 'link'));
      expect(readUserList(join(directory, 'link'), lookup).users).toEqual(['anna']);
      // The directory of the lists is the server account's: root reads nothing that a link of it leads to.
      if (process.getuid?.() === 0) {
        fs.symlinkSync('link', join(directory, 'second'));
        expect(readUserList(join(directory, 'second'), lookup).users).toEqual(['anna']);
        fs.lchownSync(join(directory, 'link'), ACCOUNT.uid, ACCOUNT.gid);
        for (const name of ['link', 'second'])
          expect(() => readUserList(join(directory, name), lookup)).toThrow(/link of another account is not followed/);
      }
      for (const name of ['none', '.']) {
        expect(() => readUserList(join(directory, name), lookup)).toThrow(
          expect.objectContaining({ code: 'USERLIST_FILE', exit: 2 }),
        );
      }
    } finally {
      fs.rmSync(directory, { recursive: true });
    }
  });
});
