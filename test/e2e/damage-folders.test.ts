import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { engineOptions } from '../support/site.js';
import { header, line, subject } from './damage-support.js';
import { foldersResult, type HandSite, handSite, messagesResult, putMail } from './hand-site.js';

describe('damage of a whole folder', () => {
  let site: HandSite;
  beforeAll(() => {
    site = handSite();
  });
  afterAll(() => site?.remove());

  it.each(engineOptions())(
    'a folder directory that cannot be read is an error of its own; the rest goes on, %s',
    (engine) => {
      const own = handSite();
      try {
        const { store } = own;
        store.user('fred');
        store.user('anna');
        putMail(store.folder(store.mailbox, 'fred', 'INBOX', header(2) + line(1, 'one')), 'one');
        const closed = store.folder(store.mailbox, 'fred', 'Closed', header(2) + line(1, 'two'));
        putMail(closed, 'two');
        putMail(store.folder(store.mailbox, 'anna', 'INBOX', header(2) + line(1, 'three')), 'three');
        store.finish();
        fs.chmodSync(closed, 0o000);
        const folders = own.folders();
        expect(folders.status).toBe(1);
        expect(foldersResult(folders).errors).toMatchObject([
          { user: 'fred', folder: 'Closed', code: 'FOLDER_UNREADABLE' },
        ]);
        expect(own.log()).toMatch(/Error: fred, Closed: FOLDER_UNREADABLE/);
        own.messages(engine);
        expect(own.dump().map(({ mailbox, sha256: digest }) => [mailbox, digest])).toEqual([
          ['user/anna/INBOX', subject('three')],
          ['user/fred/INBOX', subject('one')],
        ]);
        fs.chmodSync(closed, 0o700);
        expect(fs.existsSync(path.join(closed, 'two'))).toBe(true);
        // Repaired: the next runs take it.
        expect(own.folders().status).toBe(0);
        expect(own.messages(engine).status).toBe(0);
        expect(own.dump('user/fred/Closed')).toMatchObject([{ uid: 1, sha256: subject('two') }]);
      } finally {
        own.remove();
      }
    },
  );

  it.each(engineOptions())('one that becomes unreadable between -s and -m is an error of -m, %s', (engine) => {
    const own = handSite();
    try {
      const { store } = own;
      store.user('fred');
      putMail(store.folder(store.mailbox, 'fred', 'INBOX', header(2) + line(1, 'one')), 'one');
      const closed = store.folder(store.mailbox, 'fred', 'Closed', header(2) + line(1, 'two'));
      putMail(closed, 'two');
      store.finish();
      expect(own.folders().status).toBe(0);
      fs.chmodSync(closed, 0o000);
      const result = own.messages(engine);
      expect(result.status).toBe(1);
      expect(messagesResult(result).errors).toMatchObject([{ user: 'fred', folder: 'Closed', file: '' }]);
      expect(own.mailbox('user/fred/INBOX').state).toBe('NON-TRANSITION');
      expect(own.mailbox('user/fred/Closed').state).toBe('TRANSITION');
      fs.chmodSync(closed, 0o700);
      expect(own.messages(engine).status).toBe(0);
      expect(own.dump('user/fred/Closed')).toMatchObject([{ uid: 1, sha256: subject('two') }]);
    } finally {
      own.remove();
    }
  });

  it('a uidvalidity that -s chose is above any earlier one of that name, and never changes', () => {
    const { store } = site;
    store.user('fred');
    const early = 4_000_000_000; // after the year 2096: above the clock
    const folder = store.folder(store.mailbox, 'fred', 'INBOX', header(9, early) + line(1, 'one'));
    putMail(folder, 'one');
    store.finish();
    expect(site.folders().status).toBe(0);
    expect(site.mailbox('user/fred/INBOX').uidvalidity).toBe(early);
    fs.writeFileSync(path.join(folder, '.mailbox'), line(1, 'one'));
    expect(site.folders().status).toBe(0);
    const chosen = site.mailbox('user/fred/INBOX').uidvalidity;
    expect(chosen).toBeGreaterThan(early);
    // The header comes back, with a number above and one below.
    fs.writeFileSync(path.join(folder, '.mailbox'), header(9, 4_100_000_000) + line(1, 'one'));
    expect(site.folders().status).toBe(0);
    expect(site.mailbox('user/fred/INBOX').uidvalidity).toBe(chosen);
    expect(site.messages().status).toBe(0);
    expect(site.mailbox('user/fred/INBOX').uidvalidity).toBe(chosen);
    expect(site.run('upgrade', '--verify').status).toBe(0);
    expect(site.folders().status).toBe(0);
    expect(site.mailbox('user/fred/INBOX').uidvalidity).toBe(chosen);
  });

  it('ignores mail quotas', () => {
    const own = handSite();
    try {
      const { store } = own;
      store.user('fred', { mailQuota: '1' });
      putMail(store.folder(store.mailbox, 'fred', 'INBOX', header(2) + line(1, 'one')), 'one');
      store.finish();
      expect(own.folders().status).toBe(0);
      expect(own.messages().status).toBe(0);
      expect(own.dump()).toHaveLength(1);
    } finally {
      own.remove();
    }
  });
});
