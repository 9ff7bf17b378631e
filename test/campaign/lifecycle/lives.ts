/**
 * What a store goes through between two runs of `upgrade`: folders deleted and renamed in 4.x by the library's calls,
 * folders and users that come, go and move in 3.x, flags that change, failures that are accepted and repaired. After
 * each: nothing comes back, nothing doubles, nothing vanishes. Real commands on a store made by hand.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { FLAG } from '../../../src/engine/types.js';
import { MAIL } from '../../e2e/hand-site.js';
import { ACCOUNT, INDEX } from '../../upgrade/small-store.js';
import { asService } from '../support/service.js';
import { codes, folderCodes, type Life } from './life.js';

export const LIVES: readonly Life[] = [
  {
    name: 'deleted and renamed in 4.x: -s, -m, late -r bring nothing back',
    async run(site) {
      site.made.store.user('anna');
      site.fill('anna', 'INBOX', 'in');
      site.fill('anna', 'Gone', 'g1', 'g2');
      site.fill('anna', 'Gone/Below', 'b1');
      site.fill('anna', 'Old', 'o1', 'o2');
      site.made.store.finish();
      site.s(0);
      site.m(0);
      await asService(site.made.store.instance, async (service) => {
        await service.delete('user/anna/Gone');
        await service.rename('user/anna/Old', 'user/anna/Kept');
        await service.append('user/anna/Kept', MAIL('service'));
      });
      const expected = {
        'user/anna/INBOX': ['1:in'],
        'user/anna/Gone/Below': ['1:b1'],
        'user/anna/Kept': ['1:o1', '2:o2', '3:service'],
      };
      for (const again of [() => site.s(0), () => site.m(0), () => site.m(0, '--accept-failures'), () => site.s(0)]) {
        again();
        site.expect(expected);
      }
      site.m(0, '-r');
      site.expect(expected);
      for (const name of ['INBOX', 'Gone', 'Gone/Below', 'Old']) {
        const left = fs
          .readdirSync(site.folder('anna', name))
          .filter((file) => !file.startsWith('.') && file !== 'Below');
        site.is(left, [], `3.x files of ${name}`);
      }
      site.s(0);
      site.m(0, '-r');
      site.expect(expected);
    },
  },
  {
    name: 'a name of 4.x is taken by a new 3.x folder: both stay',
    async run(site) {
      site.made.store.user('anna');
      site.fill('anna', 'Old', 'o1');
      site.made.store.finish();
      site.s(0);
      site.m(0);
      await asService(site.made.store.instance, async (service) => {
        await service.rename('user/anna/Old', 'user/anna/New');
        await service.create('user/anna/Made', 'user/anna/New');
        await service.append('user/anna/Made', MAIL('made'));
      });
      site.fill('anna', 'New', 'n1');
      site.fill('anna', 'Made', 'm1');
      site.s(0);
      site.m(0);
      const names = site.made.mailboxes().map(({ name }) => name.replace(/~[0-9a-f]{8}$/, '~'));
      const expected = ['user/anna/INBOX', 'user/anna/Made', 'user/anna/Made~', 'user/anna/New', 'user/anna/New~'];
      site.is(names.sort(), expected, 'names');
      const subjects = (site.made.dump() as unknown as { envelope: string[] }[]).map(({ envelope }) => envelope[1]);
      site.is(subjects.sort(), ['m1', 'made', 'n1', 'o1'], 'messages');
    },
  },
  {
    name: 'another 3.x folder in the place of a migrated one is told, and changes nothing in 4.x',
    async run(site) {
      site.made.store.user('anna');
      const old = site.fill('anna', 'Work', 'w1');
      site.made.store.finish();
      site.s(0);
      site.m(0);
      await asService(site.made.store.instance, (service) => service.rename('user/anna/Work', 'user/anna/Done'));
      fs.renameSync(old, path.join(site.made.store.root, 'elsewhere'));
      site.fill('anna', 'Work', 'w2');
      const result = site.s(0);
      site.is(folderCodes(result, 'warnings').includes('FOLDER_REPLACED'), true, 'warning');
      site.m(0);
      site.expect({ 'user/anna/INBOX': [], 'user/anna/Done': ['1:w1'] });
      site.m(0, '-r');
      site.is(fs.existsSync(path.join(site.folder('anna', 'Work'), 'w2')), true, 'the new file is there');
    },
  },
  {
    name: 'folders and users come after the first -s',
    async run(site) {
      site.made.store.user('anna');
      site.fill('anna', 'INBOX', 'in');
      site.made.store.finish();
      site.s(0);
      site.m(0);
      site.made.store.user('fred');
      site.fill('fred', 'INBOX', 'fin');
      site.fill('anna', 'Late', 'l1');
      site.fill('anna', 'INBOX/Sub', 's1');
      site.made.store.finish();
      site.m(0);
      site.expect({ 'user/anna/INBOX': ['1:in'] });
      site.s(0);
      site.m(0);
      site.expect({
        'user/anna/INBOX': ['1:in'],
        'user/anna/INBOX/Sub': ['1:s1'],
        'user/anna/Late': ['1:l1'],
        'user/fred/INBOX': ['1:fin'],
      });
    },
  },
  {
    name: 'a 3.x folder is renamed, another deleted, between -s and -m',
    async run(site) {
      site.made.store.user('anna');
      site.fill('anna', 'INBOX', 'in');
      site.fill('anna', 'A', 'a1');
      site.fill('anna', 'B', 'b1');
      site.made.store.finish();
      site.s(0);
      fs.renameSync(site.folder('anna', 'A'), site.folder('anna', 'C'));
      fs.rmSync(site.folder('anna', 'B'), { recursive: true });
      site.is(codes(site.m(1)), ['FOLDER_GONE', 'FOLDER_GONE'], 'errors');
      const again = site.s(0);
      site.is(folderCodes(again, 'warnings'), ['FOLDER_VANISHED', 'FOLDER_VANISHED'], 'warnings');
      site.m(0);
      site.expect({
        'user/anna/INBOX': ['1:in'],
        'user/anna/A': [],
        'user/anna/B': [],
        'user/anna/C': ['1:a1'],
      });
    },
  },
  {
    name: 'a 3.x folder is renamed between a failed and a repeated run',
    async run(site) {
      site.made.store.user('anna');
      const work = site.fill('anna', 'Work', 'w1', 'w2', 'w3');
      site.breakMail(work, 'w2');
      site.made.store.finish();
      site.s(0);
      site.m(1);
      const moved = site.folder('anna', 'Moved');
      fs.renameSync(work, moved);
      site.is(codes(site.m(1)), ['FOLDER_GONE'], 'errors');
      site.is(folderCodes(site.s(1), 'errors'), ['FOLDER_VANISHED'], 'errors of -s');
      site.repair(moved, 'w2');
      site.m(1);
      site.expect({ 'user/anna/INBOX': [], 'user/anna/Moved': ['1:w1', '2:w2', '3:w3'], 'user/anna/Work': [] });
      // Back where it was: what was begun is finished, with the uids on record.
      fs.renameSync(moved, work);
      site.s(0);
      site.m(0);
      const expected = ['1:w1', '2:w2', '3:w3'];
      site.expect({ 'user/anna/INBOX': [], 'user/anna/Moved': expected, 'user/anna/Work': expected });
    },
  },
  {
    name: 'a user moves to another store path, before and after the migration',
    async run(site) {
      const { store } = site.made;
      const disk = store.storePath('mail/disk2');
      store.user('anna');
      store.user('fred');
      site.fill('anna', 'INBOX', 'in');
      site.fill('anna', 'Work', 'w1');
      site.fill('fred', 'INBOX', 'fin');
      store.finish();
      site.s(0);
      site.m(0, '-i');
      const move = (uid: string): void => {
        fs.renameSync(path.join(store.mailbox, uid), path.join(disk, uid));
        const text = fs.readFileSync(store.ldif, 'utf8');
        fs.writeFileSync(store.ldif, text.replace(`uid: ${uid}\n`, `uid: ${uid}\nmailMessageStore: ${disk}\n`));
      };
      move('anna');
      move('fred');
      if (process.getuid?.() === 0) fs.chownSync(disk, ACCOUNT.uid, ACCOUNT.gid);
      site.s(0);
      site.m(0);
      const expected = { 'user/anna/INBOX': ['1:in'], 'user/anna/Work': ['1:w1'], 'user/fred/INBOX': ['1:fin'] };
      site.expect(expected);
      site.is(site.made.mailbox('user/anna/Work').partition, 'disk2', 'partition of the folder that came later');
      site.is(site.made.mailbox('user/anna/INBOX').partition, 'primary', 'partition of the one that was migrated');
      site.m(0, '-r');
      site.expect(expected);
      site.is(fs.existsSync(path.join(disk, 'fred/INBOX/fin')), false, 'original of the moved user');
    },
  },
  {
    name: 'a user leaves the directory',
    async run(site) {
      const { store } = site.made;
      store.user('anna');
      store.user('fred');
      const work = site.fill('fred', 'INBOX', 'f1', 'f2');
      site.fill('anna', 'INBOX', 'in');
      site.breakMail(work, 'f2');
      store.finish();
      site.s(0);
      site.m(1);
      const text = fs.readFileSync(store.ldif, 'utf8');
      fs.writeFileSync(store.ldif, text.slice(0, text.indexOf('dn: cn=1,')));
      site.s(0);
      site.repair(work, 'f2');
      site.m(0);
      site.expect({ 'user/anna/INBOX': ['1:in'], 'user/fred/INBOX': ['1:f1', '2:f2'] });
    },
  },
  {
    name: 'partition paths: refused where mail is, free where none is; -s again',
    async run(site) {
      const { store } = site.made;
      const disk = store.storePath('mail/disk2');
      store.user('anna');
      store.user('fred', { mailMessageStore: disk });
      site.fill('anna', 'INBOX', 'in');
      store.folder(disk, 'fred', 'INBOX', INDEX(7, 1));
      store.finish();
      site.s(0);
      const other = path.join(store.root, 'other');
      fs.mkdirSync(other, { mode: 0o700 });
      if (process.getuid?.() === 0) fs.chownSync(other, ACCOUNT.uid, ACCOUNT.gid);
      const set = (name: string, value: string) =>
        site.made.run('configutil', '-o', `store.partition.${name}.path`, '-v', value).status;
      const get = (name: string) => site.made.run('configutil', '-o', `store.partition.${name}.path`).stdout.trim();
      const list = path.join(store.root, 'anna.txt');
      const lines = fs.readFileSync(path.join(store.mailbox, '__up.primary.txt'), 'utf8');
      fs.writeFileSync(list, lines);
      site.is(site.made.run('upgrade', '-u', list).status, 0, '-u');
      site.is(set('primary', other) === 0, false, 'configutil on a used partition succeeded');
      site.is(set('disk2', other), 0, 'configutil on an unused partition');
      site.s(0, '--keep-partition-paths');
      site.is(get('disk2').includes(other), true, '--keep-partition-paths kept it');
      site.s(0);
      site.is(get('disk2').includes(other), false, '-s set it back');
      site.is(set('disk2', other), 0, 'configutil again');
      site.m(0);
      site.is(site.made.mailbox('user/fred/INBOX').path?.startsWith(other), true, 'fred lies there');
      site.s(0);
      site.is(get('disk2').includes(other), true, 'a path with mail stays');
      site.expect({ 'user/anna/INBOX': ['1:in'], 'user/fred/INBOX': [] });
    },
  },
  {
    name: '3.x rewrites .mailbox between a failed and a repeated run: 3.x counts until the folder is published',
    async run(site) {
      site.made.store.user('anna');
      const work = site.fill('anna', 'Work', 'w1', 'w2', 'w3');
      site.breakMail(work, 'w2');
      site.made.store.finish();
      site.s(0);
      site.m(1);
      // Lines moved, flags changed, w3 expunged, a new message, other uids.
      site.put(work, 'new');
      fs.unlinkSync(path.join(work, 'w3'));
      fs.writeFileSync(path.join(work, '.mailbox'), `${INDEX(50, 9)}8 9 A 9 new\n2 5 F,kw 9 w2\n1 6 SD 9 w1\n`);
      site.repair(work, 'w2');
      site.m(0);
      site.expect({ 'user/anna/INBOX': [], 'user/anna/Work': ['1:w1', '2:w2', '8:new'] });
      const flags = () =>
        site.made.dump('user/anna/Work').map((message) => [message.uid, message.flags, message.internaldate]);
      const now = [
        [1, ['\\Seen', '\\Deleted'], 6],
        [2, ['\\Flagged', 'kw'], 5],
        [8, ['\\Answered'], 9],
      ];
      site.is(flags(), now, 'flags');
      // Published: whatever 3.x says from now on, 4.x counts.
      fs.writeFileSync(path.join(work, '.mailbox'), `${INDEX(50, 9)}1 6 - 9 w1\n`);
      site.s(0);
      site.m(0);
      site.is(flags(), now, 'flags after publication');
    },
  },
  {
    name: 'the same after --accept-failures: what is in 4.x stays, what is added has the flags of the day',
    async run(site) {
      site.made.store.user('anna');
      const work = site.fill('anna', 'Work', 'w1', 'w2', 'w3');
      site.breakMail(work, 'w2');
      site.made.store.finish();
      site.s(0);
      site.m(1, '--accept-failures');
      await asService(site.made.store.instance, async (service) => {
        await service.flag('user/anna/Work', 1, FLAG.answered);
        await service.rename('user/anna/Work', 'user/anna/Mine');
      });
      fs.unlinkSync(path.join(work, 'w3'));
      fs.writeFileSync(path.join(work, '.mailbox'), `${INDEX(50, 9)}2 5 F 9 w2\n1 6 SD 9 w1\n`);
      site.repair(work, 'w2');
      site.s(0);
      site.m(0, '-r');
      site.expect({ 'user/anna/INBOX': [], 'user/anna/Mine': ['1:w1', '3:w3', '9:w2'] });
      site.is(
        site.made.dump('user/anna/Mine').map((message) => message.flags),
        [['\\Answered'], [], ['\\Flagged']],
        'flags',
      );
      site.is(fs.existsSync(path.join(work, 'w2')), false, 'w2 was removed');
      site.s(0);
      site.m(0, '-r');
      site.expect({ 'user/anna/INBOX': [], 'user/anna/Mine': ['1:w1', '3:w3', '9:w2'] });
    },
  },
];
