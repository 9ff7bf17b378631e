/** The installations that lose power: generated on mounted disks, and kept as images of each state they go through. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { generateInstallation } from '../../support/generate/index.js';
import type { GenerateOptions } from '../../support/generate/options.js';
import { originals, command as runCommand, type Site, survivingContents } from '../support/kept-site.js';
import { asService } from '../support/service.js';
import { copyImage, type FileSystem, makeImage, mountImage } from './disks.js';
import type { Ground } from './machine.js';

/**
 * - `small`: few folders of every kind, on one disk
 * - `many`: hundreds of folders, for several groups of the group commit, on one disk
 * - `two`: the 4.x instance, and with it the mailbox database and partition primary, on the second disk: the
 *   mail of the first store path is copied, that of the second is linked
 */
export type SiteKind = 'small' | 'many' | 'two';

/**
 * How far the migration of an installation is.
 *
 * - `folders`: `-s` was run
 * - `migrated`: `-m` as well
 * - `removed`: `-m -r` as well
 * - `failures`: every third message failed, the folders were published all the same; by now the messages are repaired
 * - `used`: the same, and services have added, expunged and flagged messages, and renamed a mailbox
 */
export type State = 'fresh' | 'folders' | 'migrated' | 'removed' | 'failures' | 'used';

const BEFORE: Readonly<Record<Exclude<State, 'fresh'>, State>> = {
  folders: 'fresh',
  migrated: 'folders',
  removed: 'folders',
  failures: 'folders',
  used: 'failures',
};

const SIZES: Readonly<Record<SiteKind, Partial<GenerateOptions>>> = {
  small: { users: 3, folders: 3, messages: 40 },
  many: { users: 60, folders: 10, messages: 700, nested: 0.2 },
  two: { users: 4, folders: 3, messages: 60 },
};

export function disksOf(kind: SiteKind): number {
  return kind === 'two' ? 2 : 1;
}

/** An installation on the disks of `ground`; only the images of its states hold it. */
export interface DiskSite extends Site {
  readonly kind: SiteKind;
  readonly fileSystem: FileSystem;
  /** The disks of a state; whoever changes them makes copies. */
  state(name: State): Promise<Prepared>;
}

export interface Prepared {
  readonly images: readonly string[];
  /** As `Site.contents`: what must survive from here on. */
  readonly contents: ReadonlySet<string>;
}

export function makeDiskSite(ground: Ground, kind: SiteKind, fileSystem: FileSystem): DiskSite {
  const kept = new Map<State, Prepared>();
  const imagesOf = (name: string): string[] =>
    Array.from({ length: disksOf(kind) }, (_, i) =>
      path.join(ground.images, `${fileSystem.name}-${kind}-${name}-${i}`),
    );

  const fresh = imagesOf('fresh');
  for (const image of fresh) makeImage(image, fileSystem);
  const unmountAll = mountAll(ground, fileSystem, fresh);
  let made: Site;
  try {
    made = generate(ground, kind);
  } finally {
    unmountAll();
  }
  kept.set('fresh', { images: fresh, contents: made.contents });

  const state = async (name: State): Promise<Prepared> => {
    const ready = kept.get(name);
    if (ready !== undefined || name === 'fresh') return ready ?? { images: fresh, contents: made.contents };
    const before = await state(BEFORE[name]);
    const images = copyImages(before.images, imagesOf(name));
    const unmount = mountAll(ground, fileSystem, images);
    let contents: ReadonlySet<string>;
    try {
      contents = await bringTo({ ...made, contents: before.contents }, name);
    } finally {
      unmount();
    }
    const prepared = { images, contents };
    kept.set(name, prepared);
    return prepared;
  };
  return { ...made, kind, fileSystem, state };
}

/** Copies images; the copies. */
export function copyImages(images: readonly string[], copies: readonly string[]): readonly string[] {
  images.forEach((image, i) => {
    copyImage(image, copies[i] ?? '');
  });
  return copies;
}

/** Mounts images at the ground's disks; the result unmounts them. */
export function mountAll(ground: Ground, fileSystem: FileSystem, images: readonly string[]): () => void {
  const mounted: { unmount(): void }[] = [];
  const unmountAll = (): void => {
    for (const disk of mounted.reverse()) disk.unmount();
  };
  try {
    for (const [i, image] of images.entries()) mounted.push(mountImage(image, ground.disks[i] ?? '', fileSystem));
  } catch (error) {
    unmountAll();
    throw error;
  }
  return unmountAll;
}

