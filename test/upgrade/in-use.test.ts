/**
 * A retry in a mailbox that a service has used since it was published (4x-store.md, promise 4): messages are added at
 * the end, with new uids, once, whatever the service did and wherever the run is killed.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterEach, describe, expect } from 'vitest';
import { FLAG } from '../../src/engine/types.js';
import { asService } from '../campaign/support/service.js';
import { type HandSite, handSite, MAIL, type Message, messagesResult, putMail } from '../e2e/hand-site.js';
import { inTurn } from '../support/in-turn.js';
import { engineOptions } from '../support/site.js';
import { INDEX } from './small-store.js';

const WORK = 'user/anna/Work';

let site: HandSite | undefined;
afterEach(() => {
  site?.remove();
  site = undefined;
});

/** anna's Work: uids 1, 2 and 4 are good, 3 and 5 are links; published with --accept-failures. */
function published(engine: string): { made: HandSite; folder: string; repair: (name: string) => void } {
  const made = handSite();
  site = made;
  const { store } = made;
  store.user('anna');
  const folder = store.folder(
    store.mailbox,
    'anna',
    'Work',
    `${INDEX(70, 9)}1 11 S 9 one\n2 12 - 9 two\n3 13 F,late 9 three\n4 14 - 9 four\n5 15 A 9 five\n`,
  );
  for (const name of ['one', 'two', 'four']) putMail(folder, name);
  for (const name of ['three', 'five']) fs.symlinkSync('/etc/passwd', path.join(folder, name));
  store.finish();
  expect(made.folders().status).toBe(0);
  expect(made.messages(engine, '--accept-failures').status).toBe(1);
  const repair = (name: string): void => {
    const { uid, gid } = fs.statSync(path.join(folder, 'one'));
    fs.unlinkSync(path.join(folder, name));
    fs.chownSync(putMail(folder, name), uid, gid);
  };
  return { made, folder, repair };
}

const uids = (messages: readonly Message[]): number[] => messages.map(({ uid }) => uid);

