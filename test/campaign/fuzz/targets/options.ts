/** Readers of 4.x configuration and lists: configdb, user lists, upgrade4x.conf, and an instance as a whole. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { type ConfigEntry, checkValue, isOptionName, openConfigDb } from '../../../../src/config/configdb.js';
import { createInstance, detectInstallation, openInstance } from '../../../../src/config/instance.js';
import { MailhaulError } from '../../../../src/errors.js';
import { formatControl, parseControl } from '../../../../src/upgrade/control.js';
import { readUpgradeConf } from '../../../../src/upgrade/folders-files.js';
import { setUpInstance } from '../../../../src/upgrade/setup.js';
import type { MappingUser } from '../../../../src/upgrade/types.js';
import { parseUserList, userListHeader } from '../../../../src/upgrade/userlists.js';
import { type FuzzTarget, promise, sure } from '../types.js';
import { bytes, sameShape, scratch } from './scratch.js';

const CONFIG = bytes(
  '# comment',
  'local.hostname|mail.airius.com',
  'Service.Smtp.Port|25',
  'a.b;lang-fr|x|y',
  'garbage \xff',
  'service.smtp.port|26\r',
  'a.cleared|',
  '|x',
  'store.partition.primary.path|/m',
  '',
);

function keyOf({ option, language }: ConfigEntry): string {
  return `${option.toLowerCase()};${language ?? ''}`;
}

/** Lines that are no option, as the file has them. */
function others(content: Uint8Array, entries: readonly ConfigEntry[]): string {
  const known = new Set(entries.map(keyOf));
  return Buffer.from(content)
    .toString('latin1')
    .split('\n')
    .filter((line) => !known.has(keyOfLine(line)) && line !== '')
    .join('\n');
}

function keyOfLine(line: string): string {
  const name = line.slice(0, Math.max(0, line.indexOf('|'))).toLowerCase();
  return name.includes(';') ? name : `${name};`;
}

function configdb(): FuzzTarget {
  const place = scratch();
  return {
    name: 'configdb',
    maxBytes: 8192,
    seeds: () => [CONFIG, bytes(), bytes('a|1', 'a|2', 'A|3')],
    tokens: ['|', ';lang-de|', '.', '-', '\r\n', '\xc3\xa9', '\x00', 'local.hostname'],
    async run(input) {
      place.write('configdb', input);
      const db = openConfigDb(place.dir);
      const before = db.entries();
      for (const entry of before) {
        promise(isOptionName(entry.option), 'an option has a name');
        promise(sameShape(db.entry(entry.option, entry.language), entry), 'an option that is listed is found');
      }
      promise(new Set(before.map(keyOf)).size === before.length, 'an option is listed once');
      const first = before[0]?.option ?? 'x.new';
      const changes: ConfigEntry[] = [
        { option: first, language: before[0]?.language ?? null, value: 'changed' },
        { option: 'x.added', language: 'lang-xx', value: 'a|b' },
      ];
      await db.update(changes);
      const after = db.entries();
      for (const change of changes) {
        promise(db.get(change.option, change.language) === change.value, 'a change is there');
      }
      const changed = new Set(changes.map(keyOf));
      const rest = (entries: readonly ConfigEntry[]): ConfigEntry[] => entries.filter((e) => !changed.has(keyOf(e)));
      promise(sameShape(rest(after), rest(before)), 'a change leaves other options alone');
      const written = fs.readFileSync(join(place.path, 'configdb'));
      const all = [...before, ...changes];
      promise(others(written, all) === others(input, all), 'a change leaves other lines alone');
    },
    close: () => place.remove(),
  };
}

function userlist(): FuzzTarget {
  const user = (uid: string, partition: string): MappingUser => ({ uid, storePath: '/m', partition, quota: null });
  const users = new Map([
    ['a', user('a', 'primary')],
    ['bob', user('Bob', 'primary')],
    ['c', user('c', 'other')],
  ]);
  const lookup = (uid: string): MappingUser | undefined => users.get(uid.toLowerCase());
  const header = userListHeader('primary', '/m');
  /** Pieces of `size` bytes, in one buffer, as a file is read. */
  function* pieces(input: Uint8Array, size: number): Generator<Uint8Array> {
    const buffer = new Uint8Array(size);
    for (let at = 0; at < input.length; at += size) {
      const piece = input.subarray(at, at + size);
      buffer.set(piece);
      yield buffer.subarray(0, piece.length);
    }
  }
  return {
    name: 'userlist',
    maxBytes: 8192,
    seeds: () => [
      bytes(`${header}a`, 'bob', 'c', 'd', ''),
      bytes(`${header}a`, '', ' a', 'a ', 'A', 'x'.repeat(5000), '\xe9'),
      bytes(header),
    ],
    tokens: [
      header,
      '[4x partition]:',
      '[3x MailStorePath]:',
      '#---------List of mail user id ------',
      '\nbob\n',
      '\r\n',
    ],
    run(input) {
      const list = parseUserList(pieces(input, Math.max(1, input.length)), lookup, 'list');
      const again = sure('pieces change nothing', () => parseUserList(pieces(input, 7), lookup, 'list'));
      promise(sameShape(again, list), 'pieces change nothing');
      promise(list.storePath.startsWith('/') && !list.storePath.includes('//'), 'a store path is normalised');
      for (const uid of list.users) {
        const found = lookup(uid);
        promise(found !== undefined && found.partition === list.partition, 'a listed user is one of the partition');
      }
      promise(new Set(list.users).size === list.users.length, 'a user is listed once');
      for (const { message } of [...list.errors, ...list.warnings]) {
        promise(message.length < 1000 && !/[\x00-\x1f\x7f]/.test(message), 'a message is short text');
      }
    },
  };
}

