import { expect, it } from 'vitest';
import { HELP, settingsOf, UsageError } from '../../bench/settings.js';

const asRoot = (...args: string[]) => settingsOf(args, true)!;

it('measures warm, with both engines and three rounds, unless told otherwise', () => {
  const { cold, engines, rounds, threads, messages } = asRoot();
  expect({ cold, engines, rounds, threads, messages }).toEqual({
    cold: [false],
    engines: ['native', 'portable'],
    rounds: 3,
    threads: [2],
    messages: 100_000,
  });
});

it('takes several directories, and partitions elsewhere', () => {
  const settings = asRoot('--dir', '/a', '--dir', '/b', '--partition-dir', '/c');
  expect(settings.directories).toEqual(['/a', '/b']);
  expect(settings.across).toBe(true);
});

it('measures both temperatures when both are named', () => {
  expect(asRoot('--cold', '--warm').cold).toEqual([false, true]);
  expect(asRoot('--cold').cold).toEqual([true]);
});

it('measures a given store cold as root, which is how it will be found', () => {
  expect(asRoot('--like', '/mail').cold).toEqual([true]);
  expect(asRoot('--like', '/mail', '--warm').cold).toEqual([false]);
  expect(settingsOf(['--like', '/mail', '--dir', '/a'], false)!.cold).toEqual([false]);
});

it('runs cases five times', () => {
  expect(asRoot('--case', 'cold').rounds).toBe(5);
  expect(asRoot('--case', 'cold', '--rounds', '1').rounds).toBe(1);
});

it.each([
  [['--messages', '0']],
  [['--messages', 'many']],
  [['--gaps', '1.5']],
  [['--gaps', '']],
  [['--gaps', '1']],
  [['--scale', '-1']],
  [['--sizes', 'huge']],
  [['--engines', 'steam']],
  [['--threads', '']],
  [['--dir', '/a', '--fs', 'xfs']],
  [['--dir', '/a', '--across']],
  [['--partition-dir', '/a']],
  [['--case', 'cold', '--like', '/mail']],
  [['--unknown']],
])('refuses %j', (args) => {
  expect(() => settingsOf(args, true)).toThrow(UsageError);
});

it('needs root to empty the page cache, and to mount', () => {
  expect(() => settingsOf(['--dir', '/a', '--cold'], false)).toThrow('root');
  expect(() => settingsOf([], false)).toThrow('root');
  expect(settingsOf(['--dir', '/a'], false)!.cold).toEqual([false]);
});

it('has every option in its help', () => {
  const known = ['dir', 'partition-dir', 'fs', 'disks', 'across', 'image-dir', 'seed', 'messages', 'folders', 'spread'];
  const more = ['size', 'sizes', 'attachments', 'gaps', 'recipients', 'bare-lf', 'like', 'like-messages', 'engines'];
  const last = ['threads', 'competitors', 'warm', 'cold', 'remove', 'rounds', 'case', 'scale', 'json', 'html', 'help'];
  for (const option of [...known, ...more, ...last]) expect(HELP).toContain(`--${option}`);
  expect(settingsOf(['--help'], false)).toBeUndefined();
});
