/**
 * What is looked at when nobody is at work any more: what was begun is finished, every mailbox is opened for writing as
 * the next service would, and the rest is asked of the ledger and of `--verify`.
 */
import * as path from 'node:path';
import { describeError } from '../../../src/errors.js';
import { openMailboxDatabase } from '../../../src/store/database.js';
import { changeMailbox } from '../../../src/store/mailbox/change.js';
import type { MailStore } from '../../../src/store/mailbox/held.js';
import { finishNameChanges } from '../../../src/store/mailbox/unfinished.js';
import type { Finding } from '../../../src/upgrade/verify/findings.js';
import { type Ground, OWNER } from './ground.js';
import type { Ledger } from './ledger.js';
import { type Observed, observe } from './observe.js';

/** As services leave it, then after `-s` and `-m` once more: nothing comes back, and all that waited is migrated. */
export async function audit(ground: Ground, ledger: Ledger): Promise<string[]> {
  const { commands } = ground;
  const problems: string[] = [];
  const say = (when: string, found: readonly string[]): void => {
    problems.push(...found.map((problem) => `${when}: ${problem}`));
  };
  const first = await look(ground);
  say('afterwards', [...first.problems, ...ledger.judge(first, false)]);
  for (const command of [commands.folders, commands.messages]) {
    const { status, stdout, stderr } = ground.run(command);
    if (status !== 0) say(`then ${command[0]}`, [`it ended with ${status}: ${stdout}${stderr}`.slice(0, 2_000)]);
  }
  const last = await look(ground);
  say('migrated', [...last.problems, ...ledger.judge(last, true)]);
  say('--verify', verified(ground, last));
  return problems;
}

/** Finishes what was begun, opens each mailbox as the next service would, and looks. */
export async function look(ground: Ground): Promise<Observed> {
  const umask = process.umask(0o077);
  const mailboxes = await openMailboxDatabase(path.join(ground.instance, 'store/mboxlist'), { owner: OWNER });
  try {
    const store: MailStore = { mailboxes, owner: OWNER };
    const problems = await failures('finishing', async () => {
      const holders = await finishNameChanges(store);
      if (holders !== undefined) throw new Error(`locked by ${holders.join(', ')}`);
    });
    mailboxes.refresh();
    for (const { name, to } of mailboxes.nameChanges()) problems.push(`${name} to ${to} is on record still`);
    for (const { name, state } of [...mailboxes.list()]) {
      if (state === 'TRANSITION') continue;
      problems.push(...(await failures(`opening ${name}`, () => changeMailbox(store, name, () => {}))));
    }
    mailboxes.refresh();
    const observed = observe(
      mailboxes,
      ground.partitions.map(({ root }) => root),
    );
    return { ...observed, problems: [...problems, ...observed.problems] };
  } finally {
    await mailboxes.close();
    process.umask(umask);
  }
}

async function failures(what: string, act: () => Promise<void>): Promise<string[]> {
  try {
    await act();
    return [];
  } catch (error) {
    return [`${what}: ${describeError(error)}`];
  }
}

/** Findings, but for what a killed createMailbox leaves: directories with an empty index that nothing leads to. */
function verified(ground: Ground, { empty }: Observed): string[] {
  const { status, stdout, stderr } = ground.run(ground.commands.verify);
  if (status === 0) return [];
  if (status !== 1) return [`ended with ${status}: ${stdout}${stderr}`.slice(0, 2_000)];
  const { findings } = JSON.parse(stdout) as { findings: readonly Finding[] };
  return findings
    .filter(({ severity }) => severity !== 'note')
    .filter(
      ({ code, where }) => code !== 'VERIFY_UNKNOWN_FILE' || !(empty.has(where) || empty.has(path.dirname(where))),
    )
    .map(({ code, where, message }) => `${code} ${where}: ${message}`);
}
