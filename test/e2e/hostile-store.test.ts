/**
 * What the owner of a mailbox can put into it (docs/operations.md, "Security"), through the real commands with each
 * engine: every thing is either migrated right or a clear error, nothing is followed, nothing hangs, nothing of other
 * accounts comes out.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { engineOptions } from '../support/site.js';
import { ACCOUNT, INDEX, needRoot } from '../upgrade/small-store.js';
import { foldersResult, type HandSite, handSite, MAIL, messagesResult, putMail, type Result } from './hand-site.js';

const SECRET = 'root:$6$not-for-mail-users$:10000:0:::::';
const asRoot = process.getuid?.() === 0;

let site: HandSite;
afterEach(() => site.remove());

const sha256 = (content: string | Buffer): string => createHash('sha256').update(content).digest('hex');
const line = (uid: number, name: string): string => `${uid} 850000000 - ${MAIL(name).length} ${name}\n`;

/** The command came to an end of its own, without a word about its inside. */
function sane(result: Result, ...statuses: readonly number[]): void {
  expect(statuses, result.stderr + result.stdout.slice(-2000)).toContain(result.status);
  expect(result.stderr).not.toMatch(/\n\s+at |TypeError|RangeError|ENOMEM/);
}

/** No secret anywhere that a mail user or a reader of logs could see. */
function keepsSecret(...results: readonly Result[]): void {
  const listed = site.run('mboxutil', '-l', '--json');
  for (const { stdout, stderr } of [...results, listed]) expect(stdout + stderr).not.toContain('not-for-mail-users');
  expect(site.log()).not.toContain('not-for-mail-users');
  const found = spawnSync('grep', ['-rla', 'not-for-mail-users', site.store.instance, site.store.mailbox]);
  // What stands in the mailbox itself is the link that the user made.
  const files = found.stdout
    .toString()
    .split('\n')
    .filter((file) => /store|\.0004x|__up|log/.test(file));
  expect(files.filter((file) => !/\/(\.mailbox|\.acl|\.lock|\.subscriptions|m)$/.test(file))).toEqual([]);
}

/** A file of root outside the store, on the same file system. */
function secret(): string {
  const file = path.join(site.store.root, 'shadow');
  if (!fs.existsSync(file)) fs.writeFileSync(file, `${SECRET}\n`, { mode: 0o600 });
  return file;
}

/** What may stand where a file is expected. */
const THINGS: readonly { what: string; root?: boolean; put(at: string): void }[] = [
  { what: 'a link to a file of root', put: (at) => fs.symlinkSync(secret(), at) },
  { what: 'a dangling link', put: (at) => fs.symlinkSync('/nowhere/at/all', at) },
  { what: 'a link to itself', put: (at) => fs.symlinkSync(path.basename(at), at) },
  { what: 'a link to a device', put: (at) => fs.symlinkSync('/dev/zero', at) },
  { what: 'a fifo', put: (at) => void spawnSync('mkfifo', [at]) },
  { what: 'a directory', put: (at) => fs.mkdirSync(at) },
  { what: 'a device', root: true, put: (at) => void spawnSync('mknod', [at, 'c', '1', '5']) },
  { what: 'a hard link of a file of root', root: true, put: (at) => fs.linkSync(secret(), at) },
  {
    what: 'a socket',
    put(at) {
      const script = `require('net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))`;
      spawnSync(process.execPath, ['-e', script, path.basename(at)], { cwd: path.dirname(at) });
    },
  },
];

/** One user a thing, `<n>`; the thing stands under `name` in the INBOX or in the mailbox directory. */
function siteOf(name: string, inHome = false): readonly (typeof THINGS)[number][] {
  site = handSite();
  const { store } = site;
  const things = THINGS.filter(({ root }) => root !== true || asRoot);
  things.forEach((_, i) => {
    store.user(`u${i}`);
    const inbox = store.folder(
      store.mailbox,
      `u${i}`,
      'INBOX',
      name === '.mailbox' ? null : `${INDEX(7, 9)}${line(3, 'm')}`,
    );
    putMail(inbox, 'm');
  });
  store.finish();
  things.forEach(({ put }, i) => {
    const directory = path.join(store.mailbox, `u${i}`, inHome ? '' : 'INBOX');
    put(path.join(directory, name));
  });
  return things;
}

