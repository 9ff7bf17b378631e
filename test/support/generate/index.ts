/**
 * Makes 3.x installations after 3x-profile.md: store paths, mailboxes, configuration, LDIF directory, and a
 * manifest of what a correct migration must find.
 *
 *     <root>/server3/msg-<instance>/config/NscpMail.conf
 *     <root>/disk1/mail1/<uid>/INBOX/…        MailboxDirectory
 *     <root>/disk2/mail2/<uid>/…              further store paths (mailMessageStore)
 *     <root>/users.ldif
 *     <root>/manifest.jsonl
 *
 * Manifest: JSON lines. `type` is `installation`, `user`, `entry` (a directory entry that must be skipped), `folder`
 * or `message`. Names are base64 of the raw bytes, folder levels joined by `/`. `uid`, `uidvalidity`, `uidnext` are
 * the expected ones, null where the migrator chooses. `sha256` and `size` are of the CRLF form; `date` in seconds.
 */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { contentSource } from './content.js';
import { DAMAGE, type DamageKind } from './damage.js';
import { join, LineWriter, makeDirectory, writeNew } from './files.js';
import { folderMaker, type StorePath, type Totals } from './folder.js';
import { folderName, userName } from './names.js';
import { DEFAULTS, type GenerateOptions, type Owner } from './options.js';
import { accountOf } from './owner.js';
import { type Random, randomOf, split } from './random.js';
import { badEntries, baseEntries, userEntry } from './users.js';

export { DAMAGE, type DamageKind } from './damage.js';
export { HOSTILE_FOLDER_NAMES } from './names.js';
export { DEFAULTS, type GenerateOptions, type SizeClass } from './options.js';
export { meanOfMail } from './sizes.js';

export interface Installation extends Readonly<Totals> {
  readonly root: string;
  /** The 3.x instance: `--from` of `upgrade -s`. */
  readonly instance: string;
  /** `--directory` of `upgrade -s`. */
  readonly ldif: string;
  readonly manifest: string | null;
  /** The first is MailboxDirectory. */
  readonly storePaths: readonly string[];
  readonly users: number;
  readonly owner: Owner;
  /** Kinds of damage that this user cannot make (root only). */
  readonly unavailable: readonly DamageKind[];
  readonly seconds: number;
}

const INBOX = Buffer.from('INBOX');

