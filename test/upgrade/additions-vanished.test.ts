/**
 * A failed message of a published folder whose file is away while `upgrade` runs: it stays on record and comes in when
 * it is back (4x-store.md, promise 4; commands.md, --accept-failures), until somebody gives it up.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterEach, describe, expect } from 'vitest';
import { asService } from '../campaign/support/service.js';
import { type HandSite, handSite, MAIL, messagesResult, putMail } from '../e2e/hand-site.js';
import { inTurn } from '../support/in-turn.js';
import { engineOptions } from '../support/site.js';
import { INDEX } from './small-store.js';

const WORK = 'user/anna/Work';
const HEADER = INDEX(70, 9);
const LINE = { one: '1 11 S 9 one\n', three: '3 13 F,late 9 three\n' };

let site: HandSite | undefined;
afterEach(() => {
  site?.remove();
  site = undefined;
});

interface Published {
  readonly made: HandSite;
  readonly folder: string;
  /** Takes the failed message's file away. */
  take(): void;
  /** Brings it back, repaired. */
  bring(): void;
}

/** anna's Work: 1 is in 4.x, 3 failed because others may write to its file; published with --accept-failures. */
function published(engine: string): Published {
  const made = handSite();
  site = made;
  const { store } = made;
  store.user('anna');
  const folder = store.folder(store.mailbox, 'anna', 'Work', HEADER + LINE.one + LINE.three);
  for (const name of ['one', 'three']) putMail(folder, name);
  store.finish();
  const file = path.join(folder, 'three');
  fs.chmodSync(file, 0o606);
  expect(made.folders().status).toBe(0);
  expect(messagesResult(made.messages(engine, '--accept-failures')).errors).toMatchObject([
    { file: 'three', code: 'MSG_WRITABLE_BY_OTHERS' },
  ]);
  const away = path.join(store.root, 'away');
  return {
    made,
    folder,
    take: () => fs.renameSync(file, away),
    bring() {
      fs.chmodSync(away, 0o600);
      fs.renameSync(away, file);
    },
  };
}

const uids = (made: HandSite): number[] => made.dump(WORK).map(({ uid }) => uid);

describe.each(engineOptions())('a failed message whose file is away, %s', (engine) => {
  const test = inTurn(engine);
  test('is reported by every run, and comes in with its uid and flags when the file is back', () => {
    const { made, take, bring } = published(engine);
    take();
    for (const options of [[], ['--failed'], ['--accept-failures'], ['-r']]) {
      const result = made.messages(engine, ...options);
      expect(result.status, result.stdout).toBe(1);
      expect(messagesResult(result).errors).toMatchObject([{ file: 'three', code: 'MSG_VANISHED' }]);
    }
    const planned = made.messages(engine, '--dry-run');
    expect(JSON.parse(planned.stdout)).toMatchObject({ problems: [{ file: 'three', code: 'MSG_VANISHED' }] });
    bring();
    expect(made.messages(engine, '--failed').status).toBe(0);
    expect(made.dump(WORK)).toMatchObject([{ uid: 1 }, { uid: 3, internaldate: 13, flags: ['\\Flagged', 'late'] }]);
    expect(made.run('upgrade', '--verify').status).toBe(0);
  });

  test('comes in at the end where a service has been meanwhile', async () => {
    const { made, take, bring } = published(engine);
    take();
    await asService(made.store.instance, (service) => service.append(WORK, MAIL('new in 4.x')));
    expect(made.messages(engine).status).toBe(1);
    expect(uids(made)).toEqual([1, 9]);
    bring();
    expect(made.messages(engine).status).toBe(0);
    expect(uids(made)).toEqual([1, 9, 10]);
  });

  test('is reported when .mailbox is gone as well', () => {
    const { made, folder, take, bring } = published(engine);
    take();
    fs.unlinkSync(path.join(folder, '.mailbox'));
    expect(made.messages(engine).status).toBe(1);
    bring();
    expect(made.messages(engine).status).toBe(0);
    expect(uids(made)).toEqual([1, 3]);
  });

  test('is given up when its line is gone too, which the log tells', () => {
    const { made, folder, take } = published(engine);
    take();
    expect(made.messages(engine).status).toBe(1);
    fs.writeFileSync(path.join(folder, '.mailbox'), HEADER + LINE.one);
    const result = made.messages(engine);
    expect(result.status, result.stdout).toBe(0);
    expect(made.log()).toContain('FAILED_GIVEN_UP');
    expect(messagesResult(made.messages(engine)).folders).toMatchObject({ done: 0, failed: 0 });
    expect(made.run('upgrade', '--verify').status).toBe(0);
  });

  test('does not keep --reset from taking everything back', () => {
    const { made, take } = published(engine);
    take();
    expect(made.messages(engine).status).toBe(1);
    const reset = made.run('upgrade', '--reset', '--yes');
    expect(reset.status, reset.stdout + reset.stderr).toBe(0);
  });
});