describe.each(engineOptions())('%s', (engine) => {
  it('whatever stands in place of .mailbox is an error of the folder, until it is removed', () => {
    const things = siteOf('.mailbox');
    const first = site.folders();
    sane(first, 1);
    const moved = site.messages(engine);
    sane(moved, 0, 1);
    keepsSecret(first, moved);
    things.forEach(({ what }, i) => {
      expect(
        foldersResult(first).errors.find(({ user }) => user === `u${i}`),
        what,
      ).toMatchObject({ code: 'FOLDER_INDEX' });
      const at = path.join(site.store.mailbox, `u${i}`, 'INBOX/.mailbox');
      fs.rmSync(at, { recursive: true });
      fs.writeFileSync(at, `${INDEX(7, 9)}${line(3, 'm')}`, { mode: 0o600 });
      fs.chownSync(at, ACCOUNT.uid, ACCOUNT.gid);
    });
    sane(site.folders(), 0);
    sane(site.messages(engine), 0);
    expect(site.dump().map(({ uid }) => uid)).toEqual(things.map(() => 3));
  });

  it('whatever stands in place of .lock is an error of the folder, and no file is written through it', () => {
    const things = siteOf('.lock');
    sane(site.folders(), 0);
    const moved = site.messages(engine);
    sane(moved, 1);
    keepsSecret(moved);
    if (asRoot) expect(fs.readFileSync(secret(), 'utf8')).toBe(`${SECRET}\n`);
    things.forEach(({ what }, i) => {
      const found = messagesResult(moved).errors.find(({ user }) => user === `u${i}`);
      expect(found, what).toMatchObject({ code: 'FOLDER_LOCK', message: expect.any(String) });
      fs.rmSync(path.join(site.store.mailbox, `u${i}`, 'INBOX/.lock'), { recursive: true });
    });
    sane(site.messages(engine), 0);
    expect(site.dump()).toHaveLength(things.length);
  });
});

describe('without an engine', () => {
  it('whatever stands in place of .acl or .subscriptions is a warning, a file of root an error; mail comes', () => {
    for (const [name, inHome] of [
      ['.acl', false],
      ['.subscriptions', true],
    ] as const) {
      const things = siteOf(name, inHome);
      const first = site.folders();
      sane(first, asRoot ? 1 : 0);
      const { errors, warnings } = foldersResult(first);
      for (const [i, { what }] of things.entries()) {
        // It is a file, and might hold rights.
        const isFile = what === 'a hard link of a file of root';
        const told = (isFile ? errors : warnings).filter(({ user }) => user === `u${i}`);
        const code = `${name.slice(1).toUpperCase()}_${isFile ? 'UNREADABLE' : 'FILE'}`;
        expect(told, `${name}: ${what}`).toMatchObject([{ code }]);
      }
      const moved = site.messages();
      sane(moved, 0);
      keepsSecret(first, moved);
      expect(site.dump()).toHaveLength(things.length);
      if (name === '.acl') site.remove();
    }
  });
});

