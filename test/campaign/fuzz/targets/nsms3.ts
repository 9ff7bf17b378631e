/** Readers of the 3.x installation, and the plan that is made of a folder's index. */
import { checkValue, isOptionName } from '../../../../src/config/configdb.js';
import type { DirectoryScan } from '../../../../src/engine/types.js';
import { MailhaulError } from '../../../../src/errors.js';
import { readAcl } from '../../../../src/source/nsms3/acl.js';
import { parseConfiguration } from '../../../../src/source/nsms3/configuration.js';
import { lookAtIndex, readIndex } from '../../../../src/source/nsms3/mailbox.js';
import { serverState } from '../../../../src/source/nsms3/running.js';
import { readSubscriptions } from '../../../../src/source/nsms3/subscriptions.js';
import type { FolderIndex, SourceWarning } from '../../../../src/source/types.js';
import { planFolder, recordOf } from '../../../../src/upgrade/plan.js';
import { carriedOptions } from '../../../../src/upgrade/setup.js';
import type { FolderPlan, MigrationRecord } from '../../../../src/upgrade/types.js';
import { type FuzzTarget, promise, sure } from '../types.js';
import { bytes, sameShape, scratch } from './scratch.js';

const MAX = 0xffff_ffff;

/** Warnings are for a terminal: bounded, and without control characters. */
function checkWarnings(warnings: readonly SourceWarning[]): void {
  promise(warnings.length <= 1200, 'warnings are bounded');
  for (const { code, message, where } of warnings) {
    promise(/^[A-Z]+(_[A-Z]+)+$/.test(code), 'a warning has a code');
    promise(!/[\x00-\x1f\x7f-\x9f]/.test(message + where), 'a warning holds no control characters');
    promise(message.length < 2000, 'a warning is short');
  }
}

function nameAt(columns: { names: Uint8Array; nameOffsets: Uint32Array }, i: number): Uint8Array {
  return columns.names.subarray(columns.nameOffsets[i], columns.nameOffsets[i + 1]);
}

function checkIndexColumns(index: FolderIndex): void {
  promise(index.count === index.uids.length && index.nameOffsets.length === index.count + 1, 'columns agree');
  let highest = 0;
  for (let i = 0; i < index.count; i++) {
    const name = nameAt(index, i);
    promise(name.length > 0 && name[0] !== 0x2e && !name.includes(0x2f) && !name.includes(0), 'a name is usable');
    promise(index.uids[i]! >= 1, 'a uid is at least 1');
    highest = Math.max(highest, index.uids[i]!);
    const date = index.internalDates[i]!;
    promise(Number.isNaN(date) || (Number.isSafeInteger(date) && date >= 0), 'a date is seconds or none');
    promise(index.flags[i]! < 32, 'flags are those of IMAP');
    for (let k = index.keywordOffsets[i]!; k < index.keywordOffsets[i + 1]!; k++) {
      promise(index.keywordRefs[k]! < index.keywords.length, 'a keyword is in the table');
    }
  }
  promise(highest === index.highestUid, 'the highest uid is known');
}

/** A directory that holds the files of every second line and some others; kinds and sizes by position. */
function scanFor(index: FolderIndex): DirectoryScan {
  const names = new Map<string, Buffer>();
  for (let i = 0; i < index.count; i += i % 3 === 0 ? 1 : 2) {
    const name = Buffer.from(nameAt(index, i));
    if (name.length < 256) names.set(name.toString('latin1'), name);
  }
  for (const extra of ['x', 'y\r', 'z']) names.set(extra, Buffer.from(extra));
  const all = [...names.values()];
  const nameOffsets = new Uint32Array(all.length + 1);
  all.forEach((name, i) => {
    nameOffsets[i + 1] = nameOffsets[i]! + name.length;
  });
  return {
    count: all.length,
    names: new Uint8Array(Buffer.concat(all)),
    nameOffsets,
    inodes: BigUint64Array.from(all, (_, i) => BigInt(1000 + i)),
    sizes: Float64Array.from(all, (_, i) => (i % 5) * 10),
    mtimes: BigInt64Array.from(all, (_, i) => BigInt(i % 7) * 1_000_000_000n),
    modes: Uint32Array.from(all, (_, i) => [0o100600, 0o100600, 0o100600, 0o120777, 0o100666, 0o040700][i % 6]!),
    uids: Uint32Array.from(all, (_, i) => (i % 11 === 0 ? 0 : 8)),
    nlinks: new Uint32Array(all.length).fill(1),
    errors: all.length > 4 ? [{ index: 4, errno: 5 }] : [],
  };
}

