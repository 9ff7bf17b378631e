/** The rounds of the flipper campaign: in which state of the store which names are exchanged while which commands run. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { originals, type Site } from '../support/kept-site.js';
import { ACCESS, type Command, userList } from './commands.js';
import { DECOY, type Decoys, type FileDecoy, plannable } from './decoys.js';
import { join, names } from './ground.js';
import type { State } from './states.js';

export interface Round {
  readonly name: string;
  /** Kept state that it begins with. */
  readonly state: State;
  /**
   * The first command is in the middle of its work when names begin to be exchanged: it would refuse what is flipped
   * before it begins.
   */
  readonly late?: boolean;
  plan(site: Site, decoys: Decoys): void;
  /** What runs while the flipper does. */
  readonly commands: readonly Command[];
  /** What the commands of peace must be, one after the other with exit 0, when everything is back. */
  readonly after: readonly Command[];
  /** The end is that of a run in peace; without it only that nothing is lost and nothing came in. */
  readonly sameEnd: boolean;
}

const isHidden = (name: Buffer): boolean => name[0] === 0x2e;

/** Folder directories with their parents, the users' mailbox directories included; outermost first. */
function* directories(at: Buffer): Generator<{ parent: Buffer; name: Buffer }> {
  for (const name of names(at)) {
    if (isHidden(name) || !plannable(name) || !fs.lstatSync(join(at, name)).isDirectory()) continue;
    yield { parent: at, name };
    yield* directories(join(at, name));
  }
}

/** Every level of the 3.x store: user, folder, sub-folder, `.mailbox`, `.lock`, `.subscriptions`, message files. */
function sourceDecoys(site: Site, decoys: Decoys, kinds?: readonly FileDecoy[]): void {
  const owner = fs.statSync(site.stores[0] ?? '');
  for (const store of site.stores.map((at) => Buffer.from(at))) {
    const found = [...directories(store)];
    for (const { parent, name } of found) {
      const folder = join(parent, name);
      const lock = join(folder, '.lock');
      if (!fs.existsSync(lock)) fs.writeFileSync(lock, '', { mode: 0o600 });
      fs.chownSync(lock, owner.uid, owner.gid);
      for (const entry of names(folder)) {
        const text = entry.toString('latin1');
        if (text.startsWith(DECOY) || !plannable(entry) || !fs.lstatSync(join(folder, entry)).isFile()) continue;
        decoys.file(folder, entry, isHidden(entry) ? ['link', 'secret', 'fifo', 'link-to-secret'] : kinds);
      }
    }
    for (const { parent, name } of found) decoys.directory(parent, name);
  }
}

/** Every level of 4.x: `=user`, hash directories, mailbox directories, message files, and names that are made anew. */
function targetDecoys(site: Site, decoys: Decoys, temporaries = true): void {
  for (const partition of site.partitions) {
    const root = Buffer.from(partition);
    const found = [...directories(root)];
    for (const { parent, name } of found) {
      const directory = join(parent, name);
      const text = name.toString('latin1');
      for (const entry of names(directory)) {
        const file = entry.toString('latin1');
        if (!file.startsWith(DECOY) && fs.lstatSync(join(directory, entry)).isFile()) {
          decoys.file(directory, entry, ['link', 'secret', 'fifo', 'link-to-secret', 'socket']);
        }
      }
      if (temporaries && /^=/.test(text) && text !== '=user' && text !== '=single') temporary(directory, decoys);
    }
    for (const { parent, name } of found) decoys.directory(parent, name);
  }
}

/** Temporary names of the engines, as links that lead outside. */
function temporary(directory: Buffer, decoys: Decoys): void {
  for (const name of ['store.idx.new', '.new-1', '.new-2', '.new-3']) {
    if (fs.existsSync(join(directory, name))) continue;
    fs.writeFileSync(join(directory, name), 'stale', { mode: 0o600 });
    decoys.file(directory, Buffer.from(name), ['link', 'link-to-secret', 'secret']);
  }
}

