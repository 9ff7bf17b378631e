/**
 * What is killed: a state of the installation, the command that is stopped, and the commands that must then bring it
 * to the end. Each result is checked against the manifest or against what is known of it, once, before anything is
 * killed; every killed and repeated run must then give the same result, to the byte.
 */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { messageOf } from '../../../src/errors.js';
import { compareWithManifest } from '../../support/generate/compare.js';
import { storeLines } from '../../support/store-lines.js';
import { ACCOUNT } from '../../upgrade/small-store.js';
import { asService } from '../support/service.js';
import { type Command, type Ground, originals } from './ground.js';
import { contentOf } from './state.js';

export type Engine = 'native' | 'portable';

export interface Scenario {
  readonly name: string;
  /** Makes the state, from nothing, and keeps it under the scenario's name. */
  prepare(ground: Ground): Promise<void>;
  /** Run each time after the state was put back: a copy has other inodes than the migration record. */
  readonly before?: readonly Command[];
  /** The command that is killed. */
  attempt(ground: Ground): Command;
  /** What is run after a kill until all is done; the first also follows when the kill comes too late. */
  resume(ground: Ground): readonly Command[];
  /** How all of these commands end; 0 unless given. 1 where messages fail. */
  readonly ends?: number;
  /** Sentences about what is wrong with the result of a run that nobody disturbed. */
  check(ground: Ground): Promise<string[]>;
  /** Calls that a run must at least have (the issue asks for 500 of `-m`). */
  readonly atLeast: number;
}

export function scenarios(engines: readonly Engine[]): Scenario[] {
  const list: Scenario[] = [];
  for (const engine of engines) {
    for (const remove of [false, true]) list.push(messages(engine, remove));
    list.push(
      retry(engine, false),
      retry(engine, true),
      retryInUse(engine),
      removalWithFailures(engine, false),
      removalWithFailures(engine, true),
    );
  }
  const engine = engines[0] ?? 'portable';
  return [...list, folders(engine), ...engines.map(lateRemoval), userList(engine), foldersAgain(engine)];
}

export const flag = (engine: Engine): string => (engine === 'native' ? '--native' : '--no-native');
const upgrade = (engine: Engine, ...args: string[]): Command => [
  'upgrade',
  '-m',
  '-t',
  '1',
  '--json',
  flag(engine),
  ...args,
];

/** `-s`, and a partition that is filled by copying. */
export async function foldersDone(ground: Ground): Promise<void> {
  ground.restore('fresh');
  await must(ground, ground.folders);
  const name = path.basename(ground.storePaths[2] ?? '');
  await must(ground, ['configutil', '-o', `store.partition.${name}.path`, '-v', ground.elsewhere]);
}

export async function must(ground: Ground, command: Command, status = 0): Promise<void> {
  const result = await ground.run(command);
  if (result.status === status) return;
  const what = `${command.join(' ')} ended with ${result.status ?? result.signal}`;
  throw new Error(`${what}: ${result.stderr}${result.stdout.slice(0, 2_000)}`);
}

/** The store is read in this process: two starts less for each case. */
async function asManifest(ground: Ground): Promise<string[]> {
  try {
    const { mailboxes, messages } = await storeLines(ground.instance);
    return [...(await compareWithManifest(ground.manifest, mailboxes, messages)).problems];
  } catch (error) {
    return [`the store cannot be read: ${messageOf(error)}`];
  }
}

function messages(engine: Engine, remove: boolean): Scenario {
  const attempt = upgrade(engine, ...(remove ? ['-r'] : []));
  return {
    name: `-m ${flag(engine)}${remove ? ' -r' : ''}`,
    prepare: foldersDone,
    attempt: () => attempt,
    resume: () => [attempt],
    async check(ground) {
      const left = originals(ground).length;
      return [...(await asManifest(ground)), ...(remove && left > 0 ? [`${left} originals were left`] : [])];
    },
    atLeast: 500,
  };
}

/** Every third message failed, its folder was published all the same; by now all of them are repaired. */
async function publishedWithFailures(ground: Ground, engine: Engine, ...args: string[]): Promise<void> {
  await foldersDone(ground);
  const broken = originals(ground).filter((file, i) => i % 3 === 0 && hasLine(file));
  for (const file of broken) {
    fs.renameSync(Buffer.from(file, 'latin1'), asideOf(file));
    fs.symlinkSync('elsewhere', Buffer.from(file, 'latin1'));
  }
  await must(ground, upgrade(engine, '--accept-failures', ...args), 1);
  for (const file of broken) fs.renameSync(asideOf(file), Buffer.from(file, 'latin1'));
}

/**
 * One without a line gets the next uid when it is seen to be a message (3x-profile.md): repaired, another one than that
 * which the manifest has for it.
 */
