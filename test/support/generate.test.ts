/** The generator itself: what other tests stand on must be what it says. */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  DAMAGE,
  type GenerateOptions,
  generateInstallation,
  HOSTILE_FOLDER_NAMES,
  removeInstallation,
} from './generate.js';

let work = '';
beforeAll(() => {
  work = fs.mkdtempSync(path.join(os.tmpdir(), 'mailhaul-generate-'));
});
afterAll(() => {
  removeInstallation(work);
});

function make(name: string, options: Partial<GenerateOptions> = {}) {
  return generateInstallation({ root: path.join(work, name), users: 6, messages: 300, ...options });
}

interface Entry {
  readonly path: string;
  readonly stat: fs.Stats;
}

/** Everything below a directory, names as ISO-8859-1. */
function tree(root: string): Entry[] {
  const entries: Entry[] = [];
  const visit = (directory: Buffer) => {
    for (const name of fs.readdirSync(directory, { encoding: 'buffer' })) {
      const full = Buffer.concat([directory, Buffer.from('/'), name]);
      const stat = fs.lstatSync(full);
      entries.push({ path: full.toString('latin1').slice(root.length), stat });
      if (stat.isDirectory() && (stat.mode & 0o400) !== 0) visit(full);
    }
  };
  visit(Buffer.from(root));
  return entries.sort((a, b) => (a.path < b.path ? -1 : 1));
}

function fingerprint(root: string): string {
  const hash = createHash('sha256');
  for (const { path: name, stat } of tree(root)) {
    const message = stat.isFile() && name.startsWith('/disk') && !name.includes('/.');
    hash.update(`${name} ${stat.mode} ${message ? stat.mtimeMs : ''}\n`);
    if (!stat.isFile() || (stat.mode & 0o400) === 0) continue;
    // The installation's own path is in its configuration, manifest and directory (there in folded lines).
    const text = fs.readFileSync(Buffer.from(root + name, 'latin1'), 'latin1');
    hash.update(message ? text : text.replaceAll('\n ', '').replaceAll(root, 'ROOT'));
  }
  return hash.digest('hex');
}

interface ManifestLine {
  readonly type: string;
  readonly user: string;
  readonly folder: string;
  readonly file: string;
  readonly uid: number | null;
  readonly sha256: string | null;
  readonly damage?: string;
  readonly outcome: string;
}

function manifestOf(file: string | null): ManifestLine[] {
  return fs
    .readFileSync(file ?? '', 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as ManifestLine);
}

describe('generator of 3.x installations', () => {
  it('makes the same bytes for the same seed, and others for another', () => {
    const options = { damage: 0.5, hostileNames: 0.5, emptyUsers: 1, badEntries: 20 };
    const [first, second, other] = [make('a', options), make('b', options), make('c', { ...options, seed: '2' })];
    expect(fingerprint(first.root)).toBe(fingerprint(second.root));
    expect(fingerprint(first.root)).not.toBe(fingerprint(other.root));
  });

  it('makes every kind of damage that this user can make', () => {
    const made = make('damage', { users: 20, messages: 1000, spread: 'even', damage: 1, singleCopy: 0 });
    const kinds = DAMAGE.map(({ kind }) => kind).filter((kind) => !made.unavailable.includes(kind));
    expect(Object.keys(made.damage).sort()).toEqual([...kinds].sort());
    const lines = manifestOf(made.manifest);
    for (const kind of kinds) expect(lines.some(({ damage }) => damage === kind)).toBe(true);
  });

  it('puts single-copy links inside one store path only, and bare LF where asked', () => {
    const made = make('links', { singleCopy: 0.5, bareLf: 0.3, damage: 0, messages: 600 });
    const homes = new Map<number, Set<string>>();
    for (const { path: name, stat } of tree(made.root)) {
      if (!stat.isFile() || stat.nlink === 1) continue;
      const home = homes.get(stat.ino) ?? new Set();
      homes.set(stat.ino, home.add(name.split('/')[1] ?? ''));
    }
    expect(homes.size).toBeGreaterThan(20);
    expect([...homes.values()].every((stores) => stores.size === 1)).toBe(true);
    expect(made.links).toBeGreaterThan(150);
    expect(made.bareLf).toBeGreaterThan(50);
  });

  it('writes a manifest whose digests are those of the CRLF form', () => {
    const made = make('manifest', { bareLf: 0.5, damage: 0 });
    const stores = new Map(manifestOf(made.manifest).map((line) => [line.user, line]));
    expect(stores.size).toBeGreaterThan(6);
    let compared = 0;
    for (const line of manifestOf(made.manifest)) {
      if (line.type !== 'message') continue;
      const below = [line.user, Buffer.from(line.folder, 'base64').toString('latin1')].join('/');
      const name = Buffer.from(line.file, 'base64').toString('latin1');
      const file = made.storePaths
        .map((storePath) => Buffer.from(`${storePath}/${below}/${name}`, 'latin1'))
        .find((candidate) => fs.existsSync(candidate));
      const crlf = fs
        .readFileSync(file!)
        .toString('latin1')
        .replace(/(?<!\r)\n/g, '\r\n');
      expect(createHash('sha256').update(Buffer.from(crlf, 'latin1')).digest('hex')).toBe(line.sha256);
      compared++;
    }
    expect(compared).toBe(300);
  });

  it('takes given messages once each', () => {
    const eml = path.join(work, 'eml');
    fs.mkdirSync(eml);
    const bodies = Array.from({ length: 40 }, (_, index) => `Subject: number ${index}\n\nbody\n`);
    bodies.forEach((body, index) => {
      fs.writeFileSync(path.join(eml, `${index}.eml`), body);
    });
    fs.writeFileSync(path.join(eml, 'README'), 'not a message');
    const made = make('given', { fromEml: eml, damage: 0 });
    const digests = manifestOf(made.manifest).flatMap(({ type, sha256 }) => (type === 'message' ? [sha256] : []));
    const wanted = bodies.map((body) => createHash('sha256').update(body.replaceAll('\n', '\r\n')).digest('hex'));
    expect(digests.sort()).toEqual(wanted.sort());
  });

  it('knows folder names that fit a directory entry and differ as bytes', () => {
    const names = HOSTILE_FOLDER_NAMES.map((name) => name.toString('latin1'));
    expect(new Set(names).size).toBe(names.length);
    for (const name of HOSTILE_FOLDER_NAMES) {
      expect(name.length).toBeLessThanOrEqual(255);
      expect(name.includes(0x2f) || name.includes(0) || name[0] === 0x2e).toBe(false);
    }
  });
});
