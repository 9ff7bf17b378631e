/**
 * The rules of 3x-profile.md, "Directory entries", that need no file system: which entries are users of this
 * server, and which of them may become a mailbox.
 */
import { isUtf8 } from 'node:buffer';
import { escapeLogText } from '../log/log.js';
import { LARGEST_QUOTA, parseQuotaBytes, QUOTA_TEXT_LIMIT } from '../store/quota.js';
import type { DirectoryProblemCode, DirectoryWarning, DirectoryWarningCode, RawEntry, SourceItem } from './types.js';

/** What is asked of a directory for each user, as the schema spells it. */
export const USER_ATTRIBUTES = ['uid', 'mailMessageStore', 'mailQuota', 'mail', 'cn'] as const;

/** Lower-case names of everything a source keeps of an entry: the above, and what the filter looks at. */
export const KEPT_ATTRIBUTES: ReadonlySet<string> = new Set([
  ...USER_ATTRIBUTES.map((name) => name.toLowerCase()),
  'objectclass',
  'mailhost',
  'maildeliveryoption',
]);

/** Object classes of a 3.x mail user; one is enough. */
export const USER_CLASSES = ['mailRecipient', 'nsMessagingServerUser'] as const;

/** Characters of a `mail`, `cn` or DN that is handed on. */
const TEXT_LIMIT = 1024;
/** Bytes of a path: PATH_MAX of Linux. */
const PATH_LIMIT = 4096;

/**
 * The server's filter evaluated on an entry:
 * `(|(&(objectClass=mailRecipient)(mailHost=H)(mailDeliveryOption=mailbox))(&(objectClass=nsMessagingServerUser)…))`.
 * All three attributes are compared as caseIgnoreMatch does.
 */
export function isUserOf(entry: RawEntry, hostName: string): boolean {
  const has = (attribute: string, wanted: string) => {
    const folded = foldCase(wanted);
    return (entry.attributes.get(attribute) ?? []).some((value) => foldCase(text(value)) === folded);
  };
  return (
    has('mailhost', hostName) &&
    has('maildeliveryoption', 'mailbox') &&
    USER_CLASSES.some((name) => has('objectclass', name))
  );
}

/** caseIgnoreMatch: outer spaces go, inner runs count as one. */
function foldCase(value: string): string {
  return value.trim().replace(/ +/g, ' ').toLowerCase();
}

/** A matching entry as user or problem. */
export function validateEntry(entry: RawEntry): SourceItem {
  const dn = entry.dn;
  const values = (attribute: (typeof USER_ATTRIBUTES)[number]) => entry.attributes.get(attribute.toLowerCase()) ?? [];
  const uidBytes = values('uid')[0];
  if (uidBytes === undefined) return problem(null, 'DIR_NO_UID', dn, 'The entry has no uid.');
  const shown = quote(uidBytes);
  const uidFault = faultOfUid(uidBytes);
  if (uidFault !== undefined) return problem(null, 'DIR_UID', dn, `The uid ${shown} ${uidFault}.`);
  const uid = text(uidBytes);

  const storePath = parseStorePath(values('mailMessageStore'));
  if (storePath.fault !== undefined) {
    return problem(uid, 'DIR_STORE_PATH', dn, `The mailMessageStore of ${shown} ${storePath.fault}.`);
  }
  const quota = parseQuota(values('mailQuota'));
  if (quota.fault !== undefined) {
    return problem(uid, 'DIR_QUOTA', dn, `The mailQuota of ${shown} ${quota.fault}.`);
  }
  const mail = firstText(values('mail'));
  const cn = firstText(values('cn'));
  const shownDn = dn.slice(0, TEXT_LIMIT);
  const item = { kind: 'user', uid, storePath: storePath.path, quota: quota.bytes, mail, cn, dn: shownDn } as const;
  return quota.isReduced ? { uid, item, warning: quotaWarning(shown, dn) } : { uid, item };
}

function quotaWarning(uid: string, dn: string): DirectoryWarning {
  const message = `The mailQuota of ${uid} is more than 4.x can hold and becomes ${LARGEST_QUOTA}.`;
  return directoryWarning('DIR_QUOTA_LARGE', dn, message);
}

