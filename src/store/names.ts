/**
 * 4.x mailbox names and where their directories lie. Rules: docs/formats/partition.md.
 *
 *     3.x directory name (bytes) ─legacyText─▶ text ─componentName─▶ 4.x component ─escapeComponent─▶ one directory name
 *
 * A 4.x name is `user/<uid>/<component>/…`; the inbox is `user/<uid>/INBOX`. Every step is a function of its
 * input alone, but for siblings that would get the same name: `assignNames` settles those.
 */
import { createHash } from 'node:crypto';
import { MailhaulError } from '../errors.js';
import { encodeUtf7 } from './utf7.js';

/** The only folder name without case (4x-store.md, Mailbox names). */
export const INBOX = 'INBOX';

/** Bytes of a directory name on every file system that matters. */
const COMPONENT_LIMIT = 255;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** A 3.x name as text: UTF-8 if all of it decodes, else ISO-8859-1 (3x-profile.md, Mail store). */
export function legacyText(name: Uint8Array): string {
  const text = rawKey(name);
  // What nearly all names are is the same in both, and a decoder costs ten times as much.
  if (ASCII.test(text)) return text;
  try {
    return utf8.decode(name);
  } catch {
    return text;
  }
}

const ASCII = /^[\0-\x7f]*$/;

/** The 3.x folder path for people and for `legacyName`: UTF-8, `/` between levels. */
export function legacyPath(path: readonly Uint8Array[]): string {
  return path.length === 1 ? legacyText(path[0]!) : path.map(legacyText).join('/');
}

/** The 4.x component of a 3.x name, before collisions are looked at. */
export function componentName(name: Uint8Array): string {
  return encodeUtf7(remap(legacyText(name)));
}

/** `%`, `*`, `?` and control characters are invalid in 4.x folder names. */
function remap(text: string): string {
  return text.replace(/[%*?\u0000-\u001f\u007f-\u009f]/g, '_');
}

export interface AssignedName {
  /** 3.x directory name. */
  readonly raw: Uint8Array;
  /** 4.x component, distinct among the siblings. */
  readonly name: string;
  /** 3.x name as text. */
  readonly legacy: string;
  /** The plain 4.x name was taken (or is `INBOX`), so `name` has a suffix; to be reported. */
  readonly collided: boolean;
}

export interface AssignOptions {
  /** The siblings are the top folders of a user, where `INBOX` is reserved whatever its case. */
  readonly topLevel: boolean;
  /** Names that an earlier run gave to folders of this parent, by `rawKey`; kept, and taken for everyone else. */
  readonly fixed?: ReadonlyMap<string, string>;
}

/** Key of raw name bytes in a Map. */
export function rawKey(name: Uint8Array): string {
  return Buffer.from(name.buffer, name.byteOffset, name.byteLength).toString('latin1');
}

/** Gives each of the different 3.x names of one parent its own 4.x name; results in the order of `siblings`. */
export function assignNames(siblings: readonly Uint8Array[], options: AssignOptions): AssignedName[] {
  const taken = new Set<string>(options.fixed?.values());
  const chosen = new Map<string, string>();
  // In this order: names of earlier runs, names that need no change, first by bytes, then those that get a suffix.
  const unsettled: Sibling[] = [];
  const all = siblings.map(sibling);
  for (const one of all) {
    const { key, plain } = one;
    const earlier = options.fixed?.get(key);
    if (earlier !== undefined) chosen.set(key, earlier);
    else if (isFree(one, taken, options) && needsNoChange(one)) {
      chosen.set(key, plain);
      taken.add(plain);
    } else unsettled.push(one);
  }
  unsettled.sort((a, b) => Buffer.compare(a.raw, b.raw));
  const suffixed = unsettled.filter((one) => {
    const { key, plain } = one;
    if (!isFree(one, taken, options)) return true;
    chosen.set(key, plain);
    taken.add(plain);
    return false;
  });
  for (const { key, raw, plain } of suffixed) {
    const name = withSuffix(plain, raw, taken);
    chosen.set(key, name);
    taken.add(name);
  }
  return all.map(({ raw, key, legacy, plain }) => {
    const name = chosen.get(key)!;
    return { raw, name, legacy, collided: name !== plain };
  });
}

interface Sibling {
  readonly raw: Uint8Array;
  /** `rawKey`. */
  readonly key: string;
  readonly legacy: string;
  /** `componentName`. */
  readonly plain: string;
}

function sibling(raw: Uint8Array): Sibling {
  const legacy = legacyText(raw);
  return { raw, key: rawKey(raw), legacy, plain: encodeUtf7(remap(legacy)) };
}

/** Its text is UTF-8 and has nothing that is invalid in 4.x. */
function needsNoChange({ raw, legacy }: Sibling): boolean {
  return remap(legacy) === legacy && Buffer.from(legacy).equals(raw);
}

function isFree({ plain, key }: Sibling, taken: ReadonlySet<string>, options: AssignOptions): boolean {
  if (taken.has(plain)) return false;
  return !options.topLevel || plain.toUpperCase() !== INBOX || key === INBOX;
}

/** `~` and 8 hex digits of the hash of the 3.x name; more digits in the case that even that is a folder's name. */
function withSuffix(plain: string, raw: Uint8Array, taken: ReadonlySet<string>): string {
  const hash = createHash('sha256').update(raw).digest('hex');
  for (let digits = 8; digits <= hash.length; digits += 8) {
    const name = `${plain}~${hash.slice(0, digits)}`;
    if (!taken.has(name)) return name;
  }
  throw new MailhaulError('NAME_COLLISION', 'No distinct 4.x name could be found for a folder.', {
    where: legacyText(raw),
    hint: 'Rename the folder in 3.x and run `upgrade -s` again.',
  });
}

