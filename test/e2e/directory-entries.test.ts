/**
 * 3x-profile.md, "Directory entries", through the real `upgrade -s`: which entries are users, which store paths they
 * may have, and what happens to those that break a rule.
 */
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { databases, HOST, INDEX, needRoot } from '../upgrade/small-store.js';
import { foldersResult, type HandSite, handSite, putMail, type Result, usersOf } from './hand-site.js';

/** A uid for each rule of validity, and why it is refused. */
const BAD_UIDS = [
  ...[...'%?*&/:\\'].map((character) => `a${character}b`),
  'a b',
  'tab\tx',
  'caf\u00e9',
  '',
  '-rf',
  '.hidden',
  '..',
  'group=staff',
  '__upfolder',
  'anonymous',
  'anybody',
  'anyone',
];

/** Unusual, and valid: bytes 21 to 7E but the forbidden ones. */
const GOOD_UIDS = ["!#$'()+,-.;<=>@", '[]^_`{|}~"', 'Fred.Jones', 'x', 'group', '_up', 'a-', 'anyone2', '0'];

/** One LDIF entry, every value in base64; null leaves an attribute out. */
function entry(uid: string | null, change: Readonly<Record<string, string | readonly string[] | null>> = {}): string {
  const values: Record<string, string | readonly string[] | null> = {
    objectClass: 'mailRecipient',
    uid,
    mailHost: HOST,
    mailDeliveryOption: 'mailbox',
    ...change,
  };
  const lines = Object.entries(values).flatMap(([name, value]) =>
    value === null ? [] : [value].flat().map((one) => `${name}:: ${Buffer.from(one).toString('base64')}\n`),
  );
  return `dn: cn=${entries++},o=airius.com\n${lines.join('')}\n`;
}
let entries = 0;

function withEntries(site: HandSite, text: readonly string[]): Result {
  site.store.finish();
  fs.writeFileSync(site.store.ldif, text.join(''));
  return site.folders();
}

let site: HandSite;
afterEach(() => site.remove());

