/**
 * The 4.x names of one user's folders.
 *
 * Rules: docs/formats/partition.md, "4.x names from 3.x names". Names are given level by level, parents first,
 * because a child's name begins with its parent's. A name that the mapping database holds never changes; a name
 * that a mailbox made in 4.x has taken since is nobody else's.
 */
import { assignNames, componentName, formatMailboxName, INBOX, parseMailboxName, rawKey } from '../store/names.js';

/** Key of a 3.x folder path in a Map: raw bytes as ISO-8859-1, `/` between levels (no name holds one). */
export function pathKey(path: readonly Uint8Array[]): string {
  return path.map(rawKey).join('/');
}

/** Bytes of a path, a `/` behind each level counted. */
export function pathBytes(path: readonly Uint8Array[]): number {
  return path.reduce((bytes, name) => bytes + name.length + 1, 0);
}

/** Name of a folder and where it came from. */
export interface FolderName {
  /** 4.x name. */
  readonly mailbox: string;
  /** The plain name was taken, so it has a suffix: new in this run, to be reported. */
  readonly collided: boolean;
}

export interface NamingInput {
  readonly uid: string;
  /** Every folder of the user, the ones that could not be read too; any order. */
  readonly paths: readonly (readonly Uint8Array[])[];
  /** Folders named by an earlier run. */
  readonly known: readonly { readonly path: readonly Uint8Array[]; readonly mailbox: string }[];
  /** True when a 4.x name belongs to a mailbox that is no folder of the mapping. */
  readonly isTaken: (mailbox: string) => boolean;
}

/** 4.x names by `pathKey`. */
export function nameFolders(input: NamingInput): Map<string, FolderName> {
  const fixed = fixedComponents(input.known);
  const byParent = groupByParent(input.paths);
  const names = new Map<string, FolderName>();
  const components = new Map<string, readonly string[]>([['', []]]);
  // Parents before children, by depth.
  const parents = [...byParent.keys()].map((key) => ({ key, depth: depth(key) })).sort((a, b) => a.depth - b.depth);
  for (const { key: parent } of parents) {
    const prefix = components.get(parent);
    if (prefix === undefined) continue;
    const siblings = byParent.get(parent)!;
    const assigned = assignFree(input, parent, prefix, siblings, fixed.get(parent) ?? new Map());
    for (const { key, component, collided } of assigned) {
      const path = parent === '' ? key : `${parent}/${key}`;
      components.set(path, [...prefix, component]);
      names.set(path, { mailbox: formatMailboxName(input.uid, [...prefix, component]), collided });
    }
  }
  return names;
}

function depth(key: string): number {
  return key === '' ? 0 : key.split('/').length;
}

/**
 * Calls `visit` for the levels of a path, the last one first, until it returns false: what is above is known.
 * Paths that come after their parents' take two steps each, however deep they are.
 */
function climb(path: readonly Uint8Array[], visit: (parent: string, name: Uint8Array, level: number) => boolean): void {
  for (let level = path.length - 1; level >= 0; level -= 1) {
    if (!visit(pathKey(path.slice(0, level)), path[level]!, level)) return;
  }
}

/** Adds to the group of `parent`; false when the name is there already. */
function addTo<T>(groups: Map<string, Map<string, T>>, parent: string, key: string, value: T): boolean {
  let group = groups.get(parent);
  if (group === undefined) {
    group = new Map();
    groups.set(parent, group);
  }
  if (group.has(key)) return false;
  group.set(key, value);
  return true;
}

/** Every level that a path goes through, so that a folder whose parent could not be read has a name too. */
function groupByParent(paths: readonly (readonly Uint8Array[])[]): Map<string, Uint8Array[]> {
  const groups = new Map<string, Map<string, Uint8Array>>();
  for (const path of paths) climb(path, (parent, name) => addTo(groups, parent, rawKey(name), name));
  return new Map([...groups].map(([parent, group]) => [parent, [...group.values()]]));
}

/** Components of earlier runs: parent key → raw name → 4.x component, at every level of each known folder. */
function fixedComponents(known: NamingInput['known']): Map<string, Map<string, string>> {
  const fixed = new Map<string, Map<string, string>>();
  // Shorter paths first: what a folder's own entry says of its name counts.
  for (const { path, mailbox } of [...known].sort((a, b) => a.path.length - b.path.length)) {
    const components = parseMailboxName(mailbox)?.components;
    if (components === undefined || components.length !== path.length) continue;
    climb(path, (parent, name, level) => addTo(fixed, parent, rawKey(name), components[level]!));
  }
  return fixed;
}

interface AssignedComponent {
  readonly key: string;
  readonly component: string;
  readonly collided: boolean;
}

/** `assignNames`, again with the taken names added until no new name belongs to a mailbox made in 4.x. */
function assignFree(
  input: NamingInput,
  parent: string,
  prefix: readonly string[],
  siblings: readonly Uint8Array[],
  fixed: ReadonlyMap<string, string>,
): AssignedComponent[] {
  const taken = new Map(fixed);
  for (;;) {
    const assigned = assignNames(siblings, { topLevel: parent === '', fixed: taken });
    const stolen = assigned.filter(
      ({ raw, name }) => !fixed.has(rawKey(raw)) && input.isTaken(formatMailboxName(input.uid, [...prefix, name])),
    );
    if (stolen.length === 0) {
      return assigned.map(({ raw, name, collided }) => {
        const key = rawKey(raw);
        return { key, component: name, collided: collided && !fixed.has(key) };
      });
    }
    // No raw name begins with a slash: such a key only reserves the name.
    for (const { name } of stolen) taken.set(`/${name}`, name);
  }
}

/**
 * The 4.x name of a subscribed path, also of one that does not exist: known as far as it goes, then plain. Every level
 * of a known path is known (`nameFolders`), so a long path that leads nowhere costs no more than its length.
 */
export function subscriptionName(
  uid: string,
  path: readonly Uint8Array[],
  nameOf: (key: string) => string | undefined,
): string {
  let known: string | undefined;
  let key = '';
  let level = 0;
  for (; level < path.length; level += 1) {
    key = level === 0 ? rawKey(path[0]!) : `${key}/${rawKey(path[level]!)}`;
    const name = nameOf(key);
    if (name === undefined) break;
    known = name;
  }
  const rest = path.slice(level).map(componentName);
  return known === undefined ? formatMailboxName(uid, rest) : [known, ...rest].join('/');
}

/** The path of the inbox. */
export const INBOX_PATH: readonly Uint8Array[] = [new Uint8Array(Buffer.from(INBOX))];
