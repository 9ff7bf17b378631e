import { appendFileSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openDirectory } from '../../src/directory/open.js';
import type { DirectoryItem } from '../../src/directory/types.js';
import { MailhaulError } from '../../src/errors.js';
import { allItems, failureOf, HOST, problemsOf, readText, record, usersOf } from './support.js';

const uids = (items: readonly DirectoryItem[]) => usersOf(items).map((user) => user.uid);
const base64 = (text: string) => Buffer.from(text).toString('base64');
/** Message of the first problem. */
const message = (items: readonly DirectoryItem[]) => items.find((item) => item.kind === 'problem')?.message ?? '';

describe('LDIF that RFC 2849 allows', () => {
  it('is read in file order, other entries left out', async () => {
    const items = await readText(
      `version: 1\n\ndn: o=airius.com\nobjectClass: organization\no: airius.com\n\n${record('bob')}${record('eve')}` +
        record('other').replace(HOST, 'other.host'),
    );
    expect(uids(items)).toEqual(['bob', 'eve']);
    expect(problemsOf(items)).toEqual([]);
  });

  it('may have CRLF, a byte order mark and several empty lines', async () => {
    const text = `\ufeffversion: 1\n${record('bob')}\n\n\n${record('eve').trimEnd()}\n`;
    const items = await readText(text.replaceAll('\n', '\r\n'));
    expect(uids(items)).toEqual(['bob', 'eve']);
    expect(items.filter(({ kind }) => kind !== 'user')).toEqual([]);
  });

  it.each([
    ['in a value', `${record('bob')}${record('eve', 'mailMessageStore: /mail/sales').replace('les\n\n', '')}`, 'eve'],
    [
      'in a folded line',
      `${record('bob')}${record('eve', 'mailMessageStore: /ma\n il/sales').replace('les\n\n', '')}`,
      'eve',
    ],
  ])(
    'is taken, with a warning, when it ends without a line end %s: the value may have lost its end',
    async (_, text, uid) => {
      const items = await readText(text);
      expect(usersOf(items).at(-1)).toMatchObject({ uid, storePath: '/mail/sa' });
      expect(items.at(-1)).toMatchObject({ kind: 'warning', code: 'DIR_LDIF_CUT', dn: usersOf(items).at(-1)?.dn });
      const warnings = (of: readonly DirectoryItem[]) => of.filter(({ kind }) => kind === 'warning').length;
      expect(warnings(items)).toBe(1);
      // Whole, with comments after it or not.
      expect(warnings(await readText(`${text}\n`))).toBe(0);
      expect(warnings(await readText(`${text}\n\n# end`))).toBe(0);
    },
  );

  it('gives the warning of an entry right behind its user, and none of one that is skipped', async () => {
    const large = 'mailQuota: 9223372036854775807';
    const items = await readText(`${record('bob', large)}${record('eve', large)}${record('EVE')}`);
    expect(items.map((item) => (item.kind === 'user' ? item.uid : item.code))).toEqual([
      'bob',
      'DIR_QUOTA_LARGE',
      'DIR_DUPLICATE_UID',
      'DIR_DUPLICATE_UID',
    ]);
  });

  it('may fold lines anywhere, also within a name, a value and base64', async () => {
    const store = base64('/disk2/mail');
    const items = await readText(
      record('bob', `mailMessage\n Store:\n : ${store.slice(0, 5)}\n ${store.slice(5)}\nmailQu\n ota: 1\n 2\n \n 3`),
    );
    expect(usersOf(items)[0]).toMatchObject({ uid: 'bob', storePath: '/disk2/mail', quota: 123 });
  });

  it('may have comments, folded ones and within entries', async () => {
    const items = await readText(`# users\n  dn: uid=evil\n${record('bob', '# mailQuota: 1\n 2\nmailQuota: 7')}#`);
    expect(usersOf(items)).toMatchObject([{ uid: 'bob', quota: 7 }]);
    expect(problemsOf(items)).toEqual([]);
  });

  it('may have DNs and values in base64', async () => {
    const items = await readText(
      `dn:: ${base64('uid=bob,ou=Zürich')}\nOBJECTCLASS:: ${base64('mailRecipient')}\nUID:: ${base64('bob')}\n` +
        `MAILHOST: ${HOST}\nmaildeliveryoption: MAILBOX\ncn:: ${base64('Ünal')}\n`,
    );
    expect(usersOf(items)).toMatchObject([{ uid: 'bob', dn: 'uid=bob,ou=Zürich', cn: 'Ünal' }]);
  });

  it('may have no blank or many after the colon', async () => {
    const items = await readText(record('bob', 'mailMessageStore:/disk2\nmailQuota:     9'));
    expect(usersOf(items)[0]).toMatchObject({ storePath: '/disk2', quota: 9 });
  });

  it('may add entries as changes', async () => {
    const items = await readText(
      record('bob').replace('\nobjectClass', '\ncontrol: 1.2.3 true\nchangetype: add\nobjectClass'),
    );
    expect(uids(items)).toEqual(['bob']);
  });

  it('may hold values of any size that do not matter here', async () => {
    const photo = `jpegPhoto:: ${'QUFB'.repeat(500_000)}\naudio:< file:///etc/shadow\n`;
    expect(uids(await readText(record('bob', photo) + record('eve')))).toEqual(['bob', 'eve']);
  });

  it('may name attributes with options, which are other values', async () => {
    expect(usersOf(await readText(record('bob', 'uid;lang-fr: robert')))[0]?.uid).toBe('bob');
  });
});

