import { createHash, randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  assignNames,
  componentName,
  escapeComponent,
  formatMailboxName,
  inboxName,
  legacyPath,
  legacyText,
  mailboxPathComponents,
  parseMailboxName,
  unescapeComponent,
  userHash,
} from '../../src/store/names.js';
import { encodeUtf7 } from '../../src/store/utf7.js';
import { decodeUtf7 } from '../support/utf7.js';

const latin1 = (text: string) => Buffer.from(text, 'latin1');

/** Names that stress every rule: short alphabets make collisions likely. */
function randomNames(count: number, length: number): Buffer[] {
  const alphabets = [
    latin1('aA'),
    latin1('%*?_'),
    Buffer.from('é日&-+., '),
    randomBytes(64).filter((b) => b !== 0x2f && b !== 0),
  ];
  return Array.from({ length: count }, (_, i) => {
    const alphabet = alphabets[i % alphabets.length]!;
    const size = 1 + (randomBytes(1)[0]! % length);
    return Buffer.from(Array.from(randomBytes(size), (byte) => alphabet[byte % alphabet.length]!));
  });
}

describe('modified UTF-7', () => {
  it.each([
    ['plain', 'plain'],
    ['a & b', 'a &- b'],
    ['~peter/mail/台北/日本語', '~peter/mail/&U,BTFw-/&ZeVnLIqe-'],
    ['Entwürfe', 'Entw&APw-rfe'],
    ['😀', '&2D3eAA-'],
    ['', ''],
  ])('encodes %s as RFC 3501 says', (text, encoded) => {
    expect(encodeUtf7(text)).toBe(encoded);
    expect(decodeUtf7(encoded)).toBe(text);
  });

  it.each(['&', '&AOk', '&AOkA-', 'é', '&AGE-', '&U,BTFw-&ZeVnLIqe-'])(
    'refuses %s, which no text encodes to',
    (name) => {
      expect(decodeUtf7(name)).toBeUndefined();
    },
  );
});

describe('3.x names', () => {
  it('are UTF-8 where all of the name decodes, else ISO-8859-1', () => {
    expect(legacyText(Buffer.from('Entwürfe'))).toBe('Entwürfe');
    expect(legacyText(latin1('Entw\xfcrfe'))).toBe('Entwürfe');
    expect(legacyText(Buffer.from([0xc3, 0xa9, 0xff]))).toBe('Ã©ÿ');
    expect(legacyText(Buffer.from('\ufeffx'))).toBe('\ufeffx');
    expect(legacyPath([latin1('\xe9'), Buffer.from('b')])).toBe('é/b');
  });

  it('lose the characters that 4.x forbids', () => {
    expect(componentName(latin1('50% *why?*\x01\x7f'))).toBe('50_ _why____');
    expect(componentName(latin1('a\x85b'))).toBe('a_b');
    expect(componentName(Buffer.from('R&D'))).toBe('R&-D');
  });
});

describe('assignNames', () => {
  const names = (raws: Buffer[], options = { topLevel: false }) => assignNames(raws, options).map(({ name }) => name);

  it('gives a collision to the name that needed no change, whatever the order', () => {
    const suffix = createHash('sha256').update('a%').digest('hex').slice(0, 8);
    expect(names([latin1('a%'), latin1('a_')])).toEqual([`a_~${suffix}`, 'a_']);
    expect(names([latin1('a_'), latin1('a%')])).toEqual(['a_', `a_~${suffix}`]);
  });

  it('gives a collision of changed names to the first by bytes', () => {
    const [first, second] = assignNames([latin1('a?'), latin1('a*')], { topLevel: false });
    expect(second).toMatchObject({ name: 'a_', collided: false });
    expect(first!.name).toMatch(/^a_~[0-9a-f]{8}$/);
    expect(first!.collided).toBe(true);
  });

  it('tells ISO-8859-1 and UTF-8 spellings of one text apart', () => {
    expect(names([latin1('\xe9'), Buffer.from('é')])).toEqual([expect.stringMatching(/^&AOk-~/), '&AOk-']);
  });

  it('reserves INBOX at the top only, also when there is none', () => {
    expect(names([latin1('INBOX'), latin1('Inbox'), latin1('inbox')], { topLevel: true })).toEqual([
      'INBOX',
      expect.stringMatching(/^Inbox~/),
      expect.stringMatching(/^inbox~/),
    ]);
    expect(names([latin1('inbox')], { topLevel: true })[0]).toMatch(/^inbox~/);
    expect(names([latin1('inbox'), latin1('INBOX')])).toEqual(['inbox', 'INBOX']);
  });

  it('keeps the names of an earlier run', () => {
    const fixed = new Map([['a%', 'a_']]);
    const assigned = assignNames([latin1('a%'), latin1('a_')], { topLevel: false, fixed });
    expect(assigned.map(({ name }) => name)).toEqual(['a_', expect.stringMatching(/^a_~/)]);
  });

  it('takes more digits when the suffixed name is a folder too', () => {
    const suffix = createHash('sha256').update('a%').digest('hex');
    const taken = `a_~${suffix.slice(0, 8)}`;
    expect(names([latin1('a%'), latin1('a_'), latin1(taken)])).toEqual([`a_~${suffix.slice(0, 16)}`, 'a_', taken]);
  });

  it('is injective and independent of the order', () => {
    for (let round = 0; round < 200; round++) {
      const raws = [...new Map(randomNames(60, 3).map((raw) => [raw.toString('latin1'), raw])).values()];
      const forward = assignNames(raws, { topLevel: true });
      expect(new Set(forward.map(({ name }) => name)).size).toBe(raws.length);
      expect(assignNames([...raws].reverse(), { topLevel: true }).reverse()).toEqual(forward);
      for (const { name } of forward) expect(name).toMatch(/^[ -$&-)+->@-~]+$/);
    }
  });
});