function hasLine(file: string): boolean {
  const index = Buffer.from(path.join(path.dirname(file), '.mailbox'), 'latin1');
  if (!fs.existsSync(index)) return false;
  const lines = fs.readFileSync(index, 'latin1').split('\n');
  return lines.some((line) => line.endsWith(` ${path.basename(file)}`));
}

export function asideOf(file: string): Buffer {
  return Buffer.from(path.join(path.dirname(file), `.aside-${path.basename(file)}`), 'latin1');
}

/** With `remove`, what had not failed is in 4.x only before the retry begins. */
function retry(engine: Engine, remove: boolean): Scenario {
  const options = remove ? ['-r'] : [];
  const attempt = upgrade(engine, ...options);
  return {
    name: `-m ${[flag(engine), ...options].join(' ')} after failures`,
    prepare: (ground) => publishedWithFailures(ground, engine, ...options),
    attempt: () => attempt,
    resume: () => [attempt],
    async check(ground) {
      const left = originals(ground).length;
      return [...(await asManifest(ground)), ...(remove && left > 0 ? [`${left} originals were left`] : [])];
    },
    atLeast: 200,
  };
}

const FROM_SERVICE = 'Subject: from a service\r\n\r\n';

/** The same where services were: with messages of their own, one of the migrated expunged, a mailbox renamed. */
function retryInUse(engine: Engine): Scenario {
  const attempt = upgrade(engine);
  /** By content: how often it must be in 4.x. */
  let expected = new Map<string, number>();
  return {
    name: `-m ${flag(engine)} after failures, in mailboxes in use`,
    async prepare(ground) {
      await foldersDone(ground);
      await must(ground, upgrade(engine));
      expected = await counts(ground);
      await publishedWithFailures(ground, engine);
      const messagesOf = await dumped(ground);
      const mailboxes = [...new Set(messagesOf.map(({ mailbox }) => mailbox))];
      await asService(ground.instance, async (service) => {
        for (const [i, mailbox] of mailboxes.entries()) {
          const content = `${FROM_SERVICE}${i}\r\n`;
          await service.append(mailbox, content);
          const first = messagesOf.find((message) => message.mailbox === mailbox);
          if (i % 2 === 0 && first !== undefined) {
            await service.expunge(mailbox, first.uid);
            expected.set(first.sha256, (expected.get(first.sha256) ?? 0) - 1);
          }
        }
        const child = mailboxes.find((mailbox) => !mailbox.endsWith('/INBOX'));
        if (child !== undefined) await service.rename(child, `${child} moved`);
      });
      // A file that 3.x brought meanwhile.
      const like = originals(ground)[0] ?? '';
      const file = path.join(path.dirname(like), 'late-file');
      fs.writeFileSync(Buffer.from(file, 'latin1'), 'Subject: late\r\n\r\nlate\r\n', { mode: 0o600 });
      fs.utimesSync(Buffer.from(file, 'latin1'), 900_000_000, 900_000_000);
      fs.chownSync(Buffer.from(file, 'latin1'), ACCOUNT.uid, ACCOUNT.gid);
    },
    attempt: () => attempt,
    resume: () => [attempt],
    async check(ground) {
      const found = await counts(ground);
      // Messages of the services, and the late file, are not among those of 3.x.
      const own = new Map([...found].filter(([content]) => !expected.has(content)));
      const twice = [...own.values()].some((times) => times !== 1);
      for (const content of own.keys()) found.delete(content);
      return [...difference(expected, found), ...(twice ? ['a new message is there twice'] : [])];
    },
    atLeast: 200,
  };
}

/** `-r` where messages fail, at once or, with `late`, after a run without it: of the 3.x files those stay alone. */
function removalWithFailures(engine: Engine, late: boolean): Scenario {
  const attempt = upgrade(engine, '-r', '--accept-failures');
  let broken: readonly string[] = [];
  let expected = new Map<string, number>();
  return {
    name: `-m ${flag(engine)} -r --accept-failures${late ? ', later' : ''}`,
    async prepare(ground) {
      await foldersDone(ground);
      await must(ground, upgrade(engine));
      expected = await counts(ground);
      await foldersDone(ground);
      const files = originals(ground);
      const inodeOf = (file: string): number => fs.statSync(Buffer.from(file, 'latin1')).ino;
      // Others may write to these: they fail, and whatever else is the same file.
      const open = new Set(files.filter((_file, i) => i % 3 === 0).map(inodeOf));
      broken = files.filter((file) => open.has(inodeOf(file)));
      for (const file of broken) {
        fs.chmodSync(Buffer.from(file, 'latin1'), 0o602);
        const content = contentOf(Buffer.from(file, 'latin1'));
        expected.set(content, (expected.get(content) ?? 0) - 1);
      }
    },
    ...(late ? { before: [upgrade(engine, '--accept-failures')] } : {}),
    attempt: () => attempt,
    resume: () => [attempt],
    ends: 1,
    async check(ground) {
      const files = difference(once(broken), once(originals(ground)));
      return [...difference(expected, await counts(ground)), ...files];
    },
    atLeast: late ? 100 : 400,
  };
}