describe('entries', () => {
  it('become users by the rules of uid; each that breaks one is reported, skipped, and never a path', () => {
    site = handSite();
    const { store } = site;
    for (const uid of GOOD_UIDS) store.folder(store.mailbox, uid, 'INBOX', INDEX(5));
    const result = withEntries(
      site,
      [...BAD_UIDS, ...GOOD_UIDS].map((uid) => entry(uid)),
    );
    expect(result.status).toBe(1);
    const { users: counted, errors } = foldersResult(result);
    expect(counted).toMatchObject({ found: GOOD_UIDS.length, skipped: BAD_UIDS.length, withoutMailbox: 0 });
    expect(errors).toHaveLength(BAD_UIDS.length);
    expect(site.log().match(/Error: .*DIR_/g)).toHaveLength(BAD_UIDS.length);
    expect(usersOf(site).sort()).toEqual([...GOOD_UIDS].sort());
    expect(
      fs
        .readdirSync(store.mailbox)
        .filter((name) => !name.startsWith('__up') && name !== 'upgrade4x.conf')
        .sort(),
    ).toEqual([...GOOD_UIDS].sort());
    const list = fs.readFileSync(path.join(store.mailbox, '__up.primary.txt'), 'utf8').split('\n').slice(0, 3);
    expect(list).toEqual([
      '[4x partition]:primary',
      `[3x MailStorePath]:${store.mailbox}`,
      '#---------List of mail user id ------',
    ]);
    // They are all migrated: every valid uid makes a valid mailbox and path.
    expect(site.messages().status).toBe(0);
    expect(site.mailboxes().every(({ state }) => state === 'NON-TRANSITION')).toBe(true);
  });

  it('of other hosts, without delivery to a mailbox, or of no mail class are not looked at', () => {
    site = handSite();
    const result = withEntries(site, [
      entry('kept'),
      entry('host-case', { mailHost: HOST.toUpperCase() }),
      entry('delivery-case', { mailDeliveryOption: 'Mailbox' }),
      entry('also-forwarded', { mailDeliveryOption: ['forward', 'mailbox'] }),
      entry('server-user', { objectClass: ['top', 'nsMessagingServerUser'] }),
      entry('elsewhere', { mailHost: 'other.example.com' }),
      entry('bad*elsewhere', { mailHost: 'other.example.com' }),
      entry('forwarded', { mailDeliveryOption: 'forward' }),
      entry('undelivered', { mailDeliveryOption: null }),
      entry('nowhere', { mailHost: null }),
      entry('person', { objectClass: 'inetOrgPerson' }),
    ]);
    expect(result.status).toBe(0);
    expect(usersOf(site).sort()).toEqual(['also-forwarded', 'delivery-case', 'host-case', 'kept', 'server-user']);
    expect(foldersResult(result).errors).toEqual([]);
  });

  it('with the same uid, compared without case, are both skipped and reported; the first value of uid counts', () => {
    site = handSite();
    const result = withEntries(site, [
      entry('fred'),
      entry('Anna'),
      entry('FRED'),
      entry('other', { uid: ['primary-uid', 'fred'] }),
    ]);
    expect(result.status).toBe(1);
    const { errors } = foldersResult(result);
    expect(errors.map(({ code }) => code)).toEqual(['DIR_DUPLICATE_UID', 'DIR_DUPLICATE_UID']);
    expect(errors.map(({ message }) => message).join()).toMatch(/fred.*FRED/);
    expect(usersOf(site).sort()).toEqual(['Anna', 'primary-uid']);
  });

  it('have a quota: bytes, 0 no limit, absent the default; one that is none, or too large, is reported', async () => {
    site = handSite();
    const result = withEntries(site, [
      entry('absent'),
      entry('none', { mailQuota: '0' }),
      entry('some', { mailQuota: '20971520' }),
      entry('large', { mailQuota: '5000000000' }),
      entry('unlimited', { mailQuota: '9223372036854775807' }),
      entry('bad', { mailQuota: '20M' }),
    ]);
    expect(result.status).toBe(1);
    const { errors, warnings } = foldersResult(result);
    expect(errors).toMatchObject([{ code: 'DIR_QUOTA' }]);
    expect(warnings.filter(({ code }) => code.startsWith('DIR_'))).toMatchObject([{ code: 'DIR_QUOTA_LARGE' }]);
    const limits = await databases(site.store, (_, mailboxes) =>
      ['absent', 'none', 'some', 'large', 'unlimited', 'bad'].map((uid) => mailboxes.quota(uid)?.limit),
    );
    expect(limits).toEqual([null, 0, 20971520, 5_000_000_000, 2 ** 53 - 1, undefined]);
  });

  it('without a mailbox directory get an empty INBOX, with a warning; exit 0', () => {
    site = handSite();
    expect(withEntries(site, [entry('fred')]).status).toBe(0);
    expect(site.log()).toMatch(/Warning: fred: USER_NO_MAILBOX/);
    expect(site.messages().status).toBe(0);
    expect(site.mailbox('user/fred/INBOX')).toMatchObject({
      state: 'NON-TRANSITION',
      messages: 0,
      uidnext: 1,
      legacyName: 'INBOX',
    });
    expect(site.mailbox('user/fred/INBOX').uidvalidity).toBeGreaterThan(800_000_000);
    expect(fs.existsSync(path.join(site.store.mailbox, 'fred'))).toBe(false);
  });

  it('with a uid that no directory can have for a name are such users, for every command', () => {
    site = handSite();
    const { store } = site;
    store.folder(store.mailbox, 'fred', 'INBOX', INDEX(5));
    const result = withEntries(
      site,
      ['fred', 'u'.repeat(256), 'v'.repeat(4096)].map((uid) => entry(uid)),
    );
    expect([result.status, foldersResult(result).users]).toMatchObject([0, { skipped: 0, withoutMailbox: 2 }]);
    const fred = path.join(store.root, 'fred.txt');
    const head = fs.readFileSync(path.join(store.mailbox, '__up.primary.txt'), 'utf8').split('\n').slice(0, 3);
    fs.writeFileSync(fred, [...head, 'fred', ''].join('\n'));
    for (const args of [
      ['-s', '--dry-run', '--directory', store.ldif],
      ['-u', fred, '--take-foreign'],
      ['-m', '--dry-run'],
      // The second run with --take-foreign looks for what a killed one left root's.
      ['-m', '--take-foreign'],
      ['--verify'],
      ['-m', '-r'],
      ['--reset', '--yes'],
    ]) {
      const { status, stdout, stderr } = site.run('upgrade', ...args);
      expect(status, `${args.join(' ')}: ${stdout}${stderr}`).toBe(0);
    }
  });
});

