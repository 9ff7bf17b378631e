/** `-r` where some messages failed: the originals of the others go, those of the failed ones never (commands.md). */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterEach, describe, expect } from 'vitest';
import { asService } from '../campaign/support/service.js';
import { type HandSite, handSite, MAIL, messagesResult, putMail, type Result } from '../e2e/hand-site.js';
import { inTurn } from '../support/in-turn.js';
import { engineOptions } from '../support/site.js';
import { databases, INDEX } from './small-store.js';

const WORK = 'user/anna/Work';
const LINES = [
  INDEX(70, 9).trimEnd(),
  ...['1 11 S % one', '2 12 - % two', '3 13 F,late % three', '4 14 - % four', '5 15 A % five'].map((line) =>
    line.replace('%', `${MAIL(line.split(' ')[4] ?? '').length}`),
  ),
  '',
].join('\n');

const sites: HandSite[] = [];
afterEach(() => {
  for (const site of sites.splice(0)) site.remove();
});

interface Broken {
  readonly made: HandSite;
  readonly folder: string;
  repair(...names: string[]): void;
  /** 3.x message files. */
  left(): string[];
}

/** anna's Work: uids 1, 2 and 4 are good, 3 and 5 are links; after `-s`. */
function broken(): Broken {
  const made = handSite();
  sites.push(made);
  const { store } = made;
  store.user('anna');
  const folder = store.folder(store.mailbox, 'anna', 'Work', LINES);
  for (const name of ['one', 'two', 'four']) putMail(folder, name);
  for (const name of ['three', 'five']) fs.symlinkSync('/etc/passwd', path.join(folder, name));
  store.finish();
  expect(made.folders().status).toBe(0);
  return {
    made,
    folder,
    repair(...names) {
      const { uid, gid } = fs.statSync(path.join(folder, '.mailbox'));
      for (const name of names) {
        fs.unlinkSync(path.join(folder, name));
        fs.chownSync(putMail(folder, name), uid, gid);
      }
    },
    left: () =>
      fs
        .readdirSync(folder)
        .filter((name) => !name.startsWith('.'))
        .sort(),
  };
}

interface Counted {
  readonly removed: { readonly messages: number; readonly kept: number };
  readonly warnings: number;
}

function counted(result: Result): Counted {
  const { removed, warnings } = JSON.parse(result.stdout) as Counted;
  return { removed, warnings };
}

const sourcesRemoved = (made: HandSite): Promise<boolean | undefined> =>
  databases(made.store, (mapping) => mapping.folderByMailbox(WORK)?.sourcesRemoved);

