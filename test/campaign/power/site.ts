/** The installations that lose power: generated on mounted disks, and kept as images of each state they go through. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { generateInstallation } from '../../support/generate/index.js';
import type { GenerateOptions } from '../../support/generate/options.js';
import { originals, command as runCommand, type Site, survivingContents } from '../support/kept-site.js';
import { copyImage, type FileSystem, makeImage, mountImage } from './disks.js';
import type { Ground } from './machine.js';

/**
 * - `small`: few folders of every kind, on one disk
 * - `many`: hundreds of folders, for several groups of the group commit, on one disk
 * - `two`: the 4.x instance, and with it the mailbox database and partition primary, on the second disk: the
 *   mail of the first store path is copied, that of the second is linked
 */
export type SiteKind = 'small' | 'many' | 'two';

/** How far the migration of an installation is. */
export type State = 'fresh' | 'folders' | 'migrated' | 'failures';

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
  /** Mounts copies of the images of a state; what `use` leaves behind is in the copies, which are returned. */
  copyOf<T>(state: State, use: (images: readonly string[]) => T): T;
}

export function makeDiskSite(ground: Ground, kind: SiteKind, fileSystem: FileSystem): DiskSite {
  const disks = disksOf(kind);
  const kept = new Map<State, readonly string[]>();
  const imagesOf = (name: string): string[] =>
    Array.from({ length: disks }, (_, i) => path.join(ground.images, `${fileSystem.name}-${kind}-${name}-${i}`));

  const fresh = imagesOf('fresh');
  for (const image of fresh) makeImage(image, fileSystem);
  const made = withMounted(ground, fileSystem, fresh, () => generate(ground, kind));
  kept.set('fresh', fresh);

  const images = (state: State): readonly string[] => {
    const ready = kept.get(state);
    if (ready !== undefined) return ready;
    const before = images(state === 'folders' ? 'fresh' : 'folders');
    const copies = imagesOf(state);
    before.forEach((image, i) => {
      copyImage(image, copies[i] ?? '');
    });
    withMounted(ground, fileSystem, copies, () => bringTo(made, state));
    kept.set(state, copies);
    return copies;
  };

  return {
    ...made,
    kind,
    fileSystem,
    copyOf(state, use) {
      const copies = imagesOf('copy');
      images(state).forEach((image, i) => {
        copyImage(image, copies[i] ?? '');
      });
      return use(copies);
    },
  };
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

function withMounted<T>(ground: Ground, fileSystem: FileSystem, images: readonly string[], use: () => T): T {
  const unmountAll = mountAll(ground, fileSystem, images);
  try {
    return use();
  } finally {
    unmountAll();
  }
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

function bringTo(site: Site, state: State): void {
  if (state === 'folders') expect(site, foldersArgs(site), 0);
  else if (state === 'migrated') expect(site, messagesArgs(site, []), 0);
  else failSome(site);
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

/** Arguments of `upgrade -s`. */
export function foldersArgs(site: Site): string[] {
  return ['-s', '--from', site.from, '--instance', site.instance, '--directory', site.ldif];
}

/** Arguments of `upgrade -m`. */
export function messagesArgs(site: Site, more: readonly string[], threads = 2): string[] {
  return ['-m', '-t', `${threads}`, '--instance', site.instance, '--json', ...more];
}

function expect(site: Site, args: readonly string[], status: number): void {
  const result = runCommand('upgrade', args);
  if (result.status !== status) {
    throw new Error(
      `upgrade ${args[0]} on ${site.root} ended with ${result.status ?? result.signal}: ${result.stderr}${result.stdout}`,
    );
  }
}