describe('mailMessageStore', () => {
  it('is normalised; relative, dotted and control characters are refused for that user only', () => {
    site = handSite();
    const { store } = site;
    const sales = store.storePath('mail/sales');
    store.folder(sales, 'doubled', 'INBOX');
    const result = withEntries(site, [
      entry('doubled', { mailMessageStore: `${store.root}//mail///sales//` }),
      entry('plain', { mailMessageStore: sales }),
      entry('default', { mailMessageStore: `${store.mailbox}/` }),
      entry('relative', { mailMessageStore: 'mail/sales' }),
      entry('dot', { mailMessageStore: `${store.root}/./mail/sales` }),
      entry('dotdot', { mailMessageStore: `${store.root}/mail/default/../sales` }),
      entry('newline', { mailMessageStore: `${sales}\n/etc` }),
      entry('nul', { mailMessageStore: `${sales}\0` }),
      entry('empty', { mailMessageStore: '' }),
      entry('missing', { mailMessageStore: `${store.root}/mail/no-such-disk` }),
      entry('file', { mailMessageStore: store.ldif }),
    ]);
    expect(result.status).toBe(1);
    expect(usersOf(site).sort()).toEqual(['default', 'doubled', 'plain']);
    expect(foldersResult(result).users).toMatchObject({ found: 3, skipped: 8 });
    expect(foldersResult(result).errors).toHaveLength(8);
    expect(site.mailbox('user/doubled/INBOX').partition).toBe('sales');
    expect(site.mailbox('user/default/INBOX').partition).toBe('primary');
    const made = fs.statSync(path.join(sales, '.0004x.sales'));
    expect(made.mode & 0o777).toBe(0o700);
  });

  it('must be owned, up to the root, by root or the server account and not be writable by others', (ctx) => {
    needRoot(ctx);
    site = handSite();
    const { store } = site;
    const open = store.storePath('mail/open');
    const below = store.storePath('mail/openparent/below');
    const sticky = store.storePath('mail/stickyparent/kept');
    const group = store.storePath('mail/group');
    const foreign = store.storePath('mail/foreign');
    const vouched = store.storePath('mail/vouchedparent/vouched');
    const ofRoot = store.storePath('mail/ofroot');
    store.finish();
    fs.chmodSync(open, 0o777);
    fs.chmodSync(path.dirname(below), 0o707);
    fs.chmodSync(path.dirname(sticky), 0o1777);
    fs.chmodSync(group, 0o770);
    fs.chownSync(foreign, 12345, 12345);
    fs.chmodSync(path.dirname(vouched), 0o777);
    fs.chownSync(ofRoot, 0, 0);
    const uids = { open, below, sticky, group, foreign, vouched, ofRoot };
    fs.writeFileSync(
      store.ldif,
      Object.entries(uids)
        .map(([uid, mailMessageStore]) => entry(uid, { mailMessageStore }))
        .join(''),
    );
    const result = site.folders('--store-path', vouched);
    expect(result.status, result.stderr).toBe(1);
    expect(usersOf(site).sort()).toEqual(['group', 'ofRoot', 'sticky', 'vouched']);
    const { errors } = foldersResult(result);
    expect(errors.map(({ user, code }) => `${user} ${code}`).sort()).toEqual([
      'below STORE_PATH_UNTRUSTED',
      'foreign STORE_PATH_UNTRUSTED',
      'open STORE_PATH_UNTRUSTED',
    ]);
    for (const refused of [open, below, foreign]) expect(fs.readdirSync(refused)).toEqual([]);
    expect(site.messages().status).toBe(0);
  });

  it.for(['the same directory by a link', 'the same by a bind mount', 'one in the other', 'one in the default'])(
    'two paths that are %s stop the run before anything is written',
    async (how, ctx) => {
      site = handSite();
      const { store } = site;
      const one = store.storePath('mail/one');
      let two = path.join(store.root, 'mail/two');
      let undo = () => {};
      if (how.includes('link')) {
        // Not below the store's root, where everything becomes the server account's: root follows only links of root.
        const elsewhere = fs.mkdtempSync(path.join(tmpdir(), 'mailhaul-link-'));
        fs.chmodSync(elsewhere, 0o755);
        two = path.join(elsewhere, 'two');
        fs.symlinkSync(one, two);
        undo = () => fs.rmSync(elsewhere, { recursive: true });
      } else if (how.includes('bind')) {
        needRoot(ctx);
        const { run } = await import('./loop.js');
        store.storePath('mail/two');
        run('mount', '--bind', one, two);
        undo = () => void run('umount', two);
      } else two = store.storePath(how.includes('default') ? 'mail/default/deep/two' : 'mail/one/deep/two');
      try {
        const result = withEntries(site, [
          entry('a', { mailMessageStore: one }),
          entry('b', { mailMessageStore: two }),
        ]);
        expect([result.status, result.stderr]).toEqual([3, expect.stringContaining('STORE_PATHS_OVERLAP')]);
        expect(result.stderr).toContain(two);
        expect(fs.existsSync(store.instance)).toBe(false);
        expect(fs.existsSync(path.join(one, '.0004x.one'))).toBe(false);
      } finally {
        undo();
      }
    },
  );

  it('never leads out: a mailbox directory that is a link is not opened, the others are done', () => {
    site = handSite();
    const { store } = site;
    const outside = store.folder(path.join(store.root, 'outside'), 'victim', 'INBOX', `${INDEX(3, 2)}1 9 - 1 one\n`);
    putMail(outside, 'one');
    fs.symlinkSync(path.join(store.root, 'outside/victim'), path.join(store.mailbox, 'evil'));
    store.folder(store.mailbox, 'good', 'INBOX');
    const result = withEntries(site, [entry('evil'), entry('good')]);
    expect(result.status).toBe(1);
    expect(foldersResult(result).errors).toMatchObject([{ user: 'evil', code: 'USER_DIRECTORY' }]);
    expect(site.messages('-r').status).toBe(0);
    expect(site.dump()).toEqual([]);
    expect(fs.readdirSync(outside).sort()).toEqual(['.mailbox', 'one']);
  });
});