describe('LDIF that is wrong', () => {
  it.each([
    ['a line without a colon', 'garbage'],
    ['a name that is none', 'mail quota: 5'],
    ['bad base64', 'mailMessageStore:: %%%%'],
    ['cut base64', 'mailMessageStore:: QUJ'],
    ['a value by URL', 'mailMessageStore:< file:///etc/passwd'],
  ])('with %s skips that record, names the line, and goes on', async (_, line) => {
    const items = await readText(record('ann') + record('bob', line) + record('eve'));
    expect(uids(items)).toEqual(['ann', 'eve']);
    expect(problemsOf(items)).toEqual(['DIR_LDIF uid=bob,o=airius.com']);
    expect(message(items)).toMatch(/^Line 12: /);
  });

  it.each([
    ['plain', 'userPassword: {SSHA}aGVsbG8\nhunter2'],
    ['base64', 'userPassword:: aGVsbG8g\nhunter2=='],
    ['with a colon in it', 'userPassword: {x}\nhunter2 hunter2:1'],
  ])('by a password that was folded without a blank shows nothing of it: %s', async (_, lines) => {
    const items = await readText(record('bob', lines));
    expect(problemsOf(items)).toEqual(['DIR_LDIF uid=bob,o=airius.com']);
    expect(JSON.stringify(items)).not.toContain('hunter2');
  });

  it('without a DN is one problem a record', async () => {
    const items = await readText(`uid: ann\nmailHost: ${HOST}\nx: y\n\n${record('bob')}`);
    expect(problemsOf(items)).toEqual(['DIR_LDIF']);
    expect(uids(items)).toEqual(['bob']);
  });

  it('with two entries in one record skips the first, whose end is not sure', async () => {
    const items = await readText(`${record('ann').trimEnd()}\n${record('bob')}`);
    expect(problemsOf(items)).toEqual(['DIR_LDIF uid=ann,o=airius.com']);
    expect(uids(items)).toEqual(['bob']);
  });

  it.each(['delete', 'modify', 'moddn', 'modrdn', 'zap'])(
    'with change type %s reports that record once',
    async (type) => {
      const items = await readText(`dn: uid=ann\nchangetype: ${type}\nreplace: mail\nmail: x\n-\n\n${record('bob')}`);
      expect(problemsOf(items)).toEqual(['DIR_LDIF_CHANGE uid=ann']);
      expect(uids(items)).toEqual(['bob']);
    },
  );

  it('with a value that is too long reports it in bounded memory', async () => {
    const items = await readText(record('bob', `mailMessageStore: /${'a'.repeat(3_000_000)}`) + record('eve'));
    expect(problemsOf(items)).toEqual(['DIR_ENTRY_SIZE uid=bob,o=airius.com']);
    expect(uids(items)).toEqual(['eve']);
  });

  it('with values without end reports the record', async () => {
    const items = await readText(record('bob', 'mail: x@airius.com\n'.repeat(60_000)) + record('eve'));
    expect(problemsOf(items)).toEqual(['DIR_ENTRY_SIZE uid=bob,o=airius.com']);
    expect(uids(items)).toEqual(['eve']);
  });

  it('folded into a million lines is read in linear time', async () => {
    const start = performance.now();
    const items = await readText(record('bob', `description: x${'\n y'.repeat(1_000_000)}`));
    expect(uids(items)).toEqual(['bob']);
    expect(performance.now() - start).toBeLessThan(10_000);
  });

  it('of another version is reported', async () => {
    expect(problemsOf(await readText(`version: 2\n\n${record('bob')}`))).toEqual(['DIR_LDIF']);
    expect(message(await readText('version: \x1b[2J'))).toContain('“\\x1b[2J”');
  });

  it('with hostile entries yields no path from them', async () => {
    const hostile = ['../../etc', '.ssh', '-rf', 'a/b', 'group=x', '__upfolder.db', 'anyone', 'a\\b', 'x\u0001y', 'é'];
    const items = await readText(
      hostile.map((uid) => record('x', '', 'uid=x').replace('uid: x', `uid:: ${base64(uid)}`)).join(''),
    );
    expect(problemsOf(items)).toEqual(hostile.map(() => 'DIR_UID uid=x'));
  });
});