describe.each(engineOptions())('a retry in a used mailbox, %s', (engine) => {
  const test = inTurn(engine);
  test('adds at the end what failed, with its flags and date, and leaves alone what the service did', async () => {
    const { made, repair } = published(engine);
    await asService(made.store.instance, async (service) => {
      expect(await service.append(WORK, MAIL('new in 4.x'))).toEqual([9]);
      await service.expunge(WORK, 2);
      await service.flag(WORK, 4, FLAG.deleted, 'mine');
    });
    expect(made.messages(engine).status).toBe(1);
    expect(made.mailbox(WORK)).toMatchObject({ messages: 3, uidnext: 10 });
    repair('three');
    const retry = made.messages(engine);
    expect(retry.status, retry.stderr).toBe(1);
    expect(messagesResult(retry)).toMatchObject({ messages: { done: 1, failed: 1 }, errors: [{ file: 'five' }] });
    const after = made.dump(WORK);
    expect(uids(after)).toEqual([1, 4, 9, 10]);
    expect(after[3]).toMatchObject({ uid: 10, internaldate: 13, flags: ['\\Flagged', 'late'] });
    expect(after[1]).toMatchObject({ flags: ['\\Deleted', 'mine'] });
    expect(made.mailbox(WORK)).toMatchObject({ messages: 4, uidnext: 11, uidvalidity: 70 });
    repair('five');
    expect(made.messages(engine).status).toBe(0);
    expect(uids(made.dump(WORK))).toEqual([1, 4, 9, 10, 11]);
    const nothing = made.messages(engine);
    expect(nothing.status).toBe(0);
    expect(messagesResult(nothing).messages).toEqual({ done: 0, failed: 0 });
    expect(fs.readdirSync(made.mailbox(WORK).path ?? '').sort()).toEqual(['00', 'store.idx', 'store.jnl']);
  });

  test('keeps the recorded uid where no service has been, and not where one has only looked', async () => {
    const { made, repair } = published(engine);
    repair('three');
    expect(made.messages(engine).status).toBe(1);
    expect(uids(made.dump(WORK))).toEqual([1, 2, 3, 4]);
    await asService(made.store.instance, (service) => service.open(WORK));
    repair('five');
    expect(made.messages(engine).status).toBe(0);
    expect(uids(made.dump(WORK))).toEqual([1, 2, 3, 4, 9]);
  });

  test('gives no uid that 3.x gave since, to which message ever', async () => {
    const { made, folder, repair } = published(engine);
    await asService(made.store.instance, (service) => service.open(WORK));
    fs.writeFileSync(path.join(folder, '.mailbox'), `${INDEX(70, 21)}1 11 S 9 one\n3 13 F,late 9 three\n`);
    expect(made.messages(engine).status).toBe(1);
    expect(made.mailbox(WORK).uidnext).toBe(9);
    repair('three');
    expect(made.messages(engine).status).toBe(1);
    const [added] = made.dump(WORK).filter(({ internaldate }) => internaldate === 13);
    expect(added?.uid).toBeGreaterThanOrEqual(21);
    expect(made.mailbox(WORK).uidnext).toBe((added?.uid ?? 0) + 1);
  });

  test('is right to --verify where the record has numbers that 3.x gave since and no message came in', async () => {
    for (const used of [true, false]) {
      const { made, folder } = published(engine);
      if (used) await asService(made.store.instance, (service) => service.open(WORK));
      const lines = '1 11 S 9 one\n2 12 - 9 two\n4 14 - 9 four\n';
      fs.writeFileSync(path.join(folder, '.mailbox'), `${INDEX(70, 21)}${lines}`);
      expect(made.messages(engine).status).toBe(1);
      for (const name of ['three', 'five']) fs.unlinkSync(path.join(folder, name));
      expect(made.messages(engine).status).toBe(0);
      expect(made.mailbox(WORK).uidnext).toBe(9);
      const verified = made.run('upgrade', '--verify');
      expect(verified.status, verified.stdout).toBe(0);
      made.remove();
    }
  });

  test('does not add a message again whose original was restored after it had come in at the end', async () => {
    const { made, folder, repair } = published(engine);
    await asService(made.store.instance, (service) => service.open(WORK));
    repair('three');
    expect(made.messages(engine).status).toBe(1);
    expect(uids(made.dump(WORK))).toEqual([1, 2, 4, 9]);
    for (const name of ['one', 'two', 'three', 'four']) {
      const file = path.join(folder, name);
      const { uid, gid, mode, atime, mtime } = fs.statSync(file);
      fs.copyFileSync(file, `${file}.restored`);
      fs.renameSync(`${file}.restored`, file);
      fs.chownSync(file, uid, gid);
      fs.chmodSync(file, mode);
      fs.utimesSync(file, atime, mtime);
    }
    const again = made.messages(engine);
    expect(again.status).toBe(1);
    expect(messagesResult(again).messages).toEqual({ done: 0, failed: 1 });
    expect(uids(made.dump(WORK))).toEqual([1, 2, 4, 9]);
    repair('five');
    expect(made.messages(engine).status).toBe(0);
    expect(uids(made.dump(WORK))).toEqual([1, 2, 4, 9, 10]);
  });

  test('follows a mailbox that was renamed, and says of a deleted one what stays in 3.x', async () => {
    const { made, repair } = published(engine);
    await asService(made.store.instance, (service) => service.rename(WORK, 'user/anna/Elsewhere/Done'));
    expect(made.messages(engine).status).toBe(1);
    repair('three');
    const retry = made.messages(engine);
    expect(retry.status).toBe(1);
    expect(messagesResult(retry).errors).toMatchObject([{ file: 'five', code: 'MSG_NOT_REGULAR' }]);
    expect(made.dump('user/anna/Elsewhere/Done').map(({ sha256 }) => sha256)).toHaveLength(4);
    await asService(made.store.instance, (service) => service.delete('user/anna/Elsewhere/Done'));
    repair('five');
    for (const options of [[], ['--accept-failures'], ['-r']]) {
      const result = made.messages(engine, ...options);
      expect(result.status, result.stdout).toBe(1);
      expect(messagesResult(result).errors.map(({ code, file }) => [code, file])).toEqual([
        ['MAILBOX_DELETED', ''],
        ['MSG_NOT_REGULAR', 'five'],
      ]);
    }
    expect(made.mailboxes().map(({ name }) => name)).toEqual(['user/anna/INBOX']);
  });

  test('adds nothing where the journal is damaged before acknowledged changes, whose uids it would give again', async () => {
    const { made, repair } = published(engine);
    await asService(made.store.instance, async (service) => {
      expect(await service.append(WORK, MAIL('new in 4.x'), MAIL('newer'))).toEqual([9, 10]);
    });
    const directory = made.mailbox(WORK).path ?? '';
    const journal = fs.readFileSync(path.join(directory, 'store.jnl'));
    journal[32 + 12]! ^= 1;
    fs.writeFileSync(path.join(directory, 'store.jnl'), journal);
    const files = ['store.jnl', '00/9.msg', '00/10.msg'].map((name) => path.join(directory, name));
    const before = files.map((file) => fs.readFileSync(file));
    repair('three');
    const retry = made.messages(engine);
    expect(retry.status, retry.stderr).toBe(1);
    expect(messagesResult(retry).errors).toContainEqual(expect.objectContaining({ code: 'JNL_DAMAGED' }));
    expect(files.map((file) => fs.readFileSync(file))).toEqual(before);
  });

  test('takes away the index that an earlier retry was killed at, before the service came', async () => {
    const { made, repair } = published(engine);
    const mailbox = made.mailbox(WORK).path ?? '';
    const unfinished = path.join(mailbox, 'store.idx.new');
    repair('three');
    repair('five');
    fs.copyFileSync(path.join(mailbox, 'store.idx'), unfinished);
    const { uid, gid } = fs.statSync(mailbox);
    fs.chownSync(unfinished, uid, gid);
    await asService(made.store.instance, (service) => service.flag(WORK, 1, FLAG.deleted));
    expect(made.messages(engine).status).toBe(0);
    expect(uids(made.dump(WORK))).toEqual([1, 2, 4, 9, 10]);
    expect(fs.existsSync(unfinished)).toBe(false);
    expect(made.run('upgrade', '--verify').status).toBe(0);
  });

  test('takes away the files that an earlier retry had moved to their uids when it was killed', async () => {
    const { made, repair } = published(engine);
    repair('three');
    const files = path.join(made.mailbox(WORK).path ?? '', '00');
    for (let n = 10; n < 100 && !fs.existsSync(path.join(files, '3.msg')); n++)
      made.runWith({ MAILHAUL_FAULT: `kill:${n}` }, 'upgrade', '-m', '-t', '1', engine);
    expect(uids(made.dump(WORK))).toEqual([1, 2, 4]);
    expect(fs.readdirSync(files).sort()).toEqual(['1.msg', '2.msg', '3.msg', '4.msg']);
    await asService(made.store.instance, (service) => service.open(WORK));
    repair('five');
    expect(made.messages(engine).status).toBe(0);
    expect(uids(made.dump(WORK))).toEqual([1, 2, 4, 9, 10]);
    expect(fs.readdirSync(files).sort()).toEqual(['1.msg', '10.msg', '2.msg', '4.msg', '9.msg']);
  });

  test('adds nothing twice and brings nothing back when the run is killed before the outcome is on record', async () => {
    const { made, folder, repair } = published(engine);
    await asService(made.store.instance, (service) => service.append(WORK, MAIL('new in 4.x')));
    repair('three');
    repair('five');
    const good = fs.statSync(path.join(folder, 'one'));
    fs.chownSync(putMail(folder, 'unlisted'), good.uid, good.gid);
    const files = path.join(made.mailbox(WORK).path ?? '', '00');
    // Each run goes on where the one before was killed, so the message comes in at some call. Those before the tenth are
    // of the start: log, databases, partition.
    let appended = 0;
    for (let n = 11; n < 400; n += 2) {
      const killed = made.runWith({ MAILHAUL_FAULT: `kill:${n}` }, 'upgrade', '-m', '-t', '1', engine);
      // A message has its file before it is in the index.
      if (fs.readdirSync(files).every((name) => Number.parseInt(name, 10) <= 9) && killed.signal !== null) continue;
      const now = made.dump(WORK).filter(({ internaldate }) => internaldate === 13);
      if (now.length === 1 && killed.signal === 'SIGKILL') {
        // It is in; the user throws it away before anybody runs `upgrade` again.
        const [{ uid }] = now as [Message];
        await asService(made.store.instance, (service) => service.expunge(WORK, uid));
        appended += 1;
        break;
      }
      expect(now.length).toBeLessThan(2);
      if (killed.signal === null) break;
    }
    expect(appended).toBe(1);
    expect(made.messages(engine).status).toBe(0);
    const after = made.dump(WORK);
    expect(after.filter(({ internaldate }) => internaldate === 13)).toEqual([]);
    expect(after.filter(({ internaldate }) => internaldate === 15)).toHaveLength(1);
    expect(after.filter(({ internaldate }) => internaldate === 900_000_000)).toHaveLength(1);
    expect(fs.readdirSync(made.mailbox(WORK).path ?? '').filter((name) => name.startsWith('.'))).toEqual([]);
  }, 600_000);
});