/** Makes an installation in `root`, which must not hold one yet. Synchronous; memory does not grow with its size. */
export function generateInstallation(given: Partial<GenerateOptions> & { readonly root: string }): Installation {
  const options: GenerateOptions = { ...DEFAULTS, ...given };
  check(options);
  const started = process.hrtime.bigint();
  const owner = accountOf(options.owner);
  const root = path.resolve(options.root);
  const random = randomOf(options.seed, 'installation');
  const storePaths = makeStorePaths(root, options, owner);
  const instance = writeConfiguration(root, options, owner, storePaths);

  const ldif = new LineWriter(path.join(root, 'users.ldif'));
  const manifestFile = options.manifest ? path.join(root, 'manifest.jsonl') : null;
  const manifestWriter = manifestFile === null ? null : new LineWriter(manifestFile);
  const manifest = (line: Record<string, unknown>) => manifestWriter?.write(`${JSON.stringify(line)}\n`);
  const { root: _root, ...settings } = options;
  manifest({ type: 'installation', hostName: options.hostName, storePaths, settings });

  const totals: Totals = { folders: 0, messages: 0, files: 0, bytes: 0, links: 0, bareLf: 0, damage: {} };
  const content = contentSource(options);
  const maker = folderMaker(options, owner, content, totals, manifest);
  const counts = messageCounts(options, content.count ?? options.messages, random);
  const stores: StorePath[] = storePaths.map((storePath) => ({ path: storePath, shared: [], sent: new Map() }));
  const possible = DAMAGE.filter((damage) => options.damageKinds.includes(damage.kind));
  const kinds = possible.filter((damage) => !damage.root || owner.chown).map((damage) => damage.kind);
  let nextDamage = 0;

  ldif.write(baseEntries(options.hostName));
  for (let index = 0; index < options.users + options.emptyUsers; index++) {
    const own = randomOf(options.seed, `user ${index}`);
    const uid = userName(own, index);
    const store = stores[index % stores.length]!;
    const quota = own.chance(0.5) ? own.pick([0, 5_000_000, 10_485_760]) : null;
    ldif.write(
      userEntry(own, { uid, storePath: store === stores[0] ? null : store.path, quota, hostName: options.hostName }),
    );
    const empty = index >= options.users;
    manifest({ type: 'user', user: uid, storePath: store.path, quota, mailbox: !empty });
    if (empty) continue;

    const mailbox = path.join(store.path, uid);
    makeDirectory(mailbox, 0o700, owner);
    const folders = folderPaths(options, own);
    const modes: [Buffer, number][] = [];
    folders.forEach((names, number) => {
      const messages = counts[index * options.folders + number]!;
      const wanted = messages >= 3 && kinds.length > 0 && own.chance(options.damage);
      const damage = wanted ? kinds[nextDamage++ % kinds.length]! : null;
      const directory = names.reduce(join, Buffer.from(mailbox));
      const userNumber = Math.floor(index / stores.length);
      const place = { user: uid, store, path: names, directory, userNumber, folderNumber: number };
      const mode = maker.make({ ...place, messages, damage }, own);
      if (mode !== 0o700) modes.push([directory, mode]);
    });
    // Last, and sub-folders first: only root can work in a directory without permissions.
    for (const [directory, mode] of modes.reverse()) fs.chmodSync(directory, mode);
    if (own.chance(0.5)) writeSubscriptions(mailbox, folders, own, owner, uid, manifest);
  }
  for (const entry of badEntries(options.badEntries, options.hostName)) {
    ldif.write(entry.ldif);
    manifest({ type: 'entry', user: entry.uid, why: entry.why });
  }
  ldif.close();
  manifestWriter?.close();
  return {
    ...totals,
    root,
    instance,
    ldif: path.join(root, 'users.ldif'),
    manifest: manifestFile,
    storePaths,
    users: options.users + options.emptyUsers,
    owner,
    unavailable: possible.filter((damage) => !kinds.includes(damage.kind)).map((damage) => damage.kind),
    seconds: Number(process.hrtime.bigint() - started) / 1e9,
  };
}

/** Removes a directory with installations in it, also one with directories that nobody may enter. */
export function removeInstallation(directory: string): void {
  spawnSync('chmod', ['-R', 'u+rwX', directory]);
  fs.rmSync(directory, { recursive: true, force: true });
}

function check(options: GenerateOptions): void {
  for (const name of ['users', 'folders', 'size'] as const) {
    if (!Number.isInteger(options[name]) || options[name] < 1)
      throw new Error(`${name} must be a whole number above 0`);
  }
  if (!(Number.isInteger(options.recipients) && options.recipients >= 1)) {
    throw new Error('recipients must be a whole number above 0');
  }
  if (options.gaps !== null && !(options.gaps >= 0 && options.gaps < 1)) throw new Error('gaps must be below 1');
  if (options.counts !== null && options.counts.length !== options.users * options.folders) {
    throw new Error('counts must have a number for each folder of each user');
  }
  for (const name of ['singleCopy', 'bareLf', 'damage', 'hostileNames', 'nested', 'keywords', 'attachments'] as const) {
    if (!(options[name] >= 0 && options[name] <= 1)) throw new Error(`${name} must be a share from 0 to 1`);
  }
}

/** `root` and all above a store path must be root's or the account's, and the account must be able to pass. */
function makeStorePaths(root: string, options: GenerateOptions, owner: Owner): string[] {
  fs.mkdirSync(root, { recursive: true });
  fs.chmodSync(root, 0o755);
  const paths =
    typeof options.storePaths === 'number'
      ? Array.from({ length: options.storePaths }, (_, index) =>
          path.join(root, `disk${index + 1}`, `mail${index + 1}`),
        )
      : options.storePaths.map((storePath) => path.resolve(storePath));
  if (paths.length === 0) throw new Error('storePaths: at least one is needed');
  for (const storePath of paths) makeDirectory(storePath, 0o755, owner);
  return paths;
}