interface Dumped {
  readonly mailbox: string;
  readonly uid: number;
  readonly sha256: string;
}

async function dumped(ground: Ground): Promise<Dumped[]> {
  return (await storeLines(ground.instance)).messages.map((line) => JSON.parse(line) as Dumped);
}

async function counts(ground: Ground): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  for (const { sha256 } of await dumped(ground)) found.set(sha256, (found.get(sha256) ?? 0) + 1);
  return found;
}

/** `-s` on a store that nobody touched, then `-m`. */
function folders(engine: Engine): Scenario {
  return {
    name: '-s',
    prepare: async (ground) => ground.restore('fresh'),
    attempt: (ground) => ground.folders,
    resume: (ground) => [ground.folders, upgrade(engine)],
    check: asManifest,
    atLeast: 50,
  };
}

/** `-s` again, after `-m`: a user and folders are new in 3.x, one folder is gone. */
function foldersAgain(engine: Engine): Scenario {
  let expected = new Map<string, number>();
  return {
    name: '-s again, after -m',
    async prepare(ground) {
      await foldersDone(ground);
      await must(ground, upgrade(engine));
      expected = await counts(ground);
      const [first = ''] = ground.storePaths;
      const users = fs.readdirSync(first).filter((name) => fs.existsSync(path.join(first, name, 'INBOX')));
      for (const [uid, folder] of [...users.map((user) => [user, 'Late']), ['zoe', 'INBOX'], ['zoe', 'Late']]) {
        const directory = path.join(first, uid ?? '', folder ?? '');
        fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
        fs.writeFileSync(path.join(directory, '.mailbox'), 'NSMB 3 77 9\n3 900000000 S 20 m\n');
        const content = `Subject: ${uid} ${folder}\r\n\r\n`;
        fs.writeFileSync(path.join(directory, 'm'), content, { mode: 0o600 });
        fs.utimesSync(path.join(directory, 'm'), 900_000_000, 900_000_000);
        expected.set(createHash('sha256').update(content).digest('hex'), 1);
        for (const name of [path.dirname(directory), directory, `${directory}/.mailbox`, `${directory}/m`]) {
          fs.chownSync(name, ACCOUNT.uid, ACCOUNT.gid);
        }
      }
      const host = /^mailHost: (.*)$/m.exec(fs.readFileSync(ground.ldif, 'utf8'))?.[1];
      const entry = `dn: uid=zoe,o=late\nobjectClass: mailRecipient\nuid: zoe\nmailHost: ${host}\nmailDeliveryOption: mailbox\n`;
      fs.appendFileSync(ground.ldif, `\n${entry}`);
    },
    attempt: (ground) => ground.folders,
    resume: (ground) => [ground.folders, upgrade(engine)],
    check: async (ground) => difference(expected, await counts(ground)),
    atLeast: 20,
  };
}

function lateRemoval(engine: Engine): Scenario {
  const attempt = upgrade(engine, '-r');
  return {
    name: `-m ${flag(engine)} -r, later`,
    prepare: foldersDone,
    before: [upgrade(engine)],
    attempt: () => attempt,
    resume: () => [attempt],
    async check(ground) {
      const left = originals(ground).length;
      return [...(await asManifest(ground)), ...(left > 0 ? [`${left} originals were left`] : [])];
    },
    atLeast: 100,
  };
}

function userList(engine: Engine): Scenario {
  const attempt: Command = ['upgrade', '-u', '__up.primary.txt', '-t', '1', '--json', flag(engine), '-r'];
  return {
    name: '-u -r, then -m -r',
    prepare: foldersDone,
    attempt: () => attempt,
    resume: () => [attempt, upgrade(engine, '-r')],
    check: asManifest,
    atLeast: 100,
  };
}

/** Where the numbers of messages with a content, or of files, differ. */
function difference(expected: ReadonlyMap<string, number>, found: ReadonlyMap<string, number>): string[] {
  return [...new Set([...expected.keys(), ...found.keys()])]
    .filter((content) => (expected.get(content) ?? 0) !== (found.get(content) ?? 0))
    .map((content) => `${content}: ${found.get(content) ?? 0} times, not ${expected.get(content) ?? 0}`);
}

function once(names: readonly string[]): Map<string, number> {
  return new Map(names.map((name) => [name, 1]));
}