/** What root opens of the instance and of the work directory: by the rights of the server account, its owner. */
function instanceDecoys(site: Site, decoys: Decoys): void {
  const files: [string, string][] = [
    ['config', 'configdb'],
    ['log/default', 'default'],
    ['lock', '__lock.share'],
  ];
  for (const [directory, name] of files) fileIfThere(path.join(site.instance, directory), name, decoys);
  for (const directory of [path.join(site.instance, 'store/mboxlist'), site.stores[0] ?? '']) {
    for (const name of fs.readdirSync(directory)) {
      if (/^(__up.*|upgrade4x\.conf|.*\.mdb|.*-lock|mailboxes.*|.*\.db)$/.test(name))
        fileIfThere(directory, name, decoys);
    }
  }
  for (const [parent, name] of [
    ['', 'config'],
    ['', 'log'],
    ['log', 'default'],
    ['', 'lock'],
    ['store', 'mboxlist'],
    ['', 'store'],
  ] as const) {
    decoys.directory(Buffer.from(path.join(site.instance, parent)), Buffer.from(name));
  }
}

/**
 * LMDB opens its two files by name and follows links, with the rights of the server account (docs/operations.md, Security).
 * Between our look and its open a link can lead it to a file that is the account's anyhow, never to another.
 */
const LMDB_FILE = /\.(mdb|db)(-lock)?$/;

function fileIfThere(directory: string, name: string, decoys: Decoys): void {
  if (!fs.existsSync(path.join(directory, name))) return;
  const kinds: FileDecoy[] = LMDB_FILE.test(name) ? ['link-to-secret'] : ['link', 'link-to-secret'];
  decoys.file(Buffer.from(directory), Buffer.from(name), kinds);
}

/** Siblings into each other: users, folders, messages. */
function exchanges(site: Site, decoys: Decoys): void {
  for (const store of site.stores.map((at) => Buffer.from(at))) {
    const byParent = new Map<string, Buffer[]>();
    for (const { parent, name } of directories(store)) {
      const key = parent.toString('latin1');
      byParent.set(key, [...(byParent.get(key) ?? []), name]);
    }
    for (const [parent, siblings] of byParent) {
      for (let i = 0; i + 1 < siblings.length; i += 2) {
        decoys.exchange(Buffer.from(parent, 'latin1'), siblings[i] as Buffer, siblings[i + 1] as Buffer);
      }
    }
  }
  const files = originals(site).map((file) => Buffer.from(file, 'latin1'));
  for (let i = 0; i + 1 < files.length; i += 2) {
    const [a, b] = [files[i] as Buffer, files[i + 1] as Buffer];
    const [slashA, slashB] = [a.lastIndexOf(0x2f), b.lastIndexOf(0x2f)];
    if (!a.subarray(0, slashA).equals(b.subarray(0, slashB))) continue;
    decoys.exchange(a.subarray(0, slashA), a.subarray(slashA + 1), b.subarray(slashB + 1));
  }
}

/** The lists of users, which `-u` is given by name. */
function listDecoys(site: Site, decoys: Decoys): void {
  for (const store of site.stores) {
    const list = userList(site, store === site.stores[0] ? 'primary' : path.basename(store));
    fileIfThere(path.dirname(list), path.basename(list), decoys);
  }
}

/** Store paths and partitions themselves, and the directories of the instance that lead to them. */
function rootDecoys(site: Site, decoys: Decoys): void {
  const roots = [
    ...site.stores,
    ...site.partitions.slice(0, site.stores.length),
    ...['store', 'store/user', 'store/partition'].map((name) => path.join(site.instance, name)),
  ];
  for (const root of roots) decoys.root(Buffer.from(path.dirname(root)), Buffer.from(path.basename(root)));
}

/** uids of a folder whose temporary names are tried. */
const UIDS_TRIED = 6;

/** What `--reset` writes into 3.x under names of its own. */
function resetDecoys(site: Site, decoys: Decoys): void {
  const owner = fs.statSync(site.stores[0] ?? '');
  const made = (directory: Buffer, name: string): void => {
    const at = join(directory, name);
    if (!fs.existsSync(at)) fs.writeFileSync(at, 'stale', { mode: 0o600 });
    fs.lchownSync(at, owner.uid, owner.gid);
    decoys.file(directory, Buffer.from(name), ['link', 'link-to-secret', 'secret', 'fifo']);
  };
  for (const store of site.stores.map((at) => Buffer.from(at))) {
    for (const { parent, name } of [...directories(store)]) {
      const folder = join(parent, name);
      const index = join(folder, '.mailbox');
      if (!fs.existsSync(index)) continue;
      const uids = [...fs.readFileSync(index, 'latin1').matchAll(/^(\d+) /gm)].map(([, uid]) => uid);
      for (const uid of uids.slice(0, UIDS_TRIED)) made(folder, `.__up.reset-${uid}`);
      made(folder, '.__up.mailbox');
    }
    const registry = join(store, '.__up.reset');
    if (!fs.existsSync(registry)) fs.mkdirSync(registry, { mode: 0o700 });
    fs.lchownSync(registry, owner.uid, owner.gid);
    decoys.directory(store, Buffer.from('.__up.reset'));
  }
}

