/**
 * Decoys: beside a name of the site a second one, `.decoy-<n>`, of what an attacker would like to stand there. The
 * flipper exchanges the two. Names with a leading dot are no folders and no messages, so a decoy at rest harms nothing.
 */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { type Ground, join, MARKER, names, run } from './ground.js';

export const DECOY = '.decoy-';

/** One exchange: `name` and `decoy` in `parent`. */
export interface Pair {
  readonly parent: Buffer;
  readonly name: Buffer;
  readonly decoy: Buffer;
}

export type FileDecoy = 'link' | 'link-to-secret' | 'secret' | 'fifo' | 'socket' | 'device' | 'directory' | 'file';

const FILE_DECOYS: readonly FileDecoy[] = ['link', 'secret', 'link-to-secret', 'fifo', 'socket', 'device', 'directory'];

export interface Decoys {
  readonly pairs: Pair[];
  /** Exchanges a file with something that is none. `kinds`: which of them, in turn. */
  file(parent: Buffer, name: Buffer, kinds?: readonly FileDecoy[]): void;
  /** Exchanges a directory with a link to an outside one of the same content. */
  directory(parent: Buffer, name: Buffer): void;
  /**
   * Exchanges a root, or a directory that leads to one, for a link of the server account to an outside one of the same
   * content, or for what is no directory. Root follows only links of root there (src/fs/links.ts).
   */
  root(parent: Buffer, name: Buffer): void;
  /** Exchanges two names that both belong there. */
  exchange(parent: Buffer, name: Buffer, other: Buffer): void;
}

/** @param owner uid:gid of the server account, who owns what only root could not make */
export function newDecoys(ground: Ground, owner: { uid: number; gid: number }): Decoys {
  const pairs: Pair[] = [];
  let serial = fs.readdirSync(path.join(ground.canary, 'alike')).length;
  let turn = 0;
  const alike = (): string => path.join(ground.canary, 'alike', String(serial++));
  const secret = (): string => {
    const file = path.join(ground.canary, 'secret', String(serial++));
    fs.writeFileSync(file, `root:${MARKER}:1:0:99999:7:::\n`, { mode: 0o600 });
    return file;
  };
  const pair = (parent: Buffer, name: Buffer): Buffer => {
    const decoy = Buffer.from(`${DECOY}${pairs.length}`);
    pairs.push({ parent, name, decoy });
    return join(parent, decoy);
  };
  const fileAt = (parent: Buffer, name: Buffer, kind: FileDecoy): void => {
    const decoy = pair(parent, name);
    switch (kind) {
      case 'link': {
        const outside = alike();
        fs.copyFileSync(join(parent, name), outside);
        const { uid, gid, mode } = fs.statSync(join(parent, name));
        falsify(Buffer.from(outside), path.basename(name.toString('latin1')));
        fs.chownSync(outside, uid, gid);
        fs.chmodSync(outside, mode);
        fs.symlinkSync(outside, decoy);
        break;
      }
      case 'link-to-secret':
        fs.symlinkSync(secret(), decoy);
        break;
      case 'secret': {
        const file = secret();
        // A partition on a file system of its own has no hard link of it.
        if (fs.statSync(parent).dev === fs.statSync(file).dev) fs.linkSync(file, decoy);
        else fs.symlinkSync(file, decoy);
        break;
      }
      case 'fifo':
        run('mkfifo', '-m', '600', argument(decoy));
        break;
      case 'device':
        run('mknod', '-m', '600', argument(decoy), 'c', '1', '5');
        break;
      case 'socket':
        makeSocket(decoy);
        break;
      case 'directory':
        fs.mkdirSync(decoy, { mode: 0o700 });
        break;
      case 'file':
        fs.writeFileSync(decoy, '', { mode: 0o600 });
        break;
    }
    // The secret stays root's, whatever name it has. Links are the account's: those of root lead root on.
    if (kind !== 'secret' || fs.lstatSync(decoy).isSymbolicLink()) fs.lchownSync(decoy, owner.uid, owner.gid);
  };
  const directoryAt = (parent: Buffer, name: Buffer, outsideOwner?: string): void => {
    const outside = alike();
    run('cp', '-a', argument(join(parent, name)), outside);
    falsify(Buffer.from(outside));
    if (outsideOwner !== undefined) run('chown', '-Rh', outsideOwner, outside);
    const decoy = pair(parent, name);
    fs.symlinkSync(outside, decoy);
    fs.lchownSync(decoy, owner.uid, owner.gid);
  };
  return {
    pairs,
    exchange: (parent, name, other) => pairs.push({ parent, name, decoy: other }),
    directory: (parent, name) => directoryAt(parent, name),
    root(parent, name) {
      const kinds = ['link', 'fifo', 'link to what is root’s', 'file'] as const;
      const kind = kinds[turn++ % kinds.length];
      if (kind === 'fifo' || kind === 'file') fileAt(parent, name, kind);
      else directoryAt(parent, name, kind === 'link' ? undefined : '0:0');
    },
    file: (parent, name, kinds = FILE_DECOYS) => fileAt(parent, name, kinds[turn++ % kinds.length] as FileDecoy),
  };
}

/** A path as an argument; names that are not UTF-8 are left out by `plannable`. */
function argument(bytes: Buffer): string {
  return bytes.toString('utf8');
}

/** Names that survive being an argument of cp(1) through Node. */
export function plannable(name: Buffer): boolean {
  return Buffer.from(name.toString('utf8')).equals(name);
}

function makeSocket(at: Buffer): void {
  const script = 'import socket,sys,os\ns=socket.socket(socket.AF_UNIX)\nos.chdir(sys.argv[1])\ns.bind(sys.argv[2])';
  const slash = at.lastIndexOf(0x2f);
  const args = ['-c', script, argument(at.subarray(0, slash)), argument(at.subarray(slash + 1))];
  const { status, stderr } = spawnSync('python3', args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`python3: ${stderr}`);
}

/** Gives every message below `at` a content that can be told; indexes and databases stay as they look. */
function falsify(at: Buffer, name = ''): void {
  const found = fs.lstatSync(at);
  if (found.isDirectory()) {
    for (const entry of names(at)) falsify(join(at, entry), entry.toString('latin1'));
  } else if (!found.isFile()) {
    fs.rmSync(at);
  } else if (!name.startsWith('.') && !name.startsWith('__') && !/mdb|\.db|idx/.test(name)) {
    const { uid, gid, mode } = found;
    fs.rmSync(at);
    fs.writeFileSync(at, `From: outside\r\nSubject: ${MARKER}\r\n\r\n${MARKER}\r\n`);
    fs.chownSync(at, uid, gid);
    fs.chmodSync(at, mode);
  }
}

/** Takes every decoy below `at` away; what the program left of one, too. */
export function removeDecoys(at: Buffer): void {
  for (const name of names(at)) {
    const entry = join(at, name);
    if (name.toString('latin1').startsWith(DECOY)) fs.rmSync(entry, { recursive: true, force: true });
    else if (fs.lstatSync(entry).isDirectory()) removeDecoys(entry);
  }
}

/** The plan as flipper.cc reads it. */
export function planOf(pairs: readonly Pair[]): Buffer {
  const nul = Buffer.of(0);
  return Buffer.concat(pairs.flatMap(({ parent, name, decoy }) => [parent, nul, name, nul, decoy, nul]));
}