function planOf(index: FolderIndex, previous: MigrationRecord | undefined): FolderPlan {
  const scan = scanFor(index);
  const chosenUidvalidity = index.header?.uidvalidity ?? 77;
  return planFolder({ index, scan, previous, chosenUidvalidity, ownerUid: 8, takeForeign: false, now: 1_000_000_000 });
}

function checkPlan(plan: FolderPlan, index: FolderIndex): void {
  checkWarnings(plan.warnings);
  const { messages, uidnext, uidvalidity } = plan;
  promise(uidvalidity >= 1 && uidvalidity <= MAX && uidnext >= 1 && uidnext <= MAX, 'uidvalidity and uidnext fit');
  const seen = new Set<string>();
  let last = 0;
  for (let i = 0; i < messages.count; i++) {
    promise(messages.uids[i]! > last, 'uids of a plan ascend');
    last = messages.uids[i]!;
    const name = Buffer.from(nameAt(messages, i)).toString('latin1');
    promise(!seen.has(name), 'a file is planned once');
    seen.add(name);
    promise(Number.isFinite(messages.internalDates[i]!), 'a message has a date');
  }
  promise(last < uidnext, 'uidnext is above all uids');
  if (uidvalidity === index.header?.uidvalidity) promise(uidnext >= index.header.uidnext, 'uidnext never falls');
  for (const keyword of plan.keywords) promise(/^[!-~]+$/.test(keyword), 'a keyword is an atom');
  const folded = new Set(plan.keywords.map((keyword) => keyword.toLowerCase()));
  promise(folded.size === plan.keywords.length, 'keywords that differ in case are one');
}

function mailbox(): FuzzTarget {
  const place = scratch();
  return {
    name: 'mailbox',
    maxBytes: 16_384,
    seeds: () => [
      bytes('NSMB 3 5 9', '1 900000000 SA,$Forwarded,Junk 10 a', '2 900000000 - 20 b c', '8 x ,junk 1 d', ''),
      bytes('NSMB 3 4294967295 4294967295', '4294967294 0 D 0 x', '4294967295 253402300800 RTF 0 y', ''),
      bytes('NSMB 3 1 1\r', '3 1  5 y\r', '2 1 QQ 5 z', '2 1 S,,a(b 5 x', '1 1 - 5 .hidden', 'cut'),
      bytes('', '1 1 - 1 a', '1 1 - 1 a', '0 1 - 1 b', '5 1 - 1 a/b'),
      bytes(),
    ],
    tokens: ['NSMB 3 ', '4294967295', '4294967296', ' - ', ',', 'SADFTR', '$Junk', ' 0 ', '\r\n', 'x', 'y\r', 'z'],
    // Names, columns, table of names, plan, twice.
    stepsPerByte: 4000,
    run(input) {
      place.write('.mailbox', input);
      const index = readIndex(place.dir);
      checkWarnings(index.warnings);
      checkIndexColumns(index);
      promise(sameShape(lookAtIndex(place.dir).header, index.header), 'the header is the same, read alone');
      const plan = sure('a plan never throws', () => planOf(index, undefined));
      checkPlan(plan, index);
      const record = recordOf(plan);
      const again = sure('a plan never throws', () => planOf(index, record));
      promise(sameShape(again.messages.uids, plan.messages.uids), 'a repeated plan keeps every uid');
      promise(again.uidvalidity === plan.uidvalidity && again.uidnext === plan.uidnext, 'and every number');
    },
    close: () => place.remove(),
  };
}

function acl(): FuzzTarget {
  const place = scratch();
  return {
    name: 'acl',
    maxBytes: 8192,
    seeds: () => [
      bytes('anna lrswipcda', 'anyone lr', 'a b\tlrs', 'anna l', 'bob xyz', 'c llr', ''),
      bytes('anna lrs\r', '\r', 'group=x 01\r', ''),
      bytes('\xc3\xa9va lr', '\xe9va lr', '\x1b[1m lr', ' lr', 'lr', '\xa0x lr'),
    ],
    tokens: ['anyone', ' lrs', '\t', '\r\n', '\xe2\x80\xa8', '\xc2\x85'],
    run(input) {
      place.write('.acl', input);
      const { entries, warnings } = readAcl(place.dir);
      checkWarnings(warnings);
      const seen = new Set<string>();
      for (const { identifier, rights } of entries) {
        promise(/^[lrswipcda0-9]+$/.test(rights), 'rights are those of RFC 2086');
        promise(new Set(rights).size === rights.length, 'a right is there once');
        promise(identifier !== '' && !/[\x00-\x1f\x7f]/.test(identifier), 'an identifier is text');
        promise(!seen.has(identifier), 'an identifier is there once');
        seen.add(identifier);
      }
    },
    close: () => place.remove(),
  };
}