// ---- whole names ----

export interface MailboxName {
  readonly uid: string;
  /** At least one; `INBOX` in this spelling when it is the first. */
  readonly components: readonly string[];
}

/** `user/<uid>/<component>/…`. */
export function formatMailboxName(uid: string, components: readonly string[]): string {
  return `user/${uid}/${components.join('/')}`;
}

/** Parses a 4.x name; undefined when it is none. A first component `inbox` of any case is `INBOX`. */
export function parseMailboxName(name: string): MailboxName | undefined {
  const [root, uid, first, ...rest] = name.split('/');
  if (root !== 'user' || uid === undefined || first === undefined) return undefined;
  if (uid === '' || first === '' || rest.includes('')) return undefined;
  return { uid, components: [first.toUpperCase() === INBOX ? INBOX : first, ...rest] };
}

/**
 * The one spelling of a mailbox's name, which databases have and directories follow: `user/anna/inbox/x` is
 * `user/anna/INBOX/x` (RFC 3501 5.1). What is no name is returned as it is.
 */
export function canonicalMailboxName(name: string): string {
  const parsed = parseMailboxName(name);
  return parsed === undefined ? name : formatMailboxName(parsed.uid, parsed.components);
}

/** The name of a user's inbox. */
export function inboxName(uid: string): string {
  return formatMailboxName(uid, [INBOX]);
}

// ---- on disk ----

/** Directory names below a partition that lead to the mailbox (docs/formats/partition.md, first drawing). */
export function mailboxPathComponents(uid: string, name: string): string[] {
  const parsed = parseMailboxName(name);
  if (parsed === undefined || parsed.uid !== uid) {
    throw new MailhaulError('NAME_INVALID', `This is not a mailbox name of user ${uid}.`, { where: name });
  }
  const home = userPathComponents(uid);
  const { components } = parsed;
  return components.length === 1 && components[0] === INBOX ? home : [...home, ...components.map(escapeComponent)];
}

/** Directory names below a partition that lead to the user's INBOX. */
export function userPathComponents(uid: string): string[] {
  return ['=user', ...userHash(uid), escapeComponent(uid)];
}

/** The two hash levels of a uid: the first bytes of SHA-256 of the lower-cased uid. */
export function userHash(uid: string): [string, string] {
  const hash = createHash('sha256').update(uid.toLowerCase()).digest('hex');
  return [hash.slice(0, 2), hash.slice(2, 4)];
}

const escapes: readonly string[] = Array.from({ length: 256 }, (_, byte) => escapeByte(byte));

function escapeByte(byte: number): string {
  const char = String.fromCharCode(byte);
  if (/[a-z0-9\-_@,]/.test(char)) return char;
  if (/[A-Z]/.test(char)) return `+${char.toLowerCase()}`;
  const named = { '.': '%d', ' ': '%s', '%': '%p', '&': '%a', '+': '%l' }[char];
  return named ?? `%x${byte.toString(16).padStart(2, '0')}`;
}

/** One directory name, `=` included, at most 255 bytes, safe also where the file system ignores case. */
export function escapeComponent(component: string): string {
  const bytes = Buffer.from(component);
  if (bytes.length === 0) throw new MailhaulError('NAME_INVALID', 'A mailbox name has an empty component.');
  const room = COMPONENT_LIMIT - '='.length - '%h'.length - 16;
  let out = '';
  let cut = 0;
  for (const byte of bytes) {
    out += escapes[byte]!;
    if (out.length <= room) cut = out.length;
    if (out.length > COMPONENT_LIMIT - 1) {
      const hash = createHash('sha256').update(bytes).digest('hex').slice(0, 16);
      return `=${out.slice(0, cut)}%h${hash}`;
    }
  }
  return `=${out}`;
}

/** A directory name of the store read back; `cut` names are complete only in the mailbox database. */
export type UnescapedComponent =
  | { readonly kind: 'name'; readonly component: string }
  | { readonly kind: 'cut'; readonly prefix: string; readonly hash: string };

/** Turns a directory name back; undefined when `escapeComponent` never writes it. */
export function unescapeComponent(directory: string): UnescapedComponent | undefined {
  if (!directory.startsWith('=') || directory.length < 2 || directory.length > COMPONENT_LIMIT) return undefined;
  const cut = /^=(.*)%h([0-9a-f]{16})$/s.exec(directory);
  const component = unescapeBytes(cut === null ? directory.slice(1) : cut[1]!);
  if (component === undefined) return undefined;
  if (cut !== null) return { kind: 'cut', prefix: component.toString(), hash: cut[2]! };
  const text = component.toString();
  return escapeComponent(text) === directory ? { kind: 'name', component: text } : undefined;
}

function unescapeBytes(escaped: string): Buffer | undefined {
  const bytes: number[] = [];
  for (const [token] of escaped.matchAll(/\+[a-z]|%[dspal]|%x[0-9a-f]{2}|[a-z0-9\-_@,]|./gs)) {
    const byte = tokens.get(token);
    if (byte === undefined) return undefined;
    bytes.push(byte);
  }
  return Buffer.from(bytes);
}

const tokens: ReadonlyMap<string, number> = new Map(escapes.map((token, byte) => [token, byte]));