/** A directory in place of a message would be a folder to `-s`, and rightly missed later. */
const NO_DIRECTORY: readonly FileDecoy[] = ['link', 'secret', 'fifo', 'link-to-secret', 'socket', 'device'];

const RESET: Command = ['--reset', '--yes'];

export const ROUNDS: readonly Round[] = [
  {
    name: '-u, -m, -m -r; 3.x and user lists flipped',
    state: 'folders',
    plan(site, decoys) {
      sourceDecoys(site, decoys);
      listDecoys(site, decoys);
    },
    commands: [['-u', 'primary'], ['-m'], ['-m', '-r']],
    after: [['-m'], ['-m', '-r']],
    sameEnd: true,
  },
  {
    name: '-m again, -m -r; 4.x of a halted run flipped',
    state: 'half',
    plan: targetDecoys,
    commands: [['-m'], ['-m', '-r']],
    after: [['-m'], ['-m', '-r']],
    sameEnd: true,
  },
  {
    name: 'a service opens every mailbox; 3.x flipped',
    state: 'folders',
    plan: sourceDecoys,
    commands: [[ACCESS], [ACCESS]],
    after: [['-m'], ['-m', '-r']],
    sameEnd: true,
  },
  {
    name: 'a service opens every mailbox; 4.x of a halted run flipped',
    state: 'half',
    plan: targetDecoys,
    commands: [[ACCESS], [ACCESS]],
    after: [['-m'], ['-m', '-r']],
    sameEnd: true,
  },
  {
    name: '-s; 3.x flipped',
    state: 'fresh',
    plan: (site, decoys) => sourceDecoys(site, decoys, NO_DIRECTORY),
    commands: [['-s'], ['-s']],
    after: [['-s'], ['-m']],
    sameEnd: true,
  },
  {
    name: '-m, -m -r; siblings flipped into each other',
    state: 'folders',
    plan: exchanges,
    commands: [['-m'], ['-m', '-r']],
    after: [],
    sameEnd: false,
  },
  {
    name: '--verify, -m -r; 3.x and 4.x flipped',
    state: 'done',
    plan(site, decoys) {
      sourceDecoys(site, decoys);
      // Beside a published index a stale temporary file is a finding of its own.
      targetDecoys(site, decoys, false);
    },
    commands: [['--verify'], ['-m', '-r']],
    after: [['-m'], ['--verify']],
    sameEnd: true,
  },
  {
    name: '-s, -m, --status; instance and databases flipped',
    state: 'half',
    plan: instanceDecoys,
    commands: [['-s'], ['-m'], ['--status'], ['--verify']],
    after: [['-s'], ['-m']],
    sameEnd: true,
  },
  {
    name: '-s, -m, -u, --verify; store paths, partitions and what leads to them flipped',
    state: 'half',
    plan: rootDecoys,
    commands: [['-s'], ['-m'], ['-u', 'primary'], ['--verify'], RESET],
    after: [['-s'], ['-m']],
    sameEnd: true,
  },
  {
    name: '--reset of what -m made; 3.x and 4.x flipped',
    state: 'done',
    late: true,
    plan(site, decoys) {
      sourceDecoys(site, decoys);
      targetDecoys(site, decoys, false);
    },
    commands: [RESET, RESET],
    after: [RESET, ['-s'], ['-m']],
    sameEnd: true,
  },
  {
    name: '--reset after -m -r; 3.x flipped',
    state: 'removed',
    late: true,
    plan(site, decoys) {
      sourceDecoys(site, decoys);
      resetDecoys(site, decoys);
    },
    commands: [RESET, RESET],
    after: [RESET, ['-s'], ['-m']],
    sameEnd: true,
  },
  {
    name: '--reset after -m -r; what it writes in 3.x flipped',
    state: 'removed',
    late: true,
    plan: resetDecoys,
    commands: [RESET, RESET],
    after: [RESET, ['-s'], ['-m']],
    sameEnd: true,
  },
  {
    name: '--reset after -m -r; 4.x flipped',
    state: 'removed',
    late: true,
    plan: (site, decoys) => targetDecoys(site, decoys, false),
    commands: [RESET, RESET],
    after: [RESET, ['-s'], ['-m']],
    sameEnd: true,
  },
];
