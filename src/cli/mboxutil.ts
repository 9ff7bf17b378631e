#!/usr/bin/env node
/**
 * `mboxutil`: lists the mailboxes of a 4.x store and shows their messages (commands.md).
 *
 *     mboxutil -l [-p pattern] [-x]      mailboxes; -x with path and ACL
 *     mboxutil --dump [mailbox]          messages of one mailbox, or of all
 *
 * With `--json` one object a line. A mailbox in TRANSITION has no messages to dump: they are in 3.x still. While a
 * reset is unfinished, what it has not begun to remove is shown, with a warning; after that it refuses.
 */
import { type BareInstance, completeInstance, openBareInstance } from '../config/instance.js';
import { partitionPaths } from '../config/partition-paths.js';
import { EXIT, type ExitCode, MailhaulError, messageOf } from '../errors.js';
import { closeDir, type Dir, openRoot, stat } from '../fs/dir.js';
import { MAILBOX_DATABASE_FILE, openMailboxDatabase } from '../store/database.js';
import { loadDigest } from '../store/digest.js';
import { type DumpedMessage, dumpMailbox } from '../store/dump.js';
import { openMailboxDirectory } from '../store/layout.js';
import { listMailboxes, type MailboxListing } from '../store/listing.js';
import { formatMailboxName, parseMailboxName } from '../store/names.js';
import type { MailboxDatabase, MailboxRecord } from '../store/types.js';
import { unfinishedReset } from '../upgrade/reset-mark.js';
import {
  type CommonFlags,
  instanceOf,
  makeCommand,
  printError,
  runCommand,
  standardOutput,
  startIfMain,
  usageError,
  visible,
} from './common.js';

interface Flags extends CommonFlags {
  readonly list?: boolean;
  readonly pattern?: string;
  readonly extended?: boolean;
  /** true: all mailboxes. */
  readonly dump?: string | true;
}

/** Runs the command; returns the exit code. */
export function mboxutil(argv: readonly string[]): Promise<ExitCode> {
  const program = makeCommand('mboxutil', 'Lists the mailboxes of a 4.x store and shows their messages.')
    .option('-l, --list', 'list mailboxes')
    .option('-p, --pattern <pattern>', 'only names that match; * is anything, % anything but /')
    .option('-x, --extended', 'with path and ACL')
    .option('--dump [mailbox]', 'show the messages of one mailbox, or of all');
  return runCommand<Flags>(program, argv, async (flags) => {
    if ((flags.list === true) === (flags.dump !== undefined)) throw usageError('mboxutil', 'Give either -l or --dump.');
    if (flags.dump !== undefined && (flags.pattern !== undefined || flags.extended === true)) {
      throw usageError('mboxutil', '-p and -x go with -l.');
    }
    const bare = openBareInstance(instanceOf(flags));
    try {
      await heedUnfinishedReset(bare);
      const instance = completeInstance(bare);
      const database = await openMailboxDatabase(instance.mboxlist, { owner: instance.owner, readOnly: true });
      try {
        if (flags.dump === undefined) return list(database, flags, partitionPaths(instance));
        return await dump(database, flags, flags.dump === true ? undefined : flags.dump);
      } finally {
        await database.close();
      }
    } finally {
      bare.close();
    }
  });
}

/** Warns while a reset restores, refuses (exit 3) once it has begun to remove or the database is gone. */
async function heedUnfinishedReset(instance: BareInstance): Promise<void> {
  const reset = await unfinishedReset(instance);
  if (reset === undefined) return;
  const there = instance.mboxlist !== undefined && stat(instance.mboxlist, MAILBOX_DATABASE_FILE) !== undefined;
  if (reset.stage === 'removing' || !there) throw reset.error;
  printError('mboxutil', reset.error);
}

function list(database: MailboxDatabase, flags: Flags, partitionPath: (name: string) => string | undefined): ExitCode {
  if (flags.json !== true) standardOutput.write(headLine(flags.extended === true));
  for (const { record: _, ...listing } of listMailboxes(database, partitionPath, flags.pattern)) {
    if (flags.json === true) standardOutput.json(listing);
    else standardOutput.write(listLine(listing, flags.extended === true));
    if (standardOutput.closed) break;
  }
  return EXIT.ok;
}

