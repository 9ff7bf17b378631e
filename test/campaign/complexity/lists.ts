/** Files of many lines or one long one: rights and subscriptions, lists of users, exports, configuration. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { openConfigDb } from '../../../src/config/configdb.js';
import { readLdif } from '../../../src/directory/ldif.js';
import { nsms3 } from '../../../src/source/nsms3/source.js';
import { parseUserList, userListHeader } from '../../../src/upgrade/userlists.js';
import { HOST } from '../../upgrade/small-store.js';
import { type Case, sizes } from './case.js';
import { answered, drain, file } from './inputs.js';

const ENTRY = (i: number) =>
  `dn: cn=${i},o=x\nobjectClass: mailRecipient\nuid: u${i}\nmailHost: ${HOST}\nmailDeliveryOption: mailbox\n\n`;

const USER = 'dn: cn=a,o=x\nobjectClass: mailRecipient\nuid: anna\nmailHost: mail.example.com\n';
function ldif(
  name: string,
  unit: string,
  range: Pick<Case, 'quick' | 'long'>,
  head: string,
  token: (i: number) => string,
  limit?: string,
): Case {
  const shape = { name: `LDIF: ${name}`, unit, ...range, ...(limit === undefined ? {} : { limit }) };
  return file(shape, 'users.ldif', head, token, (_dir, directory) => {
    const fd = fs.openSync(path.join(directory, 'users.ldif'), 'r');
    try {
      drain(readLdif(fd, HOST));
    } finally {
      fs.closeSync(fd);
    }
  });
}

export const LISTS: readonly Case[] = [
  file(
    { name: '.subscriptions: levels', unit: 'KiB', ...sizes(2_048, 100 * 1024), limit: '8 MiB, 100,000 lines' },
    '.subscriptions',
    '',
    (i) => `${i.toString(16).padStart(8, '0')}/${'a/'.repeat(507)}\n`.slice(0, -2).concat('\n'),
    (dir) => nsms3.readSubscriptions(dir),
  ),
  file(
    { name: '.acl: lines', unit: 'lines', ...sizes(60_000, 6_000_000), limit: '1 MiB, 10,000 lines' },
    '.acl',
    '',
    (i) => `user${i} lrs\n`,
    (dir) => nsms3.readAcl(dir),
  ),
  file(
    { name: '.acl: one line', unit: 'KiB', ...sizes(4 * 1024, 100 * 1024), limit: '4 KiB a line, 1 MiB' },
    '.acl',
    '',
    () => 'x'.repeat(1024),
    (dir) => nsms3.readAcl(dir),
  ),
  file(
    { name: 'user list: lines', unit: 'lines', ...sizes(60_000, 1_000_000) },
    'list',
    userListHeader('primary', '/m'),
    (i) => `user${i}\n`,
    (_dir, directory) =>
      parseUserList(
        [fs.readFileSync(path.join(directory, 'list'))],
        (uid) => ({ uid, partition: 'primary', storePath: '/m' }) as never,
        'list',
      ),
  ),
  file(
    { name: 'user list: bad lines', unit: 'lines', ...sizes(60_000, 1_000_000), limit: '10,000 errors are listed' },
    'list',
    userListHeader('primary', '/m'),
    (i) => `no such user ${i}\n`,
    (_dir, directory) => parseUserList([fs.readFileSync(path.join(directory, 'list'))], () => undefined, 'list'),
  ),
  ldif('entries', 'entries', sizes(20_000, 400_000), '', ENTRY),
  ldif('one value', 'KiB', sizes(8 * 1024, 100 * 1024), `${USER}cn: `, () => 'x'.repeat(1024), '64 KiB a value'),
  ldif(
    'one value in base64',
    'KiB',
    sizes(8 * 1024, 100 * 1024),
    `${USER}cn:: `,
    () => 'eHh4'.repeat(256),
    '64 KiB a value',
  ),
  ldif('one value folded', 'lines', sizes(100_000, 4_000_000), `${USER}cn: x`, () => '\n x', '64 KiB a value'),
  ldif('values of one attribute', 'values', sizes(60_000, 1_000_000), USER, (i) => `cn: v${i}\n`, '1 MiB a record'),
  ldif(
    'kept values among large others',
    'values',
    sizes(64, 1_000),
    USER,
    (i) => `cn: v${i}\njpegphoto:: ${'eHh4'.repeat(64 * 1024)}\n`,
  ),
  file(
    { name: 'configdb: lines', unit: 'lines', ...sizes(60_000, 500_000), limit: '16 MiB' },
    'configdb',
    '',
    (i) => `a.b${i % 50_000}|value ${i}\n`,
    (dir) => answered(() => openConfigDb(dir).get('a.b1')),
  ),
  file(
    { name: 'configdb: one line', unit: 'KiB', ...sizes(8 * 1024, 100 * 1024), limit: '16 MiB' },
    'configdb',
    'a.b|',
    () => 'x'.repeat(1024),
    (dir) => answered(() => openConfigDb(dir).get('a.b')),
  ),
];
