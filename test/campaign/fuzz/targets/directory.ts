/** Readers of the user directory: LDIF, LDAP messages, LDAP URLs. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { decodeResponse, frameLength } from '../../../../src/directory/ldap-messages.js';
import { readLdif } from '../../../../src/directory/ldif.js';
import { parseLdapUrl } from '../../../../src/directory/open.js';
import type { DirectoryItem, SourceItem } from '../../../../src/directory/types.js';
import { uniqueUsers } from '../../../../src/directory/unique.js';
import { faultOfUid, isUserOf, validateEntry } from '../../../../src/directory/validate.js';
import { type FuzzTarget, promise, sure } from '../types.js';
import { bytes, sameShape, scratch } from './scratch.js';

const HOST = 'mail.airius.com';

function checkItem(item: DirectoryItem): void {
  if (item.kind !== 'user') {
    promise(/^DIR(_[A-Z]+)+$/.test(item.code), 'a problem has a code');
    promise(!/[\x00-\x1f\x7f]/.test(item.message), 'a message holds no control characters');
    promise(item.message.length < 3000 && item.dn.length < 3000, 'a message is short');
    return;
  }
  promise(faultOfUid(Buffer.from(item.uid)) === undefined, 'a uid is safe');
  promise(!item.uid.includes('/') && item.uid !== '.' && item.uid !== '..', 'a uid is one component');
  const { storePath, quota } = item;
  if (storePath !== null) {
    promise(storePath.startsWith('/') && !storePath.includes('//'), 'a store path is absolute and normalised');
    promise(!storePath.split('/').some((part) => part === '.' || part === '..'), 'a store path has no . and no ..');
    promise(!/[\x00-\x1f\x7f]/.test(storePath), 'a store path holds no control characters');
  }
  promise(quota === null || (Number.isSafeInteger(quota) && quota >= 0), 'a quota is bytes');
  for (const text of [item.mail ?? '', item.cn ?? '', item.dn]) promise(text.length <= 65_536, 'text is bounded');
}

async function checkUnique(items: readonly SourceItem[]): Promise<void> {
  async function* source(): AsyncGenerator<SourceItem> {
    yield* items;
  }
  const users = new Set<string>();
  let count = 0;
  for await (const item of uniqueUsers(source())) {
    count++;
    checkItem(item);
    if (item.kind !== 'user') continue;
    promise(!users.has(item.uid.toLowerCase()), 'a uid comes once');
    users.add(item.uid.toLowerCase());
  }
  promise(count === items.length, 'every item comes out');
}

const USER = [
  'dn: uid=a,o=x',
  'objectClass: mailRecipient',
  'uid: a',
  `mailHost: ${HOST}`,
  'mailDeliveryOption: mailbox',
];

function ldif(): FuzzTarget {
  const place = scratch();
  return {
    name: 'ldif',
    maxBytes: 16_384,
    seeds: () => [
      bytes('version: 1', '', ...USER, 'mailQuota: 100', 'mailMessageStore: /m//x/', 'cn:: w6k=', 'mail: a@x', ''),
      bytes(...USER, '', ...USER.map((line) => line.replace('uid: a', 'uid: A')), 'uid: b', ''),
      bytes('# comment', ' folded', ...USER.map((line) => `${line.slice(0, 9)}\r\n ${line.slice(9)}\r`), '\r', ''),
      bytes(
        'dn: x',
        'changetype: modify',
        'add: y',
        '-',
        '',
        'dn:< file:///etc/passwd',
        '',
        'search: 2',
        'result: 0 ok',
        '',
      ),
      bytes(...USER, 'mailmessagestore: /a/../b', '', 'x', '', 'dn:: !!', '', 'result: 4 size limit', ''),
    ],
    tokens: [
      'dn: ',
      '\ndn: x\n',
      '\n\n',
      '\n ',
      ':: ',
      ':< ',
      '/../',
      'uid: ',
      '\r\n',
      'changetype: add',
      ';binary',
      '#',
    ],
    stepsPerByte: 4000,
    async run(input) {
      const path = join(place.path, 'x.ldif');
      fs.writeFileSync(path, input);
      const fd = fs.openSync(path, 'r');
      try {
        const items: SourceItem[] = [];
        for (const item of readLdif(fd, HOST)) items.push(item);
        for (const { item } of items) checkItem(item);
        await checkUnique(items);
      } finally {
        fs.closeSync(fd);
      }
    },
    close: () => place.remove(),
  };
}

function element(tag: number, ...content: readonly (Uint8Array | string)[]): Buffer {
  const body = Buffer.concat(content.map((item) => Buffer.from(item as string)));
  const length = body.length < 128 ? [body.length] : [0x82, body.length >> 8, body.length & 0xff];
  return Buffer.concat([Buffer.of(tag, ...length), body]);
}

const octets = (text: string): Buffer => element(0x04, text);
const int = (tag: number, ...value: number[]): Buffer => element(tag, Buffer.from(value));
const attribute = (name: string, ...values: string[]): Buffer =>
  element(0x30, octets(name), element(0x31, ...values.map(octets)));

const RESPONSES: readonly Buffer[] = [
  element(
    0x30,
    int(2, 7),
    element(
      0x64,
      octets('uid=a,o=x'),
      element(
        0x30,
        attribute('uid', 'a'),
        attribute('objectClass', 'top', 'mailRecipient'),
        attribute('mailHost', HOST),
        attribute('mailDeliveryOption', 'mailbox'),
        attribute('mailQuota', '5'),
        attribute('jpegPhoto', 'x'.repeat(200)),
        attribute('mailMessageStore', '/a/b'),
      ),
    ),
  ),
  element(
    0x30,
    int(2, 7),
    element(0x65, int(0x0a, 0), octets(''), octets('')),
    element(
      0xa0,
      element(0x30, octets('1.2.840.113556.1.4.319'), int(1, 0), element(0x04, element(0x30, int(2, 0), octets('c')))),
    ),
  ),
  element(
    0x30,
    int(2, 8),
    element(0x61, int(0x0a, 49), octets('o=x'), octets('no'), element(0xa3, octets('ldap://y'))),
  ),
  element(0x30, int(2, 9), element(0x73, octets('ldap://a/'), octets('ldap://b/'))),
  element(0x30, int(2, 0), element(0x78, int(0x0a, 52), octets(''), octets('bye'))),
];

function ber(): FuzzTarget {
  return {
    name: 'ber',
    binary: true,
    maxBytes: 8192,
    seeds: () => [...RESPONSES, Buffer.concat(RESPONSES)].map((seed) => new Uint8Array(seed)),
    tokens: ['\x30\x80', '\x84\x00\x00\x00', '\x04\x00', '\x31\x00', '\x0a\x01', '\xa0', '\xa3', 'mailHost', 'uid'],
    run(input) {
      let data = Buffer.from(input.buffer, input.byteOffset, input.byteLength);
      for (;;) {
        const wanted = frameLength(data);
        promise(wanted === 0 || wanted >= 2, 'a message has a head');
        if (wanted === 0 || wanted > data.length) return;
        const response = decodeResponse(data.subarray(0, wanted));
        if (response.kind === 'entry') {
          isUserOf(response.entry, HOST);
          const item = validateEntry(response.entry);
          checkItem(item.item);
        } else if (response.kind === 'result') {
          promise(Number.isSafeInteger(response.code), 'a code is a whole number');
        }
        const again = sure('a message is read again', () => decodeResponse(data.subarray(0, wanted)));
        promise(sameShape(again, response), 'a message is read the same again');
        data = data.subarray(wanted);
      }
    },
  };
}

function ldapurl(): FuzzTarget {
  return {
    name: 'ldapurl',
    maxBytes: 1024,
    seeds: () =>
      [
        'ldap://d:389/o=a%20b',
        'ldaps://[::1]:636/',
        'ldap://d/o=x????StartTLS',
        'ldap:///',
        'ldap://a@b/x?uid?sub?',
      ].map((url) => bytes(url)),
    tokens: ['%', '%e9', '????', '!1.3.6.1.4.1.1466.20037', ':65536', '@', '[', ']', '#', 'ldap://'],
    run(input) {
      const { host, port, baseDn } = parseLdapUrl(Buffer.from(input).toString('utf8'));
      promise(host !== '' && port >= 1 && port <= 65535, 'a server has a host and a port');
      promise(baseDn !== '', 'an empty base is none');
    },
  };
}

export const targets = [ldif, ber, ldapurl];