describe.each(engineOptions())('folder names, %s', (engine) => {
  it('of every byte, of 255 bytes, of case and normal form twins, 200 deep beyond PATH_MAX', () => {
    site = handSite();
    const { store } = site;
    store.user('bytes');
    store.user('deep');
    const names: Buffer[] = [];
    for (let byte = 1; byte < 256; byte++) {
      if (byte !== 0x2f) names.push(Buffer.from([0x6e, byte, 0x78]));
      // Alone, where it may be the first.
      if (byte !== 0x2f && byte !== 0x2e) names.push(Buffer.from([byte]));
    }
    names.push(Buffer.alloc(255, 'w'), Buffer.alloc(255, 0xff), Buffer.alloc(255, '%'), Buffer.alloc(254, 'W'));
    for (const twin of [
      'Caf\u00e9',
      'Cafe\u0301',
      'CAF\u00c9',
      'inbox',
      'Inbox',
      'INBOX',
      'a~b',
      '%h',
      '+x',
      '=single',
      '..x',
    ]) {
      if (!twin.startsWith('.')) names.push(Buffer.from(twin));
    }
    const home = Buffer.from(`${store.mailbox}/bytes/`);
    const subjects = names.map((name, i) => {
      const directory = Buffer.concat([home, name]);
      fs.mkdirSync(directory, { recursive: true });
      const subject = `in folder ${i}`;
      fs.writeFileSync(Buffer.concat([directory, Buffer.from('/m')]), MAIL(subject), { mode: 0o600 });
      return subject;
    });
    const was = process.cwd();
    fs.mkdirSync(path.join(store.mailbox, 'deep'));
    process.chdir(path.join(store.mailbox, 'deep'));
    for (let level = 0; level < 200; level++) {
      fs.mkdirSync('d'.repeat(200));
      process.chdir('d'.repeat(200));
    }
    fs.writeFileSync('m', MAIL('deep down'), { mode: 0o600 });
    process.chdir(was);
    store.finish();
    sane(site.folders(), 0);
    sane(site.messages(engine), 0);
    const found = site.dump();
    expect(new Set(found.map(({ sha256: digest }) => digest))).toEqual(
      new Set([...subjects, 'deep down'].map((subject) => sha256(MAIL(subject)))),
    );
    // One mailbox each: no two names became one.
    expect(new Set(found.map(({ mailbox }) => mailbox)).size).toBe(subjects.length + 1);
    for (const { name, path: directory } of site.mailboxes()) {
      expect(name).toMatch(/^[\x20-\x7e]+$/);
      expect(name.replace(/^user\/[a-z]+\//, '')).not.toMatch(/[%*?]/);
      for (const component of (directory ?? '').split('/')) expect(component.length).toBeLessThanOrEqual(255);
    }
    sane(site.run('upgrade', '--verify'), 0);
  });
});

describe.each(engineOptions())('message files, %s', (engine) => {
  it('a sparse file of 1 TB is an error of its message at once; the rest of the folder is there', () => {
    site = handSite();
    const { store } = site;
    store.user('anna');
    const inbox = store.folder(store.mailbox, 'anna', 'INBOX', `${INDEX(7, 9)}${line(3, 'm')}4 1 - 9 huge\n`);
    putMail(inbox, 'm');
    fs.truncateSync(putMail(inbox, 'huge', 'Subject: huge\r\n\r\n'), 2 ** 40);
    store.finish();
    sane(site.folders(), 0);
    const moved = site.messages(engine, '--accept-failures');
    sane(moved, 1);
    expect(messagesResult(moved).errors).toMatchObject([{ file: 'huge', code: 'MSG_UNREADABLE' }]);
    expect(site.dump()).toMatchObject([{ uid: 3, sha256: sha256(MAIL('m')) }]);
  });

  it('set-id bits and other permissions do not come along', (ctx) => {
    needRoot(ctx);
    site = handSite();
    const { store } = site;
    store.user('anna');
    const inbox = store.folder(store.mailbox, 'anna', 'INBOX', null);
    for (const mode of [0o4755, 0o2750, 0o1644, 0o7700]) putMail(inbox, mode.toString(8));
    store.finish();
    for (const mode of [0o4755, 0o2750, 0o1644, 0o7700]) fs.chmodSync(path.join(inbox, mode.toString(8)), mode);
    sane(site.folders(), 0);
    sane(site.messages(engine), 0);
    const partition = path.join(store.instance, 'store/partition/primary');
    const files = fs
      .readdirSync(partition, { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.msg'));
    expect(files).toHaveLength(4);
    for (const file of files) {
      const { mode, uid } = fs.statSync(path.join(partition, file));
      expect([(mode & 0o7777).toString(8), uid]).toEqual(['600', ACCOUNT.uid]);
    }
  });

  it('that grow and shrink all the while are errors, and are migrated as they are when they have come to rest', () => {
    site = handSite();
    const { store } = site;
    store.user('anna');
    const inbox = store.folder(store.mailbox, 'anna', 'INBOX', null);
    for (let i = 0; i < 60; i++) putMail(inbox, `m${i}`, MAIL(`${i}`) + 'x'.repeat(20_000));
    store.finish();
    sane(site.folders(), 0);
    // Ends by itself should this test be killed.
    const script = `const fs = require('fs'); const end = Date.now() + 60000;
      for (let n = 0; Date.now() < end; n++) {
        const file = process.argv[1] + '/m' + (n % 60);
        if (n % 2) fs.appendFileSync(file, 'more\\n'); else fs.truncateSync(file, 100 + n % 900);
      }`;
    const writer = spawn(process.execPath, ['-e', script, inbox], { stdio: 'ignore' });
    try {
      for (let round = 0; round < 3; round++) sane(site.messages(engine), 0, 1);
    } finally {
      writer.kill('SIGKILL');
    }
    sane(site.messages(engine), 0);
    // A message that was migrated while it was at rest for a moment is a link of its file: it has what the file has.
    expect(site.dump()).toHaveLength(60);
  });
});

describe('names in what people read', () => {
  const FORGED =
    'x\n[30/Aug/2004:16:53:05 -0700] vadar upgrade[1]: Store Error: forged\r\n\x1b[2J\x1b]0;owned\x07\u202e';

  it('no name of a folder, file, user or line begins a line, or reaches the terminal, as it is', () => {
    site = handSite();
    const { store } = site;
    store.user('anna');
    const folder = store.folder(store.mailbox, 'anna', `INBOX`, `${INDEX(7, 9)}${FORGED.replace(/\n/g, '\x0b')}\n`);
    fs.symlinkSync(
      '/nowhere',
      Buffer.concat([Buffer.from(`${folder}/`), Buffer.from(FORGED.slice(0, 200).replaceAll('/', '|'))]),
    );
    const evil = Buffer.from(FORGED.replaceAll('/', '|'));
    fs.mkdirSync(Buffer.concat([Buffer.from(`${store.mailbox}/anna/`), evil]), { recursive: true });
    fs.symlinkSync('/nowhere', Buffer.concat([Buffer.from(`${store.mailbox}/anna/link`), evil]));
    fs.writeFileSync(`${store.mailbox}/anna/.subscriptions`, `${FORGED}\0\n`);
    fs.writeFileSync(`${folder}/.acl`, `${FORGED}\n`);
    store.finish();
    const results = [
      site.run('upgrade', '-s', '--from', store.from, '--directory', store.ldif),
      site.run('upgrade', '-m'),
      site.run('upgrade', '--status'),
      site.run('upgrade', '--verify'),
      site.run('mboxutil', '-l'),
    ];
    const json = [
      site.folders(),
      site.messages(),
      site.run('upgrade', '--verify', '--json'),
      site.run('mboxutil', '-l', '--json'),
    ];
    for (const result of results) {
      sane(result, 0, 1);
      expect(result.stdout + result.stderr).not.toMatch(/[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]|^\[30\/Aug\/2004/m);
    }
    for (const result of json) {
      sane(result, 0, 1);
      for (const text of result.stdout.trim().split('\n')) expect(() => JSON.parse(text)).not.toThrow();
      expect(result.stdout).not.toMatch(/[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]|^\[30\/Aug\/2004/m);
    }
    for (const text of site.log().trimEnd().split('\n')) {
      expect(text).toMatch(/^\[\d\d\/\w{3}\/\d{4}:[\d:]+ [+-]\d{4}\] [\w-]+ \w+\[\d+\]: [A-Z]\w+ [A-Z]\w+: /);
      expect(text).not.toMatch(/^\[30\/Aug\/2004/);
    }
  });
});
