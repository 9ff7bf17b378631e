/** Directory entries: users of this server, entries that are not for it, and entries that break a rule. */
import { type LdifValue, ldifEntry } from './ldif.js';
import type { Random } from './random.js';
import { europeanWords, words } from './text.js';

const BASE = 'o=example.com';
const PEOPLE = `ou=People,${BASE}`;

export interface UserEntry {
  readonly uid: string;
  /** null: the attribute is absent, the server's default is meant. */
  readonly storePath: string | null;
  readonly quota: number | null;
  readonly hostName: string;
}

/** The suffix, and entries that a search for this server's users must leave out. */
export function baseEntries(hostName: string): string {
  const value = (name: string, text: string): LdifValue => ({ name, value: text });
  return [
    'version: 1\n\n# Users of a generated Netscape Messaging Server 3.x installation,\n# in the style of ldbmcat\n\n',
    ldifEntry(BASE, [value('objectClass', 'top'), value('objectClass', 'organization'), value('o', 'example.com')]),
    ldifEntry(PEOPLE, [value('objectClass', 'organizationalUnit'), value('ou', 'People')]),
    ldifEntry(`cn=All staff,${BASE}`, [
      value('objectClass', 'groupOfUniqueNames'),
      value('objectClass', 'mailGroup'),
      value('cn', 'All staff'),
      value('mailHost', hostName),
      value('uniqueMember', `uid=u000000,${PEOPLE}`),
    ]),
    ldifEntry(`uid=elsewhere,${PEOPLE}`, [
      value('objectClass', 'inetOrgPerson'),
      value('objectClass', 'mailRecipient'),
      value('cn', 'Somebody Else'),
      value('sn', 'Else'),
      value('uid', 'elsewhere'),
      value('mailHost', 'other.example.com'),
      value('mailDeliveryOption', 'mailbox'),
    ]),
    ldifEntry(`uid=forwarder,${PEOPLE}`, [
      value('objectClass', 'inetOrgPerson'),
      value('objectClass', 'mailRecipient'),
      value('cn', 'Forwards Everything'),
      value('sn', 'Everything'),
      value('uid', 'forwarder'),
      value('mailHost', hostName),
      value('mailForwardingAddress', 'elsewhere@example.net'),
    ]),
  ].join('');
}

export function userEntry(random: Random, { uid, storePath, quota, hostName }: UserEntry): string {
  const surname = random.chance(0.2) ? europeanWords(random, 1) : words(random, 1);
  const name = `${words(random, 1)} ${surname}`;
  const values: LdifValue[] = [
    { name: 'objectClass', value: 'top' },
    { name: 'objectClass', value: 'person' },
    { name: 'objectClass', value: 'inetOrgPerson' },
    {
      name: random.chance(0.1) ? 'objectclass' : 'objectClass',
      value: random.chance(0.8) ? 'mailRecipient' : 'nsMessagingServerUser',
    },
    { name: 'cn', value: name },
    { name: 'sn', value: surname },
    { name: 'uid', value: uid },
    { name: 'mail', value: `${uid.replace(/@.*/, '')}@example.com` },
    { name: 'mailHost', value: random.chance(0.1) ? hostName.toUpperCase() : hostName },
    { name: 'mailDeliveryOption', value: 'mailbox' },
    { name: 'description', value: words(random, 14) },
  ];
  if (storePath !== null) values.push({ name: 'mailMessageStore', value: storePath });
  if (quota !== null) values.push({ name: 'mailQuota', value: String(quota) });
  return ldifEntry(`uid=${uid.replace(/[,+=]/g, '\\$&')},${PEOPLE}`, values);
}

const BAD: readonly { readonly uid: string; readonly why: string; readonly store?: string }[] = [
  { uid: '../../etc', why: 'slash in uid' },
  { uid: '..', why: 'leading dot' },
  { uid: '-dash', why: 'leading dash' },
  { uid: 'per%cent', why: 'per cent sign' },
  { uid: 'with space', why: 'space' },
  { uid: 'bj\xf8rn', why: '8-bit' },
  { uid: 'group=staff', why: 'group= prefix' },
  { uid: '__upfolder.db', why: '__up prefix' },
  { uid: 'anyone', why: 'reserved' },
  { uid: 'Twin', why: 'same uid in another entry' },
  { uid: 'twin', why: 'same uid in another entry' },
  { uid: 'relative', why: 'store path not absolute', store: 'mail/here' },
  { uid: 'climber', why: 'store path with ..', store: '/var/../etc' },
];

/** `count` entries that must be reported and skipped. */
export function badEntries(count: number, hostName: string): { uid: string; why: string; ldif: string }[] {
  return Array.from({ length: Math.min(count, BAD.length) }, (_, index) => {
    const { uid, why, store } = BAD[index]!;
    const values: LdifValue[] = [
      { name: 'objectClass', value: 'inetOrgPerson' },
      { name: 'objectClass', value: 'mailRecipient' },
      { name: 'cn', value: `Bad entry ${index}` },
      { name: 'sn', value: 'Entry' },
      { name: 'uid', value: uid },
      { name: 'mailHost', value: hostName },
      { name: 'mailDeliveryOption', value: 'mailbox' },
    ];
    if (store !== undefined) values.push({ name: 'mailMessageStore', value: store });
    return { uid, why, ldif: ldifEntry(`cn=Bad entry ${index},${PEOPLE}`, values) };
  });
}
