/** A small migrated store for the tests of `--verify`: damaged, verified, repaired. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { open } from 'lmdb';
import { parseMessage } from '../../src/engine/message/parse.js';
import { openRoot } from '../../src/fs/dir.js';
import { openMailboxDatabase } from '../../src/store/database.js';
import { digest, loadDigest } from '../../src/store/digest.js';
import { openIndex } from '../../src/store/index/reader.js';
import type { MessageFacts } from '../../src/store/index/record.js';
import { IndexBuilder } from '../../src/store/index/writer.js';
import { mailboxPathComponents } from '../../src/store/names.js';
import type { MailboxDatabase, MailboxWrites } from '../../src/store/types.js';
import { openMappingDatabase } from '../../src/upgrade/mapping/database.js';
import type { MappingDatabase, MappingWrites } from '../../src/upgrade/types.js';
import { type VerifyOptions, type VerifyReport, verifyStore } from '../../src/upgrade/verify.js';
import { MemorySink } from '../support/memory-sink.js';
import {
  fillFolder,
  type MigrateOptions,
  migrate,
  type SmallStore,
  simpleMessage,
  smallStore,
} from '../support/migrated-store.js';
import { ACCOUNT } from './small-store.js';

export interface VerifiedStore {
  readonly store: SmallStore;
  readonly primary: string;
  /** 3.x path of something of joe's. */
  original(name: string): string;
  directoryOf(mailbox: string): string;
  fileOf(mailbox: string, uid: number): string;
  verify(options?: Partial<VerifyOptions>): Promise<VerifyReport>;
  /** Damages the store, verifies, repairs. */
  verifyWith(damage: () => unknown, repair: () => unknown): Promise<VerifyReport>;
  /** Replaces the content of a file for one verification; owner, mode and times stay. */
  verifyWithContent(path: string, change: (content: Buffer) => Buffer | string): Promise<VerifyReport>;
  /** The same for an index: facts, cache entry and admin section as `change` returns them; the checks fit. */
  verifyWithIndex(mailbox: string, change: IndexChange): Promise<VerifyReport>;
  readMailboxes<T>(read: (database: MailboxDatabase) => T): Promise<T>;
  readMapping<T>(read: (database: MappingDatabase) => T): Promise<T>;
  changeMailboxes(change: (writes: MailboxWrites) => void): Promise<void>;
  changeMapping(change: (writes: MappingWrites) => void): Promise<void>;
  /** Puts or removes (null) a raw value in a table of the mailbox or the mapping database; returns what was there. */
  rawValue(which: 'mailboxes' | 'mapping', table: string, key: Buffer, value: Buffer | null): Promise<Buffer | null>;
}

export interface IndexChange {
  readonly message?: (facts: MessageFacts, cache: Uint8Array) => { facts: MessageFacts; cache: Uint8Array };
  readonly admin?: (admin: string) => string;
}

/** Kinds of findings, notes too, without what belongs to no damage. */
export function codes(report: VerifyReport): string[] {
  return Object.keys(report.byCode).sort();
}

export function owned(path: string): void {
  if (process.geteuid?.() === 0) fs.chownSync(path, ACCOUNT.uid, ACCOUNT.gid);
}

/** Two messages of one length. */
export const TWINS = [simpleMessage('twin-a'), simpleMessage('twin-b')] as const;

