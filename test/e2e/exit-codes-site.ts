/** What the tests of exit codes share: a small site that goes after each test, and commands without `--instance`. */
import { spawnSync } from 'node:child_process';
import { afterEach, expect } from 'vitest';
import { commandFile } from '../support/process.js';
import { INDEX } from '../upgrade/small-store.js';
import { type HandSite, handSite, putMail, type Result } from './hand-site.js';

export const NAMES = ['upgrade', 'configutil', 'mboxutil', 'hashdir', 'msg-setup'] as const;

let site: HandSite | undefined;
afterEach(() => {
  site?.remove();
  site = undefined;
});

/** One user, fred, with an INBOX of two messages; `change` before everything is given to the server account. */
export function newSite(change: (made: HandSite) => void = () => {}): HandSite {
  const made = handSite();
  site = made;
  made.store.user('fred');
  const folder = made.store.folder(made.store.mailbox, 'fred', 'INBOX', `${INDEX(7, 3)}1 9 - 1 one\n2 9 - 1 two\n`);
  putMail(folder, 'one');
  putMail(folder, 'two');
  change(made);
  made.store.finish();
  return made;
}

/** The same after `upgrade -s`. */
export function upgraded(change?: (made: HandSite) => void): HandSite {
  const made = newSite(change);
  const result = made.folders();
  if (result.status !== 0) throw new Error(result.stderr + result.stdout);
  return made;
}

/** Runs a command without `--instance`. */
export function bare(
  name: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Result {
  const env = { ...process.env, ...environment };
  if (environment.MSG_INSTANCE === undefined) delete env.MSG_INSTANCE;
  return spawnSync(process.execPath, [commandFile(name), ...args], {
    encoding: 'utf8',
    env,
    input: '',
  });
}

/** A refusal says its code on standard error, and nothing on standard output. */
export function expectRefused(result: Result, status: number, text: RegExp): void {
  expect([result.status, result.stderr]).toEqual([status, expect.stringMatching(text)]);
  expect(result.stdout).toBe('');
}
