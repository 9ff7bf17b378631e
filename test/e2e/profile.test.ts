/**
 * What 3x-profile.md says beside entries and damage, through the real commands: configuration, folder names, `.acl`,
 * `.subscriptions`, `.lock`, links within a folder, a read-only store.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { engineOptions } from '../support/site.js';
import { ACCOUNT, INDEX, needRoot } from '../upgrade/small-store.js';
import { foldersResult, type HandSite, handSite, MAIL, messagesResult, putMail } from './hand-site.js';
import { run } from './loop.js';

let site: HandSite;
beforeEach(() => {
  site = handSite();
});
afterEach(() => site.remove());

/** A folder of fred's with one message, `one`. */
function folder(name: string): string {
  const index = `${INDEX(10, 2)}1 9 - ${MAIL('one').length} one\n`;
  const directory = site.store.folder(site.store.mailbox, 'fred', name, index);
  putMail(directory, 'one');
  return directory;
}

describe('NscpMail.conf', () => {
  it('has keys without case, comments, unknown keys that are kept and reported, settings that 4.x takes over', () => {
    const { store } = site;
    store.user('fred');
    folder('INBOX');
    store.finish();
    const file = path.join(store.from, 'config/NscpMail.conf');
    const text = fs.readFileSync(file, 'utf8').replace('Version', 'vErSiOn').replace('HostName', 'HOSTNAME');
    const more = '# a comment\n\nFoo-Bar: baz: qux\nPostmaster: pm@example.com\nImapPort: 1143\nQuotaDefault: 1000\n';
    fs.writeFileSync(file, `# first\n${text}${more}`);
    const result = site.folders();
    expect(result.status, result.stderr).toBe(0);
    expect(site.log()).toMatch(/Warning: .*Foo-Bar/);
    const options = site.run('configutil').stdout;
    expect(options).toMatch(/foo-bar\|baz: qux$/m);
    expect(options).toContain('local.postmaster|pm@example.com');
    expect(options).toContain('service.imap.port|1143');
    expect(options).toContain('store.defaultmailboxquota|1000');
  });
});

describe('folders', () => {
  it('of any name and depth are kept apart; INBOX in this spelling alone is the inbox', () => {
    const { store } = site;
    store.user('fred');
    const names = [
      'INBOX',
      'Inbox',
      'inbox',
      'INBOX/Sub',
      'INBOX/inbox',
      'Sub',
      'a%b',
      'a*b',
      'a?b',
      'a_b',
      'caf\u00e9',
    ];
    for (const name of [...names, 'New\nline', '=eq', '+up', 'a&b', 'deep/er/est', '.hidden', 'Sub/.hidden'])
      folder(name);
    store.folder(store.mailbox, 'fred', Buffer.from('na\xefve', 'latin1'));
    store.finish();
    const result = site.folders();
    expect(result.status, result.stdout).toBe(0);
    expect(site.messages().status).toBe(0);
    const all = site.mailboxes();
    const legacy = [...names, 'New\nline', '=eq', '+up', 'a&b', 'deep', 'deep/er', 'deep/er/est', 'na\u00efve'];
    expect(all.map(({ legacyName }) => legacyName).sort()).toEqual(legacy.sort());
    expect(new Set(all.map(({ name }) => name)).size).toBe(all.length);
    expect(new Set(all.map(({ path: directory }) => directory)).size).toBe(all.length);
    for (const { name } of all) expect(name).toMatch(/^user\/fred\/[^%*?\u0000-\u001f\u007f-\uffff]+$/);
    const nameOf = (wanted: string) => all.find(({ legacyName }) => legacyName === wanted)?.name;
    expect(nameOf('INBOX')).toBe('user/fred/INBOX');
    expect(nameOf('INBOX/Sub')).toBe('user/fred/INBOX/Sub');
    expect(nameOf('Sub')).toBe('user/fred/Sub');
    expect(nameOf('caf\u00e9')).toBe('user/fred/caf&AOk-');
    expect(nameOf('na\u00efve')).toBe('user/fred/na&AO8-ve');
    expect(nameOf('a&b')).toBe('user/fred/a&-b');
    const renamed = foldersResult(result).warnings.filter(({ code }) => code === 'FOLDER_RENAMED');
    expect(renamed.map(({ folder: name }) => name).sort()).toEqual(['Inbox', 'a%b', 'a*b', 'a?b', 'inbox'].sort());
    // Names are stable.
    expect(site.folders().status).toBe(0);
    expect(site.mailboxes()).toEqual(all);
  });

  it('carry .acl and .subscriptions over; lines that cannot be used are reported', () => {
    const { store } = site;
    store.user('fred');
    folder('INBOX');
    folder('Sub');
    fs.writeFileSync(path.join(store.mailbox, 'fred/Sub/.acl'), 'anna lrs\nanyone p\nrubbish\ngroup=staff lrswipcda\n');
    fs.writeFileSync(path.join(store.mailbox, 'fred/.subscriptions'), 'Sub\n');
    store.finish();
    expect(site.folders().status).toBe(0);
    expect(site.messages().status).toBe(0);
    expect(site.mailbox('user/fred/Sub')).toMatchObject({
      subscribed: true,
      acl: [
        { identifier: 'anna', rights: 'lrs' },
        { identifier: 'anyone', rights: 'p' },
        { identifier: 'group=staff', rights: 'lrswipcda' },
      ],
    });
    expect(site.mailbox('user/fred/INBOX')).toMatchObject({ subscribed: false, acl: [] });
    expect(site.log()).toMatch(/Warning: fred, Sub: .*rubbish/);
  });
});