/** A store with every kind of message that migrates without an error. */
export function makeVerifiedStore(options: MigrateOptions = {}): VerifiedStore {
  const store = smallStore();
  store.user('joe', { mailQuota: '5000000' });
  store.user('empty');
  fillFolder(store, 'joe', 'INBOX', 7, [
    { uid: 3, content: simpleMessage('first'), flags: 'SA,$Forwarded', date: 946_684_800 },
    { uid: 104, content: simpleMessage('second') },
    { uid: 105, content: 'Subject: bare\n\nLF\n' },
  ]);
  fillFolder(store, 'joe', 'Box', 8, [{ uid: 1, content: simpleMessage('boxed'), flags: 'F' }]);
  fillFolder(store, 'joe', 'INBOX/deep/er', 9, []);
  fillFolder(store, 'joe', 'Twins', 10, [
    { uid: 1, content: TWINS[0] },
    { uid: 2, content: TWINS[1] },
  ]);
  fs.linkSync(`${store.mailbox}/joe/INBOX/msg104`, `${store.mailbox}/joe/Box/shared`);
  fs.appendFileSync(`${store.mailbox}/joe/Box/.mailbox`, `2 1000 - ${simpleMessage('second').length} shared\n`);
  fs.writeFileSync(`${store.mailbox}/joe/Box/.acl`, 'ann lrs\n');
  fs.writeFileSync(`${store.mailbox}/joe/.subscriptions`, 'INBOX\nBox\nGone/Later\n');
  migrate(store, options);
  const primary = `${store.instance}/store/partition/primary`;
  const directoryOf = (mailbox: string) => `${primary}/${mailboxPathComponents('joe', mailbox).join('/')}`;
  const verify = (more: Partial<VerifyOptions> = {}) => verifyStore({ instance: store.instance, ...more });
  const verifyWith: VerifiedStore['verifyWith'] = async (damage, repair) => {
    await damage();
    try {
      return await verify();
    } finally {
      await repair();
    }
  };
  const verifyWithContent: VerifiedStore['verifyWithContent'] = async (path, change) => {
    const original = fs.readFileSync(path);
    // Node sets times in microseconds; touch(1) keeps the nanoseconds that the migration record has.
    const reference = `${store.root}/reference`;
    spawnSync('touch', ['-r', path, reference]);
    const write = (content: Buffer | string) => {
      fs.writeFileSync(path, content);
      spawnSync('touch', ['-r', reference, path]);
    };
    return verifyWith(
      () => write(change(Buffer.from(original))),
      () => write(original),
    );
  };
  const mailboxList = `${store.instance}/store/mboxlist`;
  return {
    store,
    primary,
    original: (name) => `${store.mailbox}/joe/${name}`,
    directoryOf,
    fileOf: (mailbox, uid) => `${directoryOf(mailbox)}/${String(Math.floor(uid / 100)).padStart(2, '0')}/${uid}.msg`,
    verify,
    verifyWith,
    verifyWithContent,
    async verifyWithIndex(mailbox, change) {
      await loadDigest();
      return verifyWithContent(`${directoryOf(mailbox)}/store.idx`, (content) => forge(content, change));
    },
    async readMailboxes(read) {
      const database = await openMailboxDatabase(mailboxList, { readOnly: true });
      const result = read(database);
      await database.close();
      return result;
    },
    async readMapping(read) {
      const database = await openMappingDatabase(openRoot(store.mailbox), undefined, { readOnly: true });
      const result = read(database);
      await database.close();
      return result;
    },
    async changeMailboxes(change) {
      const database = await openMailboxDatabase(mailboxList);
      await database.update(change);
      await database.close();
    },
    async changeMapping(change) {
      const database = await openMappingDatabase(openRoot(store.mailbox));
      await database.update(change);
      await database.close();
    },
    async rawValue(which, table, key, value) {
      const path = which === 'mailboxes' ? `${mailboxList}/mboxlist.mdb` : `${store.mailbox}/__upfolder.db`;
      const root = open<Buffer, Buffer>(path, { noSubdir: true, maxDbs: 9, encoding: 'binary', keyEncoding: 'binary' });
      const database = root.openDB<Buffer, Buffer>({ name: table, encoding: 'binary', keyEncoding: 'binary' });
      const found = database.get(key);
      const before = found === undefined ? null : Buffer.from(found);
      if (value === null) await database.remove(key);
      else await database.put(key, value);
      await root.close();
      return before;
    },
  };
}

function forge(content: Buffer, change: IndexChange): Buffer {
  const reader = openIndex(new Uint8Array(content));
  const { uidvalidity, uidnext, generation } = reader.header;
  const text = Buffer.from(reader.admin()).toString();
  const admin = Buffer.from(change.admin?.(text) ?? text);
  const sink = new MemorySink();
  const builder = new IndexBuilder(sink, { uidvalidity, uidnext, generation, keywords: reader.keywords(), admin });
  for (const record of reader.records()) {
    const before = { facts: record as MessageFacts, cache: reader.cache(record) };
    const { facts, cache } = change.message?.(before.facts, before.cache) ?? before;
    builder.add(facts, reader.keywordRefs(record), cache);
  }
  builder.finish();
  return Buffer.from(sink.bytes());
}

/** The facts and the cache entry that an engine would write for this content. */
export function factsFor(facts: MessageFacts, content: string): { facts: MessageFacts; cache: Uint8Array } {
  const bytes = Buffer.from(content);
  const { headerBytes, cache } = parseMessage(bytes);
  return { facts: { ...facts, size: bytes.length, headerBytes, digest: digest(bytes) }, cache };
}

export const IS_ROOT = process.geteuid?.() === 0;
