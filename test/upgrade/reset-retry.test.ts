/**
 * `--reset` of a mailbox that a service has opened and a retry has added messages to: those came from 3.x, so they are
 * no reason to refuse. What a service did there is.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { asService } from '../campaign/support/service.js';
import { type HandSite, handSite, MAIL, putMail } from '../e2e/hand-site.js';
import { originalsOf, primaryOf, refusalsOf, reset } from './reset-support.js';
import { INDEX } from './small-store.js';

const WORK = 'user/anna/Work';
const BARE = 'Subject: three\n\nbare LF\n';

let made: HandSite;
let folder: string;

/** anna's Work: 1 is good; 3 and 5 are links at first, published with --accept-failures; a service has opened it. */
beforeEach(async () => {
  made = handSite();
  const { store } = made;
  store.user('anna');
  const lines = `${INDEX(70, 9)}1 11 S 9 one\n3 13 F,late 9 three\n5 15 A 9 five\n`;
  folder = store.folder(store.mailbox, 'anna', 'Work', lines);
  putMail(folder, 'one');
  for (const name of ['three', 'five']) fs.symlinkSync('/etc/passwd', path.join(folder, name));
  store.finish();
  expect(made.folders().status).toBe(0);
  expect(made.messages('--accept-failures').status).toBe(1);
  await asService(store.instance, (service) => service.open(WORK));
});

afterEach(() => made.remove());

function repair(name: string, content?: string): void {
  const { uid, gid } = fs.statSync(folder);
  fs.unlinkSync(path.join(folder, name));
  fs.chownSync(putMail(folder, name, content), uid, gid);
}

const uids = (): number[] => made.dump(WORK).map(({ uid }) => uid);

/** Both messages come in by a retry, under new uids. */
function retry(...options: string[]): void {
  repair('three', BARE);
  repair('five');
  const result = made.messages(...options);
  expect(result.status, result.stdout + result.stderr).toBe(0);
  expect(uids()).toEqual([1, 9, 10]);
}

it('goes back when the service has only opened it, and -s, -m give the uids, flags and dates of 3.x', async () => {
  retry();
  const before = originalsOf(made.store);
  const report = await reset(made.store);
  expect(report.refusals).toEqual([]);
  expect(report).toMatchObject({ outcome: 'done', restore: { messages: 0 } });
  expect(report.notes.join()).toContain('2 messages that a retry added');
  expect(originalsOf(made.store)).toEqual(before);
  expect(made.folders().status).toBe(0);
  expect(made.messages().status).toBe(0);
  expect(uids()).toEqual([1, 3, 5]);
});

it('puts back what the retry added when -r took its originals, rewritten ones too', async () => {
  retry('-r');
  expect(originalsOf(made.store)).toEqual({});
  const report = await reset(made.store);
  expect(report.refusals).toEqual([]);
  expect(report.restore).toMatchObject({ messages: 3, rewritten: 1 });
  expect(fs.readFileSync(path.join(folder, 'three'), 'latin1')).toBe(BARE.replaceAll('\n', '\r\n'));
  expect(made.folders().status).toBe(0);
  expect(made.messages().status).toBe(0);
  expect(made.dump(WORK).map(({ uid, flags, internaldate }) => [uid, internaldate, flags.join()])).toEqual([
    [1, 11, '\\Seen'],
    [3, 13, '\\Flagged,late'],
    [5, 15, '\\Answered'],
  ]);
});

it('refuses a file of it that is not what the journal says, when it is the only copy', async () => {
  retry('-r');
  const file = path.join(made.mailbox(WORK).path ?? '', '00/9.msg');
  fs.writeFileSync(file, fs.readFileSync(file, 'latin1').replace('bare', 'bore'), 'latin1');
  expect(refusalsOf(await reset(made.store))).toEqual(['RESET_CONTENT']);
});

describe('refuses what a service did', () => {
  it.each([
    ['to the flags of such a message', (s: Service) => s.flag(WORK, 9, 4)],
    ['by an expunge of it', (s: Service) => s.expunge(WORK, 9)],
    ['by a delivery after it', async (s: Service) => void (await s.append(WORK, MAIL('new')))],
  ])('%s', async (_, change) => {
    retry();
    await asService(made.store.instance, change);
    expect(refusalsOf(await reset(made.store))).toContain('RESET_CHANGED');
  });
});

type Service = Parameters<Parameters<typeof asService<void>>[1]>[0];

/** Runs `-m` killed at one call after the other until `isThere` says so. The first eight are of the start. */
async function killUntil(isThere: () => boolean): Promise<void> {
  for (let n = 9; n < 400; n += 2) {
    const killed = made.runWith({ MAILHAUL_FAULT: `kill:${n}` }, 'upgrade', '-m', '-t', '1');
    if (isThere() && killed.signal === 'SIGKILL') return;
    if (killed.signal === null) break;
  }
  expect.unreachable('the retry was never killed there');
}

