import { describe, expect, it } from 'vitest';
import { nameFolders, pathKey, subscriptionName } from '../../src/upgrade/folders-names.js';

const path = (text: string): Uint8Array[] => text.split('/').map((name) => new Uint8Array(Buffer.from(name)));
const names = (paths: string[], known: Record<string, string> = {}, taken: string[] = []) => {
  const result = nameFolders({
    uid: 'u',
    paths: paths.map(path),
    known: Object.entries(known).map(([folder, mailbox]) => ({ path: path(folder), mailbox })),
    isTaken: (mailbox) => taken.includes(mailbox),
  });
  return Object.fromEntries([...result].map(([key, { mailbox }]) => [key, mailbox]));
};

describe('4.x names of a user’s folders', () => {
  it('do not depend on the order of the folders', () => {
    const folders = ['INBOX', 'inbox', 'a*', 'a%', 'a_', 'a*/x', 'a%/x'];
    const expected = names(folders);
    expect(names([...folders].reverse())).toEqual(expected);
    expect(new Set(Object.values(expected)).size).toBe(folders.length);
    expect(expected.a_).toBe('user/u/a_');
  });

  it('begin with the name of the parent, also when the parent was not read', () => {
    expect(names(['a/b/c'])).toEqual({ a: 'user/u/a', 'a/b': 'user/u/a/b', 'a/b/c': 'user/u/a/b/c' });
    expect(names(['p*/x', 'p_'])['p*/x']).toMatch(/^user\/u\/p_~[0-9a-f]{8}\/x$/);
  });

  it('stay what an earlier run made them, at every level', () => {
    const known = { 'a*/x': 'user/u/a_~00000000/x' };
    expect(names(['a*', 'a*/x', 'a*/y', 'a_'], known)).toEqual({
      'a*': 'user/u/a_~00000000',
      'a*/x': 'user/u/a_~00000000/x',
      'a*/y': 'user/u/a_~00000000/y',
      a_: 'user/u/a_',
    });
  });

  it('are not those of mailboxes made in 4.x', () => {
    expect(names(['made', 'free'], {}, ['user/u/made'])).toEqual({
      made: expect.stringMatching(/^user\/u\/made~[0-9a-f]{8}$/),
      free: 'user/u/free',
    });
    // A name of an earlier run is the folder's own, whoever asks.
    expect(names(['made'], { made: 'user/u/made' }, ['user/u/made'])).toEqual({ made: 'user/u/made' });
  });

  it('of subscriptions follow known folders as far as they go', () => {
    const known = new Map([['a*', 'user/u/a_~00000000']]);
    const name = (text: string) => subscriptionName('u', path(text), (key) => known.get(key));
    expect([name('a*'), name('a*/new%'), name('none/b')]).toEqual([
      'user/u/a_~00000000',
      'user/u/a_~00000000/new_',
      'user/u/none/b',
    ]);
  });

  it('of a subscription of many levels ask for each level until one is not known', () => {
    const levels = path('d/'.repeat(30_000).slice(0, -1));
    const known = new Map([
      ['d', 'user/u/d'],
      ['d/d', 'user/u/d/d'],
    ]);
    const asked: string[] = [];
    const name = subscriptionName('u', levels, (key) => {
      asked.push(key);
      return known.get(key);
    });
    expect(name).toBe(`user/u/${'d/'.repeat(30_000).slice(0, -1)}`);
    expect(asked).toEqual(['d', 'd/d', 'd/d/d']);
  });

  it('of a deep nest of folders take time in proportion to the length of the paths', () => {
    const levels = path('d/'.repeat(1000).slice(0, -1));
    const paths = levels.map((_, level) => levels.slice(0, level + 1));
    const input = { uid: 'u', paths, isTaken: () => false };
    const started = performance.now();
    const result = nameFolders({ ...input, known: [] });
    const known = paths.map((folder) => ({ path: folder, mailbox: result.get(pathKey(folder))!.mailbox }));
    expect(nameFolders({ ...input, known })).toEqual(result);
    // A few million steps; each level of each path in turn would be a thousand times as many.
    expect(performance.now() - started).toBeLessThan(15_000);
  });
});