function upgrade4x(): FuzzTarget {
  const place = scratch();
  return {
    name: 'upgrade4x',
    maxBytes: 4096,
    seeds: () => [
      bytes('# x', 'upgrade.version|1', 'upgrade.removemessages|yes', 'upgrade.partition.primary.storepath|/m', ''),
    ],
    run(input) {
      place.write('upgrade4x.conf', input);
      const options = readUpgradeConf(place.dir);
      promise(options.size <= input.length, 'options are bounded');
    },
    close: () => place.remove(),
  };
}

function control(): FuzzTarget {
  return {
    name: 'control',
    maxBytes: 8192,
    seeds: () => [
      bytes('version 1', 'bwlimit 20M', 'iops 500', 'nice yes', ''),
      bytes('# x', '', ' bwlimit = 1.5gb\r', 'nice no\r', ''),
      bytes('iops 0', ''),
    ],
    tokens: ['bwlimit ', 'iops ', 'nice ', 'version ', 'yes', 'no', '=', 'KB', '\r\n', '.', '1000000000'],
    run(input) {
      const change = parseControl(input);
      promise(input.length <= 4096, 'a file is small');
      for (const limit of [change.bwlimit, change.iops]) {
        promise(limit === undefined || (Number.isSafeInteger(limit) && limit >= 0), 'a limit is a whole number');
      }
      promise(change.nice === undefined || typeof change.nice === 'boolean', 'nice is yes or no');
      const keys = Object.keys(change);
      promise(
        keys.every((key) => ['bwlimit', 'iops', 'nice'].includes(key)),
        'nothing else is changed',
      );
      const again = sure('what was read is written', () => parseControl(Buffer.from(formatControl(change))));
      promise(
        keys.every((key) => again[key as keyof typeof again] === change[key as keyof typeof change]),
        'and read',
      );
    },
  };
}

/** Root owns the instance here, as anybody who runs the fuzzer may. */
function instance(): FuzzTarget {
  const place = scratch();
  const path = join(place.path, 'msg-x');
  const from = join(place.path, 'msg-3');
  return {
    name: 'instance',
    // It asks NSS for accounts, in processes.
    weight: 40,
    maxBytes: 4096,
    async seeds() {
      const settings = { hostName: 'mail.airius.com', serverUser: 'root', serverGroup: 'root', from: null };
      (await createInstance(path, settings)).close();
      fs.mkdirSync(join(from, 'config'), { recursive: true });
      const conf = bytes('Version: 3.6', 'HostName: mail.airius.com', 'MailboxDirectory: /m', '');
      fs.writeFileSync(join(from, 'config', 'NscpMail.conf'), conf);
      return [new Uint8Array(fs.readFileSync(join(path, 'config', 'configdb'))), bytes()];
    },
    tokens: [
      'local.serveruid|',
      'local.servergid|',
      'local.hostname|',
      'logfile.default.loglevel|',
      'root',
      'nobody',
      '|0',
    ],
    async run(input) {
      fs.writeFileSync(join(path, 'config', 'configdb'), input);
      promise(detectInstallation(path) === '4.x', 'an instance is recognised by its configdb');
      try {
        const opened = openInstance(path);
        promise(typeof opened.owner.uid === 'number', 'an instance has an owner');
        opened.partitionPath('primary');
        opened.close();
      } catch (error) {
        if (!(error instanceof MailhaulError)) throw error;
      }
      const report = await setUpInstance({ instance: path, from, dryRun: true });
      promise(fs.readFileSync(join(path, 'config', 'configdb')).equals(input), 'a dry run changes nothing');
      for (const [option, value] of Object.entries(report.options)) checkValue(option, value);
    },
    close: () => place.remove(),
  };
}

export const targets = [configdb, userlist, upgrade4x, control, instance];
