/** A retry of a published folder only adds messages (4x-store.md, promise 4): what 4.x has by then is the authority. */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { inTurn } from '../support/in-turn.js';
import { mboxutil } from '../support/kept-mboxutil.js';
import {
  engineOptions,
  type ListedMailbox,
  makeTestSite,
  messageFiles,
  reportOf,
  type TestSite,
} from '../support/site.js';

let site: TestSite | undefined;

afterEach(() => {
  site?.remove();
  site = undefined;
});

interface Published {
  readonly site: TestSite;
  /** Makes the failed message a good one again. */
  repair(): void;
  /** The other message files of its 3.x folder. */
  readonly others: readonly string[];
  /** The mailbox of that folder, as listed now. */
  mailbox(): ListedMailbox;
}

/** A store published with --accept-failures, in which one message of a folder of several failed. */
function publishedWithFailure(engine: string, bareLf = 0): Published {
  const made = makeTestSite({ damage: 0, singleCopy: 0, bareLf, users: 2 });
  site = made;
  expect(made.folders().status).toBe(0);
  const folders = new Map<string, string[]>();
  for (const file of made.made.storePaths.flatMap((store) => messageFiles(store)).sort()) {
    const directory = path.dirname(file);
    folders.set(directory, [...(folders.get(directory) ?? []), file]);
  }
  const [broken, ...others] = [...folders.values()].sort((a, b) => b.length - a.length)[0] ?? [];
  if (broken === undefined || others.length < 3) throw new Error('the generator made no large folder');
  const raw = Buffer.from(broken, 'latin1');
  const aside = Buffer.from(`${path.dirname(broken)}/.aside`, 'latin1');
  fs.renameSync(raw, aside);
  fs.symlinkSync('/etc/passwd', raw);
  const first = made.messages(engine, '--accept-failures');
  expect(first.status, first.stderr).toBe(1);
  const [error] = reportOf(first).errors;
  return {
    site: made,
    repair: () => {
      fs.unlinkSync(raw);
      fs.renameSync(aside, raw);
    },
    others,
    mailbox: () => {
      const found = made
        .mailboxes()
        .find(({ name, legacyName }) => name.split('/')[1] === error?.user && legacyName === error?.folder);
      if (found === undefined) throw new Error('the folder of the failed message is not listed');
      return found;
    },
  };
}

/** Uid and content of every message that the mailbox's index lists. */
function contents(made: TestSite, { name }: ListedMailbox): Map<number, string> {
  const dump = mboxutil(['--instance', made.instance, '--dump', name, '--json']);
  expect(dump.status, dump.stderr).toBe(0);
  const lines = dump.stdout.split('\n').filter((line) => line !== '');
  return new Map(
    lines.map((line) => {
      const { uid, sha256 } = JSON.parse(line) as { uid: number; sha256: string };
      return [uid, sha256];
    }),
  );
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

for (const engine of engineOptions()) {
  describe(`a retry of a published folder ${engine}`, () => {
    const test = inTurn(engine);
    for (const bareLf of [0, 1]) {
      test(`keeps messages whose originals are gone (${bareLf === 0 ? 'linked' : 'rewritten'})`, () => {
        const { site: made, repair, others, mailbox } = publishedWithFailure(engine, bareLf);
        const before = contents(made, mailbox());
        for (const file of others) fs.unlinkSync(Buffer.from(file, 'latin1'));
        repair();
        const result = made.messages(engine);
        expect(result.status, result.stdout).toBe(0);
        const after = contents(made, mailbox());
        expect(after.size).toBe(before.size + 1);
        expect([...after]).toEqual(expect.arrayContaining([...before]));
        expect(mailbox().messages).toBe(after.size);
      });
    }

    test('keeps the migrated message where the original was replaced since, and -r keeps the new file', () => {
      const { site: made, repair, others, mailbox } = publishedWithFailure(engine);
      const before = contents(made, mailbox());
      const replaced = Buffer.from(others[0] ?? '', 'latin1');
      const { uid, gid } = fs.statSync(replaced);
      const content = Buffer.from('Subject: another\r\n\r\nother text\r\n');
      fs.unlinkSync(replaced);
      fs.writeFileSync(replaced, content, { mode: 0o600 });
      fs.chownSync(replaced, uid, gid);
      repair();
      const result = made.messages(engine, '-r');
      expect(result.status, result.stdout).toBe(0);
      const after = contents(made, mailbox());
      expect([...after]).toEqual(expect.arrayContaining([...before]));
      const kept = fs.existsSync(replaced) && sha256(fs.readFileSync(replaced)) === sha256(content);
      expect(kept || [...after.values()].includes(sha256(content))).toBe(true);
    });

    test('adds nothing, takes nothing and says so while the message still fails', () => {
      const { site: made, others, mailbox } = publishedWithFailure(engine);
      const before = contents(made, mailbox());
      for (const file of others) fs.unlinkSync(Buffer.from(file, 'latin1'));
      for (const options of [[], ['--accept-failures']]) {
        const result = made.messages(engine, ...options);
        expect(result.status, result.stdout).toBe(1);
        expect(reportOf(result).errors).toMatchObject([{ code: 'MSG_NOT_REGULAR' }]);
        expect(contents(made, mailbox())).toEqual(before);
        expect(mailbox()).toMatchObject({ state: 'NON-TRANSITION', messages: before.size });
      }
    });

    it('gives the index that a migration without failure makes', () => {
      const { site: made, repair, mailbox } = publishedWithFailure(engine, 0.3);
      repair();
      expect(made.messages(engine).status).toBe(0);
      const verified = made.run('upgrade', '--verify');
      expect(verified.status, verified.stdout).toBe(0);
      const retried = fs.readFileSync(path.join(mailbox().path, 'store.idx'));
      const whole = makeTestSite({ damage: 0, singleCopy: 0, bareLf: 0.3, users: 2 });
      try {
        expect(whole.folders().status).toBe(0);
        expect(whole.messages(engine).status).toBe(0);
        const same = whole.mailboxes().find(({ name }) => name === mailbox().name);
        expect(fs.readFileSync(path.join(same?.path ?? '', 'store.idx')).equals(retried)).toBe(true);
      } finally {
        whole.remove();
      }
      expect(fs.readdirSync(mailbox().path).filter((name) => name.startsWith('.'))).toEqual([]);
    });
  });
}
