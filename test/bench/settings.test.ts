import { expect, it } from 'vitest';
import { HELP, OPTIONS, settingsOf, UsageError } from '../../bench/settings.js';

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

it.each([
  [['--case', 'cold', '--messages', '10'], '--messages'],
  [['--case', 'cold', '--threads', '4'], '--threads'],
  [['--case', 'cold', '--warm'], '--warm'],
  [['--like', '/mail', '--sizes', 'mail'], '--sizes'],
  [['--like-messages', '10'], '--like-messages'],
  [['--scale', '0.1'], '--scale'],
  [['--dir', '/a', '--disks', '2'], '--disks'],
  [['--attachments', '0.1'], '--attachments'],
])('refuses %j, of which %s would do nothing', (args, option) => {
  expect(() => settingsOf(args, true)).toThrow(`${option} chooses nothing here`);
});

it('knows what it can compare with', () => {
  expect(asRoot('--competitors', 'cat,floor').competitors).toEqual(['cat', 'floor']);
  expect(() => asRoot('--competitors', 'cp-al')).toThrow('cp-al is none of cat, cp -al, cp -a, rsync -a, floor');
});

it('has every option in its help', () => {
  for (const option of Object.keys(OPTIONS)) expect(HELP).toMatch(new RegExp(`--${option}(?![\\w-])`));
  expect(settingsOf(['--help'], false)).toBeUndefined();
});
