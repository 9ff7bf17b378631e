import { describe, expect, it } from 'vitest';
import { faultOfUid, isUserOf, parseQuota, parseStorePath, validateEntry } from '../../src/directory/validate.js';
import { HOST } from './support.js';

const entry = (attributes: Record<string, string[]>) => ({
  dn: 'uid=x,o=airius.com',
  attributes: new Map(Object.entries(attributes).map(([name, values]) => [name, values.map((v) => Buffer.from(v))])),
});
const uidFault = (uid: string) => faultOfUid(Buffer.from(uid, 'latin1'));
const path = (...values: string[]) => parseStorePath(values.map((value) => Buffer.from(value, 'latin1')));

describe('a uid', () => {
  it.each(['bob', 'Bob.Smith', 'a-b_c', "o'neil", 'x@airius.com', '~', '!', 'group', 'any', '_', '1', 'up__'])(
    'may be %s',
    (uid) => {
      expect(uidFault(uid)).toBeUndefined();
    },
  );

  it.each(['%', '?', '*', '&', '/', ':', '\\'])('never holds %s', (character) => {
    expect(uidFault(`a${character}b`)).toBeDefined();
  });

  it('holds bytes 21 to 7E only', () => {
    for (let byte = 0; byte < 256; byte++) {
      const printable = byte >= 0x21 && byte <= 0x7e && !'%?*&/:\\'.includes(String.fromCharCode(byte));
      expect(uidFault(`a${String.fromCharCode(byte)}b`) === undefined, `byte ${byte}`).toBe(printable);
    }
  });

  it.each([
    '',
    '-bob',
    '.bob',
    '.',
    '..',
    'group=',
    'group=staff',
    '__up',
    '__up.primary.txt',
    'anyone',
    'anybody',
    'anonymous',
    'Anyone',
  ])('is never “%s”', (uid) => {
    expect(uidFault(uid)).toBeDefined();
  });
});

describe('an entry of any size', () => {
  it('gives a user of bounded size: a long DN is cut, a uid that no path can hold is refused', () => {
    const attributes = { uid: ['bob'], mail: ['m'.repeat(1 << 20)], cn: ['c'.repeat(1 << 20)] };
    const { item } = validateEntry({ ...entry(attributes), dn: 'x'.repeat(1 << 24) });
    expect(item).toMatchObject({ kind: 'user', uid: 'bob' });
    expect(JSON.stringify(item).length).toBeLessThan(10_000);
    expect(uidFault('u'.repeat(4096))).toBeUndefined();
    expect(uidFault('u'.repeat(4097))).toBe('is longer than 4096 bytes');
  });
});

describe('a store path', () => {
  it('is normalised', () => {
    expect(path('/disk2/mail')).toEqual({ path: '/disk2/mail' });
    expect(path('//disk2///mail//')).toEqual({ path: '/disk2/mail' });
    expect(path('/')).toEqual({ path: '/' });
    expect(path('/disk2/..mail/.x')).toEqual({ path: '/disk2/..mail/.x' });
  });

  it('may be absent, and may be given twice the same', () => {
    expect(path()).toEqual({ path: null });
    expect(path('/a', '/a')).toEqual({ path: '/a' });
  });

  it.each([
    '',
    'disk2',
    './disk2',
    '/disk2/../etc',
    '/disk2/.',
    '/..',
    '/a\nb',
    '/a\x7fb',
    '/a\0',
    '/a\xff',
    `/${'a'.repeat(4096)}`,
  ])('is never %j', (text) => {
    expect(path(text)).toHaveProperty('fault');
  });

  it('is one path', () => {
    expect(path('/a', '/b')).toHaveProperty('fault');
  });
});

