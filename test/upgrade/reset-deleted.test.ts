/** `--reset` after a back-out: mail that 3.x deleted since the migration was halted comes back, and that is told. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type HandSite, handSite, MAIL, putMail } from '../e2e/hand-site.js';
import { originalsOf, reset } from './reset-support.js';
import { INDEX } from './small-store.js';

let made: HandSite;
let folder: string;

/** anna's Work in TRANSITION, because one message failed; then `one` is deleted in 3.x, its line too. */
beforeEach(() => {
  made = handSite();
  const { store } = made;
  store.user('anna');
  const last = '5 15 - 9 two\n7 17 - 9 three\n';
  folder = store.folder(store.mailbox, 'anna', 'Work', `${INDEX(70, 9)}1 11 S 9 one\n${last}`);
  for (const name of ['one', 'two', 'three']) putMail(folder, name);
  fs.chmodSync(path.join(folder, 'three'), 0o602);
  store.finish();
  expect(made.folders().status).toBe(0);
  expect(made.messages().status).toBe(1);
  fs.rmSync(path.join(folder, 'one'));
  fs.writeFileSync(path.join(folder, '.mailbox'), `${INDEX(70, 9)}${last}`);
});

afterEach(() => made.remove());

it('is counted in a note, with --dry-run too, and comes back', async () => {
  const planned = await reset(made.store, { dryRun: true });
  expect(planned).toMatchObject({ outcome: 'planned', restore: { messages: 1 } });
  const told = planned.notes.filter((note) => note.includes('1 of its messages are not in 3.x any more'));
  expect(told).toEqual([expect.stringContaining('user/anna/Work was never published')]);
  const done = await reset(made.store);
  expect(done).toMatchObject({ outcome: 'done', notes: planned.notes });
  expect(fs.readFileSync(path.join(folder, 'one'), 'latin1')).toBe(MAIL('one'));
});

it('stays deleted when -m has finished the folder before', async () => {
  fs.chmodSync(path.join(folder, 'three'), 0o600);
  expect(made.messages().status).toBe(0);
  const done = await reset(made.store);
  expect(done).toMatchObject({ outcome: 'done', restore: { messages: 0 }, notes: [] });
  expect(Object.keys(originalsOf(made.store)).map((name) => path.basename(name))).toEqual(['three', 'two']);
});

it('a copy that nothing can vouch for is refused, and the way out says what becomes of it', async () => {
  // On the disk of its own that a copy would be on, it is another inode.
  const file = path.join(made.mailbox('user/anna/Work').path ?? '', '00/1.msg');
  fs.renameSync(file, `${file}.linked`);
  fs.copyFileSync(`${file}.linked`, file);
  fs.rmSync(`${file}.linked`);
  const { refusals } = await reset(made.store, { dryRun: true });
  expect(refusals.map(({ code, message }) => [code, message])).toEqual([
    ['RESET_UNVERIFIED', expect.stringContaining('save the 4.x file first')],
  ]);
  fs.chmodSync(path.join(folder, 'three'), 0o600);
  expect(made.messages().status).toBe(0);
  expect(fs.existsSync(file)).toBe(false);
});
