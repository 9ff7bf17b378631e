#!/usr/bin/env node
/**
 * `hashdir [-a] [-i] account`: where in a partition the directory of an account lies (docs/formats/partition.md).
 *
 *     hashdir joe        78/67/
 *     hashdir -a joe     78/67/=joe/
 *     hashdir -i         asks for accounts until the input ends
 */
import { createInterface } from 'node:readline';
import { EXIT, type ExitCode, MailhaulError } from '../errors.js';
import { escapeComponent, userHash } from '../store/names.js';
import {
  type CommonFlags,
  makeCommand,
  printError,
  runCommand,
  standardOutput,
  startIfMain,
  usageError,
} from './common.js';

interface Flags extends CommonFlags {
  readonly append?: boolean;
  readonly interactive?: boolean;
}

/** Runs the command; returns the exit code. */
export function hashdir(argv: readonly string[]): Promise<ExitCode> {
  const program = makeCommand(
    'hashdir',
    'Prints the hash directories of an account, relative to =user in its partition.',
  )
    .argument('[account]', 'uid')
    .option('-a, --append', 'append the account’s own directory')
    .option('-i, --interactive', 'ask for accounts until the input ends');
  return runCommand<Flags>(program, argv, async (flags, [account]) => {
    if (flags.interactive === true) {
      if (account !== undefined) throw usageError('hashdir', '-i asks for the accounts: name none.');
      return askForAccounts(flags);
    }
    if (account === undefined) throw usageError('hashdir', 'No account was named.');
    printAccount(account, flags);
    return EXIT.ok;
  });
}

async function askForAccounts(flags: Flags): Promise<ExitCode> {
  const prompt = process.stdin.isTTY ? 'Account: ' : '';
  let exit: ExitCode = EXIT.ok;
  process.stderr.write(prompt);
  for await (const line of createInterface({ input: process.stdin })) {
    const account = line.trim();
    if (account === '') continue;
    try {
      printAccount(account, flags);
    } catch (error) {
      printError('hashdir', error);
      exit = EXIT.partial;
    }
    standardOutput.flush();
    process.stderr.write(prompt);
  }
  return exit;
}

function printAccount(account: string, flags: Flags): void {
  if (!/^[\x21-\x7e]+$/.test(account) || account.includes('/')) {
    throw new MailhaulError('USER_INVALID', 'This is not a valid uid.', { where: account, exit: EXIT.usage });
  }
  const own = flags.append === true ? `${escapeComponent(account)}/` : '';
  const directory = `${userHash(account).join('/')}/${own}`;
  if (flags.json === true) standardOutput.json({ account, directory });
  else standardOutput.write(`${directory}\n`);
}

await startIfMain(import.meta.url, 'hashdir', hashdir);