describe('a quota', () => {
  const quota = (text: string) => parseQuota([Buffer.from(text)]);

  it('is decimal bytes; 0 is no limit, absent the default', () => {
    expect(parseQuota([])).toEqual({ bytes: null, isReduced: false });
    expect(quota('0')).toEqual({ bytes: 0, isReduced: false });
    expect(quota('20971520')).toEqual({ bytes: 20971520, isReduced: false });
    expect(quota(' 7 ')).toEqual({ bytes: 7, isReduced: false });
    expect(quota('9007199254740991')).toEqual({ bytes: 2 ** 53 - 1, isReduced: false });
  });

  it.each(['9007199254740992', '9223372036854775807', '9'.repeat(64)])(
    'of %s is the most that 4.x can hold',
    (text) => {
      expect(quota(text)).toEqual({ bytes: 2 ** 53 - 1, isReduced: true });
    },
  );

  it.each(['', '-1', '1k', '0x10', '1e3', '1.5', '9'.repeat(65), '٣'])('is never %j', (text) => {
    expect(quota(text)).toHaveProperty('fault');
  });
});

describe('the filter', () => {
  const user = { objectclass: ['top', 'MAILRECIPIENT'], mailhost: [HOST], maildeliveryoption: ['Mailbox'] };

  it('compares names and values without case', () => {
    expect(isUserOf(entry(user), 'MAIL.Airius.Com')).toBe(true);
    expect(isUserOf(entry({ ...user, mailhost: [` ${HOST} `] }), HOST)).toBe(true);
  });

  it('takes nsMessagingServerUser too, and one value of several', () => {
    const both = { objectclass: ['nsMessagingServerUser'], maildeliveryoption: ['program', 'mailbox'] };
    expect(isUserOf(entry({ ...user, ...both }), HOST)).toBe(true);
  });

  it.each([
    ['another host', { mailhost: ['mail2.airius.com'] }],
    ['no host', { mailhost: [] }],
    ['another delivery', { maildeliveryoption: ['program'] }],
    ['no delivery', { maildeliveryoption: [] }],
    ['no class', { objectclass: ['person'] }],
  ])('leaves out %s', (_, change) => {
    expect(isUserOf(entry({ ...user, ...change }), HOST)).toBe(false);
  });
});

describe('an entry', () => {
  it('becomes a user with the first uid, case kept', () => {
    const found = validateEntry(
      entry({ uid: ['Bob', 'robert'], mailmessagestore: ['/d//m/'], mailquota: ['5'], mail: ['b@x'], cn: ['B'] }),
    );
    expect(found.uid).toBe('Bob');
    expect(found.item).toEqual({
      ...{ kind: 'user', uid: 'Bob', storePath: '/d/m', quota: 5, mail: 'b@x', cn: 'B' },
      dn: 'uid=x,o=airius.com',
    });
  });

  it.each([
    ['DIR_NO_UID', {}],
    ['DIR_UID', { uid: ['../etc'] }],
    ['DIR_STORE_PATH', { uid: ['bob'], mailmessagestore: ['../etc'] }],
    ['DIR_QUOTA', { uid: ['bob'], mailquota: ['much'] }],
  ])('that breaks a rule becomes %s', (code, attributes) => {
    expect(validateEntry(entry(attributes)).item).toMatchObject({ kind: 'problem', code });
  });

  it('with a quota that 4.x cannot hold becomes a user, with a warning', () => {
    const found = validateEntry(entry({ uid: ['bob'], mailquota: ['9223372036854775807'] }));
    expect(found).toMatchObject({
      item: { kind: 'user', uid: 'bob', quota: 2 ** 53 - 1 },
      warning: { kind: 'warning', code: 'DIR_QUOTA_LARGE', dn: 'uid=x,o=airius.com' },
    });
  });

  it('shows a hostile uid without its control characters', () => {
    const { item } = validateEntry(entry({ uid: ['a\nGeneral Error: forged\u001b[2J'] }));
    expect(item.kind === 'problem' && item.message).not.toMatch(/[\u0000-\u001f]/);
  });
});