function subscriptions(): FuzzTarget {
  const place = scratch();
  return {
    name: 'subscriptions',
    maxBytes: 8192,
    seeds: () => [
      bytes('INBOX', 'INBOX/a', 'b/c/d', '\xe9', 'b/c/d', ''),
      bytes('/a', 'a//b', 'a/', '.x', 'a/.b', '..', 'x'.repeat(256), ''),
      bytes('a\r', 'b\r', ''),
    ],
    tokens: ['/', '..', '/.', '\r\n', 'INBOX'],
    run(input) {
      place.write('.subscriptions', input);
      const { folders, warnings } = readSubscriptions(place.dir);
      checkWarnings(warnings);
      for (const path of folders) {
        promise(path.length > 0, 'a subscription names a folder');
        for (const name of path) {
          promise(name.length > 0 && name.length <= 255, 'a name is one that a directory can have');
          promise(name[0] !== 0x2e && !name.includes(0x2f) && !name.includes(0), 'a name is one component');
        }
      }
    },
    close: () => place.remove(),
  };
}

function conf3x(): FuzzTarget {
  return {
    name: 'conf3x',
    maxBytes: 4096,
    seeds: () => [
      bytes(
        '# comment',
        'Version: 3.6',
        'HostName: mail.airius.com',
        'MailboxDirectory: /var//mail/',
        'PostOfficeDirectory: /q',
        'LdapUrl: ldap://d/o=a',
        'LdapBaseDN: o=a',
        'LdapBindDN: cn=x',
        'LdapBindPasswordFile: /p',
        'ServerUser: mailsrv',
        'ServerGroup: nobody',
        'Postmaster: p@a',
        'SmtpPort: 25',
        'ImapPort: 143',
        'PopPort: 110',
        'HttpPort: 80',
        'QuotaDefault: 0',
        'MaxQueueTime: 5d',
        'LogLevel: Notice',
        'AllowBareLF: yes',
        'SingleCopy: off',
        'Unknown-Key: \xe9',
        '',
      ),
      bytes('\xef\xbb\xbfversion:3.01\r', 'HOSTNAME : h', 'mailboxdirectory:/a', 'x', ': y', 'SmtpPort: 99999'),
      bytes('Version: 3.6', 'Version: 3.6', 'HostName: a.b', 'MailboxDirectory: /a/../b'),
    ],
    tokens: ['3.62', '3.005', '2.9', '/..', '/./', ': ', '#', '\r\n', '\xc3\xa9', '|'],
    run(input) {
      const configuration = parseConfiguration(input, '/x/NscpMail.conf');
      checkWarnings(configuration.warnings);
      const { mailboxDirectory, postOfficeDirectory } = configuration;
      for (const path of [mailboxDirectory, postOfficeDirectory]) {
        if (path === null) continue;
        promise(path.startsWith('/') && !path.includes('//'), 'a path is absolute and normalised');
        promise(!path.split('/').some((part) => part === '.' || part === '..'), 'a path has no . and no ..');
      }
      for (const [option, value] of carriedOptions(configuration)) {
        promise(isOptionName(option), 'a carried option has a name');
        sure('a carried value fits', () => checkValue(option, value));
      }
    },
  };
}

function pid(): FuzzTarget {
  const place = scratch();
  return {
    name: 'pid',
    maxBytes: 5000,
    seeds: () => [
      bytes('1', ''),
      bytes('99999999'),
      bytes(''),
      bytes('2147483648', ''),
      bytes(' 12 \r', ''),
      bytes('-1'),
    ],
    run(input) {
      place.write('NscpMail.pid', input);
      try {
        const state = serverState(place.dir);
        if (state.kind === 'running') promise(state.pid >= 1 && state.pid < 2 ** 31, 'a pid is one');
        if (state.kind === 'unknown') promise(!/[\x00-\x1f\x7f-\x9f]/.test(state.reason), 'a reason is text');
        if (input.length === 0) promise(state.kind === 'unknown', 'an empty file proves nothing');
      } catch (error) {
        promise(!(error instanceof MailhaulError), 'to look never throws');
        throw error;
      }
    },
    close: () => place.remove(),
  };
}

export const targets = [mailbox, acl, subscriptions, conf3x, pid];