/** A problem as sources yield it. `uid` when one could be read: it still counts as taken. */
export function problem(uid: string | null, code: DirectoryProblemCode, dn: string, message: string): SourceItem {
  return { uid, item: { kind: 'problem', code, dn: dn.slice(0, TEXT_LIMIT), message } };
}

export function warning(code: DirectoryWarningCode, dn: string, message: string): SourceItem {
  return { uid: null, item: directoryWarning(code, dn, message) };
}

function directoryWarning(code: DirectoryWarningCode, dn: string, message: string): DirectoryWarning {
  return { kind: 'warning', code, dn: dn.slice(0, TEXT_LIMIT), message };
}

/**
 * What is wrong with a uid; undefined when nothing is. A valid uid is one path component that is no hidden
 * file, no option and no file of the upgrade. The three reserved ACL identifiers are refused in any case, as
 * the directory compares uids.
 */
export function faultOfUid(uid: Uint8Array): string | undefined {
  if (uid.length === 0) return 'is empty';
  if (uid.length > PATH_LIMIT) return `is longer than ${PATH_LIMIT} bytes`;
  for (const byte of uid) {
    if (byte < 0x21 || byte > 0x7e) return 'holds a space, a control character or a byte above 7E';
    if (INVALID_UID_BYTES.has(byte)) return `holds “${String.fromCharCode(byte)}”`;
  }
  const name = text(uid);
  if (name.startsWith('-') || name.startsWith('.')) return `begins with “${name[0]}”`;
  if (name.startsWith('group=') || name.startsWith('__up')) return 'begins with “group=” or “__up”';
  if (['anonymous', 'anybody', 'anyone'].includes(name.toLowerCase())) return 'is a reserved identifier';
  return undefined;
}

const INVALID_UID_BYTES: ReadonlySet<number> = new Set(Buffer.from('%?*&/:\\'));

type StorePath = { readonly path: string | null; readonly fault?: undefined } | { readonly fault: string };

/** Absolute, without `.` and `..`; doubled and trailing slashes go. */
export function parseStorePath(values: readonly Uint8Array[]): StorePath {
  const [first] = values;
  if (first === undefined) return { path: null };
  if (values.length > 1 && values.some((value) => !Buffer.from(value).equals(first))) {
    return { fault: 'has several values' };
  }
  if (first.length > PATH_LIMIT) return { fault: `is longer than ${PATH_LIMIT} bytes` };
  if (!isUtf8(first)) return { fault: 'is not UTF-8' };
  const path = text(first);
  if (/[\u0000-\u001f\u007f-\u009f]/.test(path)) return { fault: 'holds control characters' };
  if (!path.startsWith('/')) return { fault: 'is not an absolute path' };
  const parts = path.split('/').filter((part) => part !== '');
  if (parts.includes('.') || parts.includes('..')) return { fault: 'holds “.” or “..”' };
  return { path: `/${parts.join('/')}` };
}

type Quota =
  | { readonly bytes: number | null; readonly isReduced: boolean; readonly fault?: undefined }
  | { readonly fault: string };

/** Decimal bytes, LARGEST_QUOTA at most. */
export function parseQuota(values: readonly Uint8Array[]): Quota {
  const [first] = values;
  if (first === undefined) return { bytes: null, isReduced: false };
  const read = first.length > QUOTA_TEXT_LIMIT ? undefined : parseQuotaBytes(text(first).replace(/^ +| +$/g, ''));
  return read ?? { fault: 'is not a decimal number of bytes' };
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}

function firstText(values: readonly Uint8Array[]): string | null {
  const [first] = values;
  return first === undefined ? null : text(first).slice(0, TEXT_LIMIT);
}

/** A value for a message: escaped, cut, in quotes. */
function quote(bytes: Uint8Array): string {
  const shown = escapeLogText(text(bytes.subarray(0, 256)));
  return `“${shown}${bytes.length > 256 ? '…' : ''}”`;
}
