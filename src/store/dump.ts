/**
 * Everything that is known of every message of a mailbox, as `mboxutil --dump` shows it (commands.md): from
 * store.idx with its journal, and the hash of the stored bytes from the message file itself.
 */
import { createHash, type Hash } from 'node:crypto';
import * as fs from 'node:fs';
import { decodeCacheEntry } from '../engine/message/decode.js';
import { type ImapValue, parseImapValue } from '../engine/message/imapvalue.js';
import { FLAG } from '../engine/types.js';
import { MailhaulError, messageOf } from '../errors.js';
import { readOpen } from '../fs/descriptor.js';
import { closeDir, type Dir, displayPath, openDir } from '../fs/dir.js';
import { openFile } from '../fs/file.js';
import { openMailboxIndex } from './index/mailboxIndex.js';
import { hashDirectory, messageFile } from './layout.js';

/** One message; the fields are part of the `--json` promise. */
export interface DumpedMessage {
  readonly mailbox: string;
  readonly uid: number;
  /** Seconds since 1970 UTC. */
  readonly internaldate: number;
  /** Bytes of the stored form. */
  readonly size: number;
  /** IMAP flags: system flags with their backslash, then keywords. */
  readonly flags: readonly string[];
  /** Hex, of the stored bytes; null when the message file cannot be read. */
  readonly sha256: string | null;
  readonly envelope: ImapValue;
  readonly bodystructure: ImapValue;
}

/** A message, or what kept a part of it from being read. The message follows its problems. */
export type DumpItem =
  | { readonly kind: 'message'; readonly message: DumpedMessage }
  | { readonly kind: 'problem'; readonly error: MailhaulError };

/** Bytes read at once from message files. */
const READ_BYTES = 256 * 1024;

/**
 * Messages of the mailbox whose directory is `directory`, in ascending uid. `loadDigest()` must have been awaited.
 * Throws IDX_ and JNL_ damage that makes the index unusable, ENOENT without one.
 */
export function* dumpMailbox(directory: Dir, mailbox: string): Generator<DumpItem> {
  const index = openMailboxIndex(directory);
  const files = new MessageHasher(directory);
  try {
    for (const message of index.messages()) {
      const problems: MailhaulError[] = [];
      const where = `${mailbox}, uid ${message.uid}`;
      // Also the values in an entry: what is damaged in one message must not end the list.
      const entry = attempt(() => readEntry(message.cache()), where, problems);
      const sha256 = attempt(() => files.sha256(message.uid), where, problems);
      for (const error of problems) yield { kind: 'problem', error };
      yield {
        kind: 'message',
        message: {
          mailbox,
          uid: message.uid,
          internaldate: message.internalDate,
          size: message.size,
          flags: [...systemFlags(message.flags), ...message.keywords],
          sha256: sha256 ?? null,
          envelope: entry?.envelope ?? null,
          bodystructure: entry?.bodystructure ?? null,
        },
      };
    }
  } finally {
    files.close();
    index.close();
  }
}

function readEntry(cache: Uint8Array): { envelope: ImapValue; bodystructure: ImapValue } {
  const { envelope, bodystructure } = decodeCacheEntry(cache);
  return { envelope: parseImapValue(envelope), bodystructure: parseImapValue(bodystructure) };
}

function attempt<T>(read: () => T, where: string, problems: MailhaulError[]): T | undefined {
  try {
    return read();
  } catch (error) {
    const text = messageOf(error);
    problems.push(
      error instanceof MailhaulError
        ? new MailhaulError(error.code, error.message, { where, cause: error })
        : new MailhaulError('MSG_UNREADABLE', `The message file cannot be read: ${text}.`, { where, cause: error }),
    );
    return undefined;
  }
}

/** IMAP system flags of FLAG bits, in the order of the bits. */
function systemFlags(flags: number): string[] {
  const names = {
    seen: '\\Seen',
    answered: '\\Answered',
    flagged: '\\Flagged',
    deleted: '\\Deleted',
    draft: '\\Draft',
  };
  return (Object.keys(names) as (keyof typeof names)[])
    .filter((name) => (flags & FLAG[name]) !== 0)
    .map((name) => names[name]);
}

/** Hashes message files; keeps the last hash directory open, because uids ascend. */
class MessageHasher {
  private readonly mailbox: Dir;
  private readonly buffer = Buffer.alloc(READ_BYTES);
  private held: { readonly name: string; readonly dir: Dir } | undefined;

  constructor(mailbox: Dir) {
    this.mailbox = mailbox;
  }

  sha256(uid: number): string {
    const name = hashDirectory(uid);
    if (this.held?.name !== name) {
      this.close();
      this.held = { name, dir: openDir(this.mailbox, name) };
    }
    const fd = openFile(this.held.dir, messageFile(uid));
    try {
      return this.hashAll(createHash('sha256'), fd);
    } catch (cause) {
      const where = displayPath(this.held.dir, messageFile(uid));
      throw new MailhaulError('MSG_UNREADABLE', 'The message file cannot be read.', { where, cause });
    } finally {
      fs.closeSync(fd);
    }
  }

  private hashAll(hash: Hash, fd: number): string {
    for (;;) {
      const bytes = readOpen(fd, this.buffer, null);
      if (bytes === 0) return hash.digest('hex');
      hash.update(this.buffer.subarray(0, bytes));
    }
  }

  close(): void {
    if (this.held !== undefined) closeDir(this.held.dir);
    this.held = undefined;
  }
}