for (const engine of engineOptions()) {
  describe(`-r where messages failed, ${engine}`, () => {
    const test = inTurn(engine);
    test('with --accept-failures removes the originals of all others, at once', async () => {
      const { made, folder, left } = broken();
      const result = made.messages(engine, '-r', '--accept-failures');
      expect(result.status, result.stderr).toBe(1);
      expect(messagesResult(result)).toMatchObject({ messages: { done: 3, failed: 2 }, methods: { rename: 3 } });
      expect(counted(result)).toEqual({ removed: { messages: 3, kept: 0 }, warnings: 0 });
      expect(left()).toEqual(['five', 'three']);
      expect(fs.readFileSync(path.join(folder, '.mailbox'), 'utf8')).toBe(LINES);
      expect(made.dump(WORK).map(({ uid }) => uid)).toEqual([1, 2, 4]);
      expect(await sourcesRemoved(made)).toBe(false);
    });

    test('removes nothing of a folder that stays in TRANSITION', () => {
      const { made, left } = broken();
      expect(made.messages(engine, '-r').status).toBe(1);
      expect(made.mailbox(WORK).state).toBe('TRANSITION');
      expect(left()).toEqual(['five', 'four', 'one', 'three', 'two']);
    });

    test('does so later as well, also without --accept-failures, and of a mailbox deleted since', async () => {
      for (const deleted of [false, true]) {
        const { made, left } = broken();
        expect(made.messages(engine, '--accept-failures').status).toBe(1);
        if (deleted) await asService(made.store.instance, (service) => service.delete(WORK));
        const late = made.messages(engine, '-r');
        expect(late.status, late.stdout).toBe(1);
        expect(counted(late)).toEqual({ removed: { messages: 3, kept: 0 }, warnings: 0 });
        expect(left()).toEqual(['five', 'three']);
        expect(await sourcesRemoved(made)).toBe(false);
        expect(counted(made.messages(engine, '-r')).removed).toEqual({ messages: 0, kept: 0 });
      }
    });

    test('leaves the original of a message whose 4.x file is gone while others of its folder failed', () => {
      const { made, left } = broken();
      expect(made.messages(engine, '--accept-failures').status).toBe(1);
      fs.unlinkSync(path.join(made.mailbox(WORK).path ?? '', '00', '2.msg'));
      const late = made.messages(engine, '-r');
      expect(counted(late)).toEqual({ removed: { messages: 2, kept: 1 }, warnings: 1 });
      expect(left()).toEqual(['five', 'three', 'two']);
    });

    test('counts no original as kept that is gone, where its message was deleted in 4.x since', async () => {
      const { made, repair } = broken();
      expect(made.messages(engine, '-r', '--accept-failures').status).toBe(1);
      await asService(made.store.instance, (service) => service.expunge(WORK, 2));
      expect(counted(made.messages(engine, '-r'))).toEqual({ removed: { messages: 0, kept: 0 }, warnings: 0 });
      repair('three', 'five');
      expect(counted(made.messages(engine, '-r'))).toEqual({ removed: { messages: 2, kept: 0 }, warnings: 0 });
      expect(await sourcesRemoved(made)).toBe(true);
    });

    test('changes nothing for the retry after the repair: uids, flags, index, warnings', async () => {
      const indexOf = (remove: string[]): { index: Buffer; one: Broken } => {
        const one = broken();
        expect(one.made.messages(engine, '--accept-failures', ...remove).status).toBe(1);
        one.repair('three', 'five');
        const retry = one.made.messages(engine, ...remove);
        expect(retry.status, retry.stdout).toBe(0);
        expect(counted(retry).warnings).toBe(0);
        return { index: fs.readFileSync(path.join(one.made.mailbox(WORK).path ?? '', 'store.idx')), one };
      };
      const kept = indexOf([]);
      const gone = indexOf(['-r']);
      expect(gone.one.made.dump(WORK)).toEqual(kept.one.made.dump(WORK));
      expect(gone.index.equals(kept.index)).toBe(true);
      expect(gone.one.left()).toEqual([]);
      expect(await sourcesRemoved(gone.one.made)).toBe(true);
    });

    test('is right to --verify, which asks for the failed ones alone, and is planned by --dry-run', () => {
      const { made, repair } = broken();
      expect(made.messages(engine, '-r', '--accept-failures').status).toBe(1);
      const codes = (): string[] => {
        const { findings } = JSON.parse(made.run('upgrade', '--verify', '--json').stdout) as {
          findings: { code: string }[];
        };
        return findings.map(({ code }) => code);
      };
      expect(codes()).toEqual(['VERIFY_NOT_MIGRATED', 'VERIFY_NOT_MIGRATED']);
      repair('three');
      const planned = made.messages(engine, '--dry-run');
      expect(JSON.parse(planned.stdout)).toMatchObject({ folders: 1, messages: 2, problems: [{ file: 'five' }] });
      repair('five');
      expect(made.messages(engine, '-r').status).toBe(0);
      expect(codes()).toEqual([]);
    });

    test('goes back with --reset', () => {
      const { made, left, repair } = broken();
      expect(made.messages(engine, '-r', '--accept-failures').status).toBe(1);
      const reset = made.run('upgrade', '--reset', '--yes');
      expect(reset.status, reset.stdout + reset.stderr).toBe(0);
      expect(left()).toEqual(['five', 'four', 'one', 'three', 'two']);
      repair('three', 'five');
      expect(made.folders().status).toBe(0);
      expect(made.messages(engine).status).toBe(0);
      expect(made.dump(WORK).map(({ uid, internaldate }) => [uid, internaldate])).toEqual(
        [1, 2, 3, 4, 5].map((uid) => [uid, 10 + uid]),
      );
    });

    test('adds a repaired message at the end where a service has been, and takes its original then', async () => {
      const { made, left, repair } = broken();
      expect(made.messages(engine, '-r', '--accept-failures').status).toBe(1);
      await asService(made.store.instance, (service) => service.append(WORK, MAIL('new in 4.x')));
      repair('three');
      const retry = made.messages(engine, '-r');
      expect(retry.status, retry.stdout).toBe(1);
      expect(made.dump(WORK).map(({ uid }) => uid)).toEqual([1, 2, 4, 9, 10]);
      expect(left()).toEqual(['five']);
    });
  });
}