function headLine(extended: boolean): string {
  return `${'msgs'.padStart(8)} ${'Kbytes'.padStart(10)}  ${'partition'.padEnd(16)} ${'state'.padEnd(14)} mailbox${extended ? '  path  acl' : ''}\n`;
}

function listLine(mailbox: MailboxListing, extended: boolean): string {
  const kilobytes = String(Math.ceil(mailbox.bytes / 1024)).padStart(10);
  const line = `${String(mailbox.messages).padStart(8)} ${kilobytes}  ${visible(mailbox.partition).padEnd(16)} ${mailbox.state.padEnd(14)} ${visible(mailbox.name)}`;
  if (!extended) return `${line}\n`;
  const acl = mailbox.acl.map(({ identifier, rights }) => `${identifier} ${rights}`).join(', ');
  return `${line}  ${visible(mailbox.path ?? '-')}  ${visible(acl === '' ? '-' : acl)}\n`;
}

async function dump(database: MailboxDatabase, flags: Flags, mailbox: string | undefined): Promise<ExitCode> {
  await loadDigest();
  const partitions = new Map<string, Dir>();
  let exit: ExitCode = EXIT.ok;
  try {
    for (const record of mailbox === undefined ? database.list() : [findMailbox(database, mailbox)]) {
      if (!dumpOne(record, partitions, flags)) exit = EXIT.partial;
      if (standardOutput.closed) break;
    }
  } finally {
    for (const dir of partitions.values()) closeDir(dir);
  }
  return exit;
}

function findMailbox(database: MailboxDatabase, name: string): MailboxRecord {
  const parsed = parseMailboxName(name);
  const record = parsed === undefined ? undefined : database.get(formatMailboxName(parsed.uid, parsed.components));
  if (record === undefined) {
    throw new MailhaulError('MBOX_MISSING', 'There is no such mailbox.', {
      where: name,
      hint: 'mboxutil -l lists the names: user/<uid>/<folder>.',
      exit: EXIT.partial,
    });
  }
  return record;
}

/** Prints one mailbox; false when something of it could not be read, which is printed on standard error. */
function dumpOne(record: MailboxRecord, partitions: Map<string, Dir>, flags: Flags): boolean {
  if (record.state === 'TRANSITION') return true;
  let sound = true;
  let directory: Dir | undefined;
  try {
    directory = openDirectory(record, partitions);
    for (const item of dumpMailbox(directory, record.name)) {
      if (item.kind === 'problem') {
        sound = false;
        printError('mboxutil', item.error);
      } else if (flags.json === true) standardOutput.json(item.message);
      else standardOutput.write(messageLine(item.message));
      if (standardOutput.closed) break;
    }
  } catch (error) {
    sound = false;
    printError('mboxutil', mailboxError(error, record.name));
  } finally {
    if (directory !== undefined) closeDir(directory);
  }
  return sound;
}

function openDirectory(record: MailboxRecord, partitions: Map<string, Dir>): Dir {
  const root = record.root ?? '';
  const partition = partitions.get(root) ?? openRoot(root);
  partitions.set(root, partition);
  const directory = openMailboxDirectory(partition, record.owner, record.name);
  if (directory !== undefined) return directory;
  throw new MailhaulError('MBOX_DIRECTORY', 'The mailbox directory does not exist.', { where: root });
}

function mailboxError(error: unknown, mailbox: string): MailhaulError {
  if (error instanceof MailhaulError) {
    const hint = error.hint === undefined ? {} : { hint: error.hint };
    return new MailhaulError(error.code, error.message, {
      where: [mailbox, error.where].filter(Boolean).join(', '),
      ...hint,
    });
  }
  const reason = messageOf(error);
  return new MailhaulError('MBOX_UNREADABLE', `The mailbox cannot be read: ${reason}.`, {
    where: mailbox,
    cause: error,
  });
}

function messageLine(message: DumpedMessage): string {
  const date = new Date(message.internaldate * 1000);
  const shown = Number.isNaN(date.getTime()) ? String(message.internaldate) : date.toISOString();
  const flags = visible(message.flags.join(' '));
  return `${visible(message.mailbox)} ${message.uid} ${shown} ${message.size} (${flags}) ${message.sha256 ?? '-'}\n`;
}

await startIfMain(import.meta.url, 'mboxutil', mboxutil);