describe('output of ldapsearch', () => {
  it('is read with its closing lines', async () => {
    const items = await readText(
      `${record('bob')}# search result\nsearch: 2\nresult: 0 Success\n\n# numResponses: 2\n`,
    );
    expect(uids(items)).toEqual(['bob']);
    expect(problemsOf(items)).toEqual([]);
  });

  it('of a search that hit a limit is refused before the first user', async () => {
    await expect(readText(`${record('bob')}search: 2\nresult: 4 Size limit exceeded\n`)).rejects.toMatchObject({
      code: 'DIR_PARTIAL',
      exit: 3,
    });
  });
});

describe('a uid in two entries', () => {
  it('skips and reports both, without case, wherever they are', async () => {
    const many = Array.from({ length: 3000 }, (_, i) => record(`u${i}`)).join('');
    const items = await readText(record('Bob', '', 'uid=Bob,ou=a') + many + record('bOB', '', 'uid=bOB,ou=b'));
    expect(problemsOf(items)).toEqual(['DIR_DUPLICATE_UID uid=Bob,ou=a', 'DIR_DUPLICATE_UID uid=bOB,ou=b']);
    expect(usersOf(items)).toHaveLength(3000);
  });

  it('counts an entry that breaks another rule', async () => {
    const items = await readText(
      record('bob', 'mailQuota: x', 'uid=1') + record('BOB', '', 'uid=2') + record('bob', '!', 'uid=3'),
    );
    expect(problemsOf(items)).toEqual(['DIR_QUOTA uid=1', 'DIR_DUPLICATE_UID uid=2', 'DIR_LDIF uid=3']);
  });

  it('does not count entries of another server', async () => {
    const items = await readText(record('bob') + record('bob').replace(HOST, 'other'));
    expect(uids(items)).toEqual(['bob']);
  });
});

describe('the file', () => {
  it.each([
    ['missing', () => undefined],
    ['a directory', (path: string) => symlinkSync(tmpdir(), path)],
  ])('%s is DIR_FILE', async (_, make) => {
    const directory = mkdtempSync(join(tmpdir(), 'mailhaul-ldif-'));
    try {
      make(join(directory, 'x.ldif'));
      const open = () => openDirectory({ location: join(directory, 'x.ldif'), hostName: HOST });
      expect(open).toThrow(expect.objectContaining({ code: 'DIR_FILE', exit: 3 }));
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it('that grows while it is read is DIR_PARTIAL, before the first user', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'mailhaul-ldif-'));
    try {
      const file = join(directory, 'x.ldif');
      writeFileSync(file, Array.from({ length: 5000 }, (_, i) => record(`u${i}`)).join(''));
      const failure = failureOf({ location: file, hostName: HOST });
      setImmediate(() => appendFileSync(file, record('late')));
      expect(await failure).toMatchObject({ error: { code: 'DIR_PARTIAL' }, items: 0 });
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it('is left at once when the run is aborted', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'mailhaul-ldif-'));
    try {
      const file = join(directory, 'x.ldif');
      writeFileSync(file, Array.from({ length: 50_000 }, (_, i) => record(`u${i}`)).join(''));
      const abort = new AbortController();
      setImmediate(() => abort.abort(new Error('stop')));
      await expect(allItems(openDirectory({ location: file, hostName: HOST }), abort.signal)).rejects.toThrow('stop');
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

describe('any bytes', () => {
  /** xorshift32: the same cases in every run. */
  const random = (seed: number) => {
    let x = seed | 1;
    return (below: number) => {
      x ^= x << 13;
      x ^= x >>> 17;
      x ^= x << 5;
      return (x >>> 0) % below;
    };
  };
  const pieces = [
    record('bob'),
    record('eve', 'mailQuota:: MTI='),
    '\n',
    '\r\n',
    ' ',
    ':',
    '::',
    ':<',
    '#',
    '-',
    '\0',
    '\xff',
  ];
  pieces.push(
    'dn: ',
    'changetype: ',
    'version: 1',
    'mailMessageStore: ',
    'search: 1\n',
    'result: 0\n',
    '\ufeff',
    '=',
    ';',
  );

  it('end in items or a MailhaulError, and never in a user that breaks a rule', async () => {
    for (let seed = 1; seed <= 1500; seed++) {
      const next = random(seed * 7919);
      let text = Array.from({ length: next(40) }, () => pieces[next(pieces.length)]).join('');
      const bytes = Buffer.from(text, 'latin1');
      for (let i = next(10); i > 0 && bytes.length > 0; i--) bytes[next(bytes.length)] = next(256);
      text = '';
      try {
        for (const user of usersOf(await readText(bytes))) {
          expect(user.uid).toMatch(/^(?![-.])[\x21-\x7e]+$/);
          expect(user.uid).not.toMatch(/[%?*&/:\\]/);
        }
      } catch (error) {
        if (!(error instanceof MailhaulError)) throw new Error(`seed ${seed}: ${String(error)}`, { cause: error });
      }
    }
  });
});