function writeConfiguration(
  root: string,
  options: GenerateOptions,
  owner: Owner,
  storePaths: readonly string[],
): string {
  const instance = path.join(root, 'server3', `msg-${options.instance}`);
  const queue = path.join(root, 'postoffice');
  for (const directory of [path.join(instance, 'config'), path.join(queue, 'messages'), path.join(queue, 'deferred')]) {
    makeDirectory(directory, 0o755, owner);
  }
  const lines = [
    '# Netscape Messaging Server configuration',
    `Version: ${options.version}`,
    `HostName: ${options.hostName}`,
    `MailboxDirectory: ${storePaths[0]}`,
    `PostOfficeDirectory: ${queue}`,
    `ServerUser: ${owner.user}`,
    `ServerGroup: ${owner.group}`,
    'Postmaster: postmaster@example.com',
    'SmtpPort: 25',
    'ImapPort: 143',
    'PopPort: 110',
    'QuotaDefault: 20971520',
    'MaxQueueTime: 4',
    'LogLevel: Notice',
    `AllowBareLF: ${options.bareLf > 0 || options.fromEml !== null ? 'yes' : 'no'}`,
    `SingleCopy: ${options.singleCopy > 0 || options.recipients > 1 ? 'yes' : 'no'}`,
    'X-Site-Note: an unknown key, kept and reported',
  ];
  if (options.ldapUrl !== null) lines.push(`LdapUrl: ${options.ldapUrl}`, 'LdapBaseDN: o=example.com');
  writeNew(path.join(instance, 'config', 'NscpMail.conf'), `${lines.join('\n')}\n`, { mode: 0o644, owner });
  return instance;
}

/** Messages of every folder, user after user. */
function messageCounts(options: GenerateOptions, total: number, random: Random): Uint32Array {
  if (options.counts !== null) return Uint32Array.from(options.counts);
  const folders = options.users * options.folders;
  const weights = new Float64Array(folders).map((_, index) => {
    if (options.spread === 'even') return 1;
    if (options.spread === 'giant') return index === 0 ? Math.max(1, folders - 1) : 1;
    return Math.exp(random.normal()) * (index % options.folders === 0 ? 4 : 1);
  });
  return split(total, weights);
}

/** Raw paths of a user's folders, parents before children, INBOX first. */
function folderPaths(options: GenerateOptions, random: Random): Buffer[][] {
  const paths: Buffer[][] = [[INBOX]];
  const taken = new Map<string, Set<string>>([['', new Set(['INBOX'])]]);
  for (let index = 1; index < options.folders; index++) {
    const parent = random.chance(options.nested) ? random.pick(paths) : [];
    const key = Buffer.concat([Buffer.alloc(0), ...parent.flatMap((name) => [name, Buffer.from('/')])]).toString(
      'latin1',
    );
    const siblings = taken.get(key) ?? new Set<string>();
    taken.set(key, siblings);
    const name = folderName(random, index, random.chance(options.hostileNames), siblings);
    siblings.add(name.toString('latin1'));
    paths.push([...parent, name]);
  }
  return paths;
}

/** Most folders of the user, and one that is not there any more. */
function writeSubscriptions(
  mailbox: string,
  folders: readonly Buffer[][],
  random: Random,
  owner: Owner,
  uid: string,
  manifest: (line: Record<string, unknown>) => void,
): void {
  const chosen = folders
    .filter(() => random.chance(0.7))
    .map((names) => names.reduce(join))
    .filter((name) => !name.includes(0x0a));
  const gone = Buffer.from('No longer here');
  const lines = [...chosen, gone].flatMap((name) => [name, Buffer.from('\n')]);
  writeNew(path.join(mailbox, '.subscriptions'), Buffer.concat(lines), { mode: 0o600, owner });
  manifest({ type: 'subscriptions', user: uid, folders: chosen.map((name) => name.toString('base64')) });
}