function generate(ground: Ground, kind: SiteKind): Site {
  const [first = '', second = first] = ground.disks.slice(0, disksOf(kind));
  const made = generateInstallation({
    root: path.join(first, 'site'),
    seed: 'power',
    size: 3_000,
    storePaths: [path.join(first, 'mail', 'store1'), path.join(second, 'mail', 'store2')],
    singleCopy: 0.3,
    bareLf: 0.25,
    damage: 0.4,
    damageKinds: ['file-without-line', 'uid-repeated', 'header-lost'],
    hostileNames: 0.2,
    keywords: 0.3,
    emptyUsers: 1,
    ...SIZES[kind],
  });
  const instance = path.join(second, 'server4', 'msg-tango');
  const site: Site = {
    root: first,
    instance,
    from: made.instance,
    ldif: made.ldif,
    stores: made.storePaths,
    partitions: [
      path.join(instance, 'store/partition/primary'),
      ...made.storePaths.slice(1).map((store) => path.join(store, `.0004x.${path.basename(store)}`)),
    ],
    contents: new Set(),
  };
  const contents = survivingContents(site);
  if (contents.size < 20) throw new Error(`the generator made only ${contents.size} messages`);
  return { ...site, contents };
}

/** Brings the site to `state` from the one before it; the contents that must survive from then on. */
async function bringTo(site: Site, state: Exclude<State, 'fresh'>): Promise<ReadonlySet<string>> {
  if (state === 'folders') expect(site, foldersArgs(site), 0);
  else if (state === 'migrated') expect(site, messagesArgs(site, []), 0);
  else if (state === 'removed') expect(site, messagesArgs(site, ['-r']), 0);
  else if (state === 'failures') failSome(site);
  else return await use(site);
  return site.contents;
}

/** Every third message fails, its folder is published all the same; then the messages are repaired. */
function failSome(site: Site): void {
  const broken = originals(site).filter((_file, i) => i % 3 === 0);
  for (const file of broken) {
    fs.renameSync(Buffer.from(file, 'latin1'), Buffer.from(asideOf(file), 'latin1'));
    fs.symlinkSync('elsewhere', Buffer.from(file, 'latin1'));
  }
  expect(site, messagesArgs(site, ['--accept-failures']), 1);
  for (const file of broken) fs.renameSync(Buffer.from(asideOf(file), 'latin1'), Buffer.from(file, 'latin1'));
}

function asideOf(file: string): string {
  return path.join(path.dirname(file), `.aside-${path.basename(file)}`);
}

/**
 * What services do: a message of their own in every mailbox, in every second the first of 3.x is expunged and the
 * second flagged, one mailbox is renamed. And 3.x has brought a file meanwhile.
 */
async function use(site: Site): Promise<ReadonlySet<string>> {
  const dump = runCommand('mboxutil', ['--dump', '--json', '--instance', site.instance]).stdout;
  const messages = dump.split('\n').filter((line) => line !== '');
  const byMailbox = new Map<string, { uid: number; sha256: string }[]>();
  for (const line of messages) {
    const { mailbox, ...message } = JSON.parse(line) as { mailbox: string; uid: number; sha256: string };
    byMailbox.set(mailbox, [...(byMailbox.get(mailbox) ?? []), message]);
  }
  const expunged = new Set<string>();
  await asService(site.instance, async (service) => {
    for (const [i, [mailbox, [first, second]]] of [...byMailbox].entries()) {
      await service.append(mailbox, `Subject: from a service\r\n\r\n${i}\r\n`);
      if (i % 2 !== 0 || first === undefined) continue;
      await service.expunge(mailbox, first.uid);
      expunged.add(first.sha256);
      if (second !== undefined) await service.flag(mailbox, second.uid, 1, 'FromService');
    }
    const child = [...byMailbox.keys()].find((mailbox) => !mailbox.endsWith('/INBOX'));
    if (child !== undefined) await service.rename(child, `${child} moved`);
  });
  const like = originals(site)[0] ?? '';
  const late = Buffer.from(path.join(path.dirname(like), 'late-file'), 'latin1');
  fs.writeFileSync(late, 'Subject: late\r\n\r\nlate\r\n', { mode: 0o600 });
  fs.utimesSync(late, 900_000_000, 900_000_000);
  const { uid, gid } = fs.statSync(Buffer.from(like, 'latin1'));
  fs.chownSync(late, uid, gid);
  return new Set([...survivingContents(site)].filter((content) => !expunged.has(content)));
}

/** Arguments of `upgrade -s`. */
export function foldersArgs(site: Site): string[] {
  return ['-s', '--from', site.from, '--instance', site.instance, '--directory', site.ldif];
}

/** Arguments of `upgrade -m`. */
export function messagesArgs(site: Site, more: readonly string[], threads = 2): string[] {
  return ['-m', '-t', `${threads}`, '--instance', site.instance, '--json', ...more];
}

/** Arguments of `upgrade --reset`. */
export function resetArgs(site: Site): string[] {
  return ['--reset', '--yes', '--json', '--instance', site.instance];
}

function expect(site: Site, args: readonly string[], status: number): void {
  const result = runCommand('upgrade', args);
  if (result.status !== status) {
    throw new Error(
      `upgrade ${args[0]} on ${site.root} ended with ${result.status ?? result.signal}: ${result.stderr}${result.stdout}`,
    );
  }
}