describe('directory names', () => {
  it.each([
    ['Sent Mail', '=+sent%s+mail'],
    ['a.b', '=a%db'],
    ['..', '=%d%d'],
    ['100%', '=100%p'],
    ['&AOk-', '=%a+a+ok-'],
    ['c++', '=c%l%l'],
    ['~', '=%x7e'],
    ['user@example.com', '=user@example%dcom'],
  ])('escape %s as %s and back', (component, directory) => {
    expect(escapeComponent(component)).toBe(directory);
    expect(unescapeComponent(directory)).toEqual({ kind: 'name', component });
  });

  it('are reversible, at most 255 bytes, and distinct where case is ignored', () => {
    const seen = new Map<string, string>();
    for (const raw of randomNames(20_000, 60)) {
      const component = componentName(raw);
      const directory = escapeComponent(component);
      expect(directory.length).toBeLessThanOrEqual(255);
      expect(directory).toBe(directory.toLowerCase());
      const earlier = seen.get(directory);
      if (earlier !== undefined) expect(earlier).toBe(component);
      seen.set(directory, component);
      const back = unescapeComponent(directory);
      if (back?.kind === 'cut') expect(component.startsWith(back.prefix)).toBe(true);
      else expect(back).toEqual({ kind: 'name', component });
    }
  });

  it('are cut after a whole escape, with the hash of the name', () => {
    for (const length of [254, 255, 300, 3000]) {
      const component = '~'.repeat(length);
      const directory = escapeComponent(component);
      expect(directory).toMatch(/^=(%x7e)+%h[0-9a-f]{16}$/);
      expect(directory.length).toBeLessThanOrEqual(255);
      expect(directory.endsWith(createHash('sha256').update(component).digest('hex').slice(0, 16))).toBe(true);
      expect(unescapeComponent(directory)).toMatchObject({ kind: 'cut' });
    }
    expect(escapeComponent('a'.repeat(254))).toBe(`=${'a'.repeat(254)}`);
    expect(escapeComponent('a'.repeat(255))).toMatch(/^=a{236}%h/);
  });

  it.each(['', '=', 'x', '=A', '=%', '=%z', '=+', '=+9', '=%x61', '=.', '=a/b', '=%x2', '=é', '=a\nb'])(
    'that are never written are known: %j',
    (directory) => {
      expect(unescapeComponent(directory)).toBeUndefined();
    },
  );
});

describe('mailbox names', () => {
  it('are parsed, INBOX without case', () => {
    expect(parseMailboxName('user/joe/inbox')).toEqual({ uid: 'joe', components: ['INBOX'] });
    expect(parseMailboxName('user/joe/Inbox/x')).toEqual({ uid: 'joe', components: ['INBOX', 'x'] });
    expect(parseMailboxName('user/joe/a/INBOX')).toEqual({ uid: 'joe', components: ['a', 'INBOX'] });
    for (const bad of ['', 'user', 'user/joe', 'user/joe/', 'user//a', 'user/joe/a//b', 'x/joe/a']) {
      expect(parseMailboxName(bad)).toBeUndefined();
    }
    expect(formatMailboxName('joe', ['a', 'b'])).toBe('user/joe/a/b');
    expect(inboxName('joe')).toBe('user/joe/INBOX');
  });

  it('lead to a directory; the INBOX is the directory of the user', () => {
    const hash = createHash('sha256').update('joe').digest('hex');
    const hashes = ['=user', hash.slice(0, 2), hash.slice(2, 4)];
    expect(userHash('JOE')).toEqual(userHash('joe'));
    expect(mailboxPathComponents('Joe', 'user/Joe/INBOX')).toEqual([...hashes, '=+joe']);
    expect(mailboxPathComponents('joe', 'user/joe/inbox/x')).toEqual([...hashes, '=joe', '=+i+n+b+o+x', '=x']);
    expect(mailboxPathComponents('joe', 'user/joe/a/B')).toEqual([...hashes, '=joe', '=a', '=+b']);
    expect(() => mailboxPathComponents('joe', 'user/ann/a')).toThrow(/mailbox name/);
  });
});