/** `--reset --yes`, killed again and again: in the partition each time one name later. */
function killResetEverywhere(): void {
  const namesLeft = (): number => fs.readdirSync(primaryOf(made.store), { recursive: true }).length;
  let before = namesLeft();
  for (let n = 1; n < 400; n++) {
    const { signal, status, stdout } = made.runWith({ MAILHAUL_FAULT: `kill:${n}` }, 'upgrade', '--reset', '--yes');
    if (signal === null) {
      expect(status, stdout).toBe(0);
      return;
    }
    const now = namesLeft();
    if (now < before) n -= 1;
    before = now;
  }
  expect.unreachable('the reset never ended');
}

describe('a retry that was killed', () => {
  it('after its messages came in: goes back, wherever the reset is killed', async () => {
    repair('three', BARE);
    await killUntil(() => uids().includes(9));
    expect(fs.existsSync(path.join(made.mailbox(WORK).path ?? '', '.retry'))).toBe(true);
    expect((await reset(made.store, { dryRun: true })).refusals).toEqual([]);
    const before = originalsOf(made.store);
    killResetEverywhere();
    expect(originalsOf(made.store)).toEqual(before);
    expect(fs.readdirSync(primaryOf(made.store))).toEqual([]);
  }, 600_000);

  it('before that, and a service was given the uid: refused, and the delivered message is there', async () => {
    repair('three', BARE);
    const directory = made.mailbox(WORK).path ?? '';
    await killUntil(() => fs.existsSync(path.join(directory, '.retry')));
    expect(uids()).toEqual([1]);
    await asService(made.store.instance, async (service) => {
      expect(await service.append(WORK, MAIL('new in 4.x'))).toEqual([9]);
    });
    expect(refusalsOf(await reset(made.store))).toContain('RESET_CHANGED');
    expect(fs.readFileSync(path.join(directory, '00/9.msg'), 'latin1')).toBe(MAIL('new in 4.x'));
  }, 600_000);
});

describe('two migrated messages of one 3.x name', () => {
  /** 3.x replaces `one` by another message; a retry brings it in beside the first, and -r takes the originals. */
  function replaceOne(content: string, beforeRemoval = (): void => {}): void {
    repair('one', content);
    // Another time, so that no file system's inode makes it the file on record.
    fs.utimesSync(path.join(folder, 'one'), 900_000_777, 900_000_777);
    const lines = `${INDEX(70, 10)}3 13 F,late 9 three\n5 15 A 9 five\n9 19 - 9 one\n`;
    fs.writeFileSync(path.join(folder, '.mailbox'), lines);
    repair('three');
    repair('five');
    expect(made.messages().status).toBe(0);
    beforeRemoval();
    expect(made.messages('-r').status).toBe(0);
    expect(uids()).toHaveLength(4);
    expect(originalsOf(made.store)).toEqual({});
  }

  const pathOf = (uid: number): string => path.join(made.mailbox(WORK).path ?? '', '00', `${uid}.msg`);
  const subjects = (): string[] =>
    fs
      .readdirSync(folder)
      .filter((name) => !name.startsWith('.'))
      .map((name) => `${name} ${fs.readFileSync(path.join(folder, name), 'latin1').length}`)
      .sort();

  it('are refused before anything is written; done as the refusal says, both are in 3.x', async () => {
    const other = MAIL('another message, and a longer one');
    replaceOne(other);
    const refused = await reset(made.store);
    expect(refused).toMatchObject({ outcome: 'refused', refusals: [{ code: 'RESET_NAME_TWICE', uid: 1 }] });
    expect(refused.refusals).toHaveLength(1);
    expect(originalsOf(made.store)).toEqual({});
    expect(made.messages().status).toBe(0);

    const newer = Math.max(
      ...made
        .dump(WORK)
        .filter(({ internaldate }) => internaldate === 19)
        .map(({ uid }) => uid),
    );
    const { uid, gid } = fs.statSync(pathOf(1));
    fs.renameSync(pathOf(1), path.join(folder, 'one.first'));
    fs.copyFileSync(pathOf(newer), path.join(folder, 'one'));
    fs.chownSync(path.join(folder, 'one'), uid, gid);
    fs.chmodSync(path.join(folder, 'one'), 0o600);
    const report = await reset(made.store);
    expect(report.refusals).toEqual([]);
    expect(report).toMatchObject({ outcome: 'done', restore: { messages: 2 } });
    expect(subjects()).toEqual([
      `five ${MAIL('five').length}`,
      `one ${other.length}`,
      `one.first ${MAIL('one').length}`,
      `three ${MAIL('three').length}`,
    ]);
  });

  it('are right to --verify, before -r and after it', () => {
    const verify = (): void => {
      const verified = made.run('upgrade', '--verify');
      expect(verified.status, verified.stdout).toBe(0);
    };
    replaceOne(MAIL('another message, and a longer one'), verify);
    verify();
  });

  it('are one file again when their content is the same', async () => {
    replaceOne(MAIL('one'));
    const report = await reset(made.store);
    expect(report.refusals).toEqual([]);
    expect(report).toMatchObject({ outcome: 'done', restore: { messages: 3 } });
    expect(Object.keys(originalsOf(made.store))).toHaveLength(3);
    expect(made.folders().status).toBe(0);
    expect(made.messages().status).toBe(0);
    expect(uids()).toEqual([3, 5, 9]);
  });
});
