/** A small 3.x installation with messages, migrated by a child process; and the commands, run as users run them. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { type SmallStore, smallStore } from '../upgrade/small-store.js';
import { project, runCli } from './process.js';

export interface SmallMessage {
  readonly uid: number;
  /** Default `msg<uid>`. */
  readonly file?: string;
  readonly content: string | Buffer;
  /** Seconds; default 1,000,000,000 + uid. */
  readonly date?: number;
  /** Default `-`. */
  readonly flags?: string;
}

/** Writes messages and their index into a folder of `store`. */
export function fillFolder(
  store: SmallStore,
  uid: string,
  path: string | Buffer,
  uidvalidity: number,
  messages: readonly SmallMessage[],
): Buffer {
  const uidnext = Math.max(0, ...messages.map((message) => message.uid)) + 1;
  const lines = messages.map(
    ({ uid, file = `msg${uid}`, content, date = 1_000_000_000 + uid, flags = '-' }) =>
      `${uid} ${date} ${flags} ${Buffer.byteLength(content)} ${file}\n`,
  );
  store.folder(store.mailbox, uid, path, `NSMB 3 ${uidvalidity} ${uidnext}\n${lines.join('')}`);
  const directory = Buffer.concat([Buffer.from(`${store.mailbox}/${uid}/`), Buffer.from(path)]);
  for (const { uid, file = `msg${uid}`, content } of messages) {
    fs.writeFileSync(Buffer.concat([directory, Buffer.from(`/${file}`)]), content);
  }
  return directory;
}

export function simpleMessage(subject: string, body = 'Hello\r\n'): string {
  return (
    `From: Joe <joe@example.com>\r\nTo: ann@example.com\r\nSubject: ${subject}\r\n` +
    `Date: Sat, 1 Jan 2000 00:00:00 +0000\r\nMessage-ID: <${subject}@example.com>\r\n\r\n${body}`
  );
}

export interface MigrateOptions {
  readonly remove?: boolean;
  readonly acceptFailures?: boolean;
  readonly foldersOnly?: boolean;
}

/** Runs `-s` and `-m`; throws with what was printed when they fail to start. */
export function migrate(store: SmallStore, options: MigrateOptions = {}): { folders: unknown; messages: unknown } {
  store.finish();
  const input = { instance: store.instance, from: store.from, directory: store.ldif, ...options };
  const result = spawnSync(process.execPath, ['test/support/migrate-small.mjs', JSON.stringify(input)], {
    cwd: project,
    encoding: 'utf8',
  });
  if (result.status !== 0) throw new Error(`the migration failed: ${result.stderr}`);
  return JSON.parse(result.stdout) as { folders: unknown; messages: unknown };
}

export { project, runCli, type SmallStore, smallStore };