describe.each(engineOptions())('with %s', (engine) => {
  it('.lock is made for the server account with mode 0600 and left; one that is no file is an error of its folder', () => {
    const { store } = site;
    store.user('fred');
    const inbox = folder('INBOX');
    const target = path.join(store.root, 'target');
    fs.symlinkSync(target, path.join(folder('Link'), '.lock'));
    fs.mkdirSync(path.join(folder('Directory'), '.lock'));
    run('mkfifo', path.join(folder('Fifo'), '.lock'));
    store.finish();
    expect(site.folders().status).toBe(0);
    const result = site.messages(engine, '-r');
    expect(result.status).toBe(1);
    expect(
      messagesResult(result)
        .errors.map(({ folder: name, code }) => `${name} ${code}`)
        .sort(),
    ).toEqual(['Directory FOLDER_LOCK', 'Fifo FOLDER_LOCK', 'Link FOLDER_LOCK']);
    expect(fs.existsSync(target)).toBe(false);
    const lock = fs.statSync(path.join(inbox, '.lock'));
    expect([lock.mode & 0o777, lock.uid]).toEqual([0o600, ACCOUNT.uid]);
    expect(fs.readdirSync(inbox).sort()).toEqual(['.lock', '.mailbox']);
  });

  it('a folder whose lock another process holds is done once it lets go', async () => {
    const { store } = site;
    store.user('fred');
    const lock = path.join(folder('INBOX'), '.lock');
    fs.writeFileSync(lock, '');
    folder('Other');
    store.finish();
    expect(site.folders().status).toBe(0);
    const holder = spawn('flock', [lock, 'sh', '-c', 'echo held; read line'], { stdio: ['pipe', 'pipe', 'ignore'] });
    await once(holder.stdout, 'data');
    const child = site.start('upgrade', '-m', '--json', engine);
    const ended = once(child, 'close');
    while (site.mailbox('user/fred/Other').state === 'TRANSITION')
      await new Promise((resolve) => setTimeout(resolve, 50));
    expect(site.mailbox('user/fred/INBOX').state).toBe('TRANSITION');
    holder.stdin.end('\n');
    expect((await ended)[0]).toBe(0);
    expect(site.mailbox('user/fred/INBOX').state).toBe('NON-TRANSITION');
  });

  it('two names of one inode in a folder are two messages; owner and mode become those of 4.x on both sides', () => {
    const { store } = site;
    store.user('fred');
    const inbox = folder('INBOX');
    fs.writeFileSync(path.join(inbox, '.mailbox'), `${INDEX(10, 3)}1 9 S 9 one\n2 8 F 9 again\n`);
    fs.linkSync(path.join(inbox, 'one'), path.join(inbox, 'again'));
    fs.chmodSync(path.join(inbox, 'one'), 0o640);
    store.finish();
    expect(site.folders().status).toBe(0);
    expect(site.messages(engine).status).toBe(0);
    expect(site.dump()).toMatchObject([
      { uid: 1, flags: ['\\Seen'], internaldate: 9 },
      { uid: 2, flags: ['\\Flagged'], internaldate: 8 },
    ]);
    const { nlink, mode, uid } = fs.statSync(path.join(inbox, 'one'));
    expect([nlink, mode & 0o777, uid]).toEqual([4, 0o600, ACCOUNT.uid]);
    expect(site.messages(engine, '-r').status).toBe(0);
    expect(fs.readdirSync(inbox).sort()).toEqual(['.lock', '.mailbox']);
    expect(site.run('upgrade', '--verify').status).toBe(0);
  });

  it('a read-only 3.x store is refused without --work-dir, and copied with it', (ctx) => {
    needRoot(ctx);
    const { store } = site;
    store.user('fred');
    const inbox = folder('INBOX');
    const work = path.join(store.root, 'work');
    fs.mkdirSync(work);
    store.finish();
    fs.chownSync(work, ACCOUNT.uid, ACCOUNT.gid);
    const mail = path.dirname(store.mailbox);
    run('mount', '--bind', mail, mail);
    try {
      run('mount', '-o', 'remount,ro,bind', mail);
      const refused = site.folders();
      expect([refused.status, refused.stderr]).toEqual([3, expect.stringContaining('WORK_DIR_READ_ONLY')]);
      expect(fs.existsSync(store.instance)).toBe(false);
      expect(site.folders('--work-dir', work).status).toBe(0);
      const result = site.messages(engine);
      expect(result.status, result.stderr).toBe(0);
      const { copy, reflink } = messagesResult(result).methods;
      expect(copy + reflink).toBe(1);
      expect(site.dump()).toHaveLength(1);
      expect(fs.readdirSync(inbox).sort()).toEqual(['.mailbox', 'one']);
      expect(site.run('upgrade', '--verify').status).toBe(0);
    } finally {
      run('umount', mail);
    }
  });
});
