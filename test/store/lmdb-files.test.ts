/** Files that would end the process inside LMDB, refused before it sees them; and LMDB's own format, as we read it. */
import { execFileSync, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { open, type RootDatabase } from 'lmdb';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { closeDir, openRoot } from '../../src/fs/dir.js';
import { MAILBOX_DATABASE_FILE, openMailboxDatabase } from '../../src/store/database.js';
import { checkDatabaseFile } from '../../src/store/lmdbHeader.js';
import { checkLockFile, LOCK_FILE_KNOWN, lmdbWriter } from '../../src/store/lmdbLock.js';

const PAGE = 4096;
let directory: string;
let path: string;

beforeEach(() => {
  directory = fs.mkdtempSync(`${tmpdir()}/mailhaul-lmdb-`);
  path = `${directory}/${MAILBOX_DATABASE_FILE}`;
});

afterEach(() => fs.rmSync(directory, { recursive: true }));

/** A database with a table of `entries` values, some of which take pages of their own. */
async function fill(entries: number): Promise<void> {
  const root: RootDatabase<Buffer, Buffer> = open({
    path,
    noSubdir: true,
    overlappingSync: false,
    encoding: 'binary',
    keyEncoding: 'binary',
    ...{ permissionsMode: 0o600 },
  });
  const table = root.openDB<Buffer, Buffer>({ name: 'folder', encoding: 'binary', keyEncoding: 'binary' });
  await root.transaction(() => {
    for (let i = 0; i < entries; i++) table.put(key(i), Buffer.alloc(i % 7 === 0 ? 3 * PAGE : 100, i));
  });
  await root.close();
}

const key = (i: number) => Buffer.from(`key ${String(i).padStart(6, '0')}`);

function check(): string {
  const dir = openRoot(directory);
  try {
    checkDatabaseFile(dir, MAILBOX_DATABASE_FILE, false);
    return 'sound';
  } catch (error) {
    return (error as { code: string }).code;
  } finally {
    closeDir(dir);
  }
}

/** Where the meta page that counts begins. */
function newestMeta(bytes: Buffer): number {
  return bytes.readBigUInt64LE(152) >= bytes.readBigUInt64LE(PAGE + 152) ? 0 : PAGE;
}

function lastPage(): number {
  const bytes = fs.readFileSync(path);
  return Number(bytes.readBigUInt64LE(newestMeta(bytes) + 144));
}

describe('a database file', () => {
  it('that lost its end, wherever, is refused; LMDB would be ended by SIGBUS', async () => {
    await fill(200);
    expect(check()).toBe('sound');
    const { size } = fs.statSync(path);
    expect(size).toBe((lastPage() + 1) * PAGE);
    for (let pages = size / PAGE - 1; pages > 2; pages -= 5) {
      fs.truncateSync(path, pages * PAGE + (pages % 2) * 100);
      expect([pages, check()]).toEqual([pages, 'DB_TRUNCATED']);
    }
    const refused = openMailboxDatabase(directory, { readOnly: true });
    await expect(refused).rejects.toEqual(expect.objectContaining({ code: 'DB_TRUNCATED' }));
    fs.truncateSync(path, PAGE);
    expect(check()).toBe('DB_INVALID');
  });

  it('that lacks pages at its end which no tree reaches is sound', async () => {
    await fill(200);
    // As after a transaction that gave up its last pages before it wrote them.
    const bytes = fs.readFileSync(path);
    const at = newestMeta(bytes) + 144;
    bytes.writeBigUInt64LE(bytes.readBigUInt64LE(at) + 5n, at);
    fs.writeFileSync(path, bytes);
    expect(fs.statSync(path).size).toBeLessThan((lastPage() + 1) * PAGE);
    expect(check()).toBe('sound');
    const table = open({ path, noSubdir: true, readOnly: true, encoding: 'binary', keyEncoding: 'binary' });
    const folder = table.openDB<Buffer, Buffer>({ name: 'folder', encoding: 'binary', keyEncoding: 'binary' });
    for (let i = 0; i < 200; i++) expect(folder.get(key(i))?.length).toBe(i % 7 === 0 ? 3 * PAGE : 100);
    await table.close();
  });

  it('whose last commit failed at its meta page, which LMDB then puts back in part, is sound', async () => {
    await fill(200);
    const bytes = fs.readFileSync(path);
    const other = PAGE - newestMeta(bytes);
    // As traced: the new roots with the old last page and transaction, here those of the first page.
    bytes.writeBigUInt64LE(BigInt(lastPage()), other + 136);
    bytes.writeBigUInt64LE(1n, other + 144);
    bytes.writeBigUInt64LE(0n, other + 152);
    fs.writeFileSync(path, bytes);
    expect(check()).toBe('sound');
    const database = await openMailboxDatabase(directory);
    await database.update((writes) => writes.setSubscriptions('joe', ['INBOX']));
    expect(database.subscriptions('joe')).toEqual(['INBOX']);
    await database.close();
    expect(check()).toBe('sound');
  });

  it('of noise, or with noise in its meta pages or its trees, ends in a code, and never in a circle', async () => {
    await fill(200);
    const sound = fs.readFileSync(path);
    let state = 1;
    const random = (limit: number): number => {
      state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
      return state % limit;
    };
    for (let round = 0; round < 100; round++) {
      const bytes = Buffer.from(sound.subarray(0, sound.length - PAGE * (1 + random(5))));
      for (let i = 0; i < 20; i++) bytes[round % 2 === 0 ? random(2 * PAGE) : random(bytes.length)] = random(256);
      fs.writeFileSync(path, bytes, { mode: 0o600 });
      expect(['sound', 'DB_TRUNCATED', 'DB_INVALID']).toContain(check());
    }
  });
});

describe.runIf(LOCK_FILE_KNOWN)('the lock file of the lmdb that is installed', () => {
  it('has the format and the place of the writers’ mutex that we read', async () => {
    await fill(1);
    const root = open({ path, noSubdir: true, overlappingSync: false });
    const fd = fs.openSync(`${path}-lock`, 'r');
    expect(() => checkLockFile(fd, () => [1], path)).not.toThrow();
    expect(lmdbWriter(fd)).toBeUndefined();
    let within: number | undefined;
    root.transactionSync(() => {
      within = lmdbWriter(fd);
    });
    expect(within).toBe(process.pid);
    expect(lmdbWriter(fd)).toBeUndefined();
    await root.close();
    fs.closeSync(fd);
  });

  it('in another format is refused while somebody uses it, and made anew when nobody does', async () => {
    await (await openMailboxDatabase(directory, { create: true })).close();
    const bytes = fs.readFileSync(`${path}-lock`);
    bytes.writeUInt32LE(0x12345, 4);
    fs.writeFileSync(`${path}-lock`, bytes);
    await (await openMailboxDatabase(directory)).close();
    fs.writeFileSync(`${path}-lock`, bytes);
    // Any process with a POSIX lock on its first byte counts as a user.
    const program = `import fcntl,sys
f=open(sys.argv[1],'r+b'); fcntl.lockf(f,fcntl.LOCK_SH,1,0); print('held',flush=True); sys.stdin.read()`;
    const user = spawn('python3', ['-c', program, `${path}-lock`], { stdio: ['pipe', 'pipe', 'inherit'] });
    await new Promise((resolve) => user.stdout.once('data', resolve));
    await expect(openMailboxDatabase(directory)).rejects.toEqual(
      expect.objectContaining({ code: 'DB_LOCK_FORMAT', message: expect.stringContaining(`process ${user.pid}`) }),
    );
    const over = new Promise((resolve) => user.once('exit', resolve));
    user.stdin.end();
    await over;
    await (await openMailboxDatabase(directory)).close();
  });

  it('that somebody makes at this moment is no other format', async () => {
    await (await openMailboxDatabase(directory, { create: true })).close();
    const bytes = fs.readFileSync(`${path}-lock`);
    const half = Buffer.from(bytes);
    half.fill(0, 0, 8);
    fs.writeFileSync(`${path}-lock`, half);
    const fd = fs.openSync(`${path}-lock`, 'r');
    const made = (): number[] => {
      fs.writeFileSync(`${path}-lock`, bytes);
      return [1];
    };
    expect(() => checkLockFile(fd, made, path)).not.toThrow();
    fs.closeSync(fd);
  });

  it('is asked for before its users are: that is dear', async () => {
    await (await openMailboxDatabase(directory, { create: true })).close();
    const fd = fs.openSync(`${path}-lock`, 'r');
    const asked = (): never => {
      throw new Error('asked');
    };
    expect(() => checkLockFile(fd, asked, path)).not.toThrow();
    fs.closeSync(fd);
  });

  it('that is empty, cut or noise is made anew', async () => {
    await (await openMailboxDatabase(directory, { create: true })).close();
    for (const content of [Buffer.alloc(0), Buffer.alloc(10, 1), Buffer.alloc(100_000, 0xff)]) {
      fs.writeFileSync(`${path}-lock`, content);
      const database = await openMailboxDatabase(directory);
      await database.update((writes) => writes.setQuota('joe', { limit: 1, usedBytes: 0, usedMessages: 0 }));
      await database.close();
    }
    expect(execFileSync('stat', ['-c', '%a', `${path}-lock`], { encoding: 'utf8' }).trim()).toBe('600');
  });
});
