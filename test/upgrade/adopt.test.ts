/** A run as root with --take-foreign that was killed leaves nothing that a run of the server account cannot use. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { type HandSite, handSite, putMail } from '../e2e/hand-site.js';
import { engineOptions } from '../support/site.js';
import { ACCOUNT, INDEX, needRoot } from './small-store.js';

let site: HandSite | undefined;
afterEach(() => {
  site?.remove();
  site = undefined;
});

describe.each(engineOptions())('--take-foreign killed, %s', (engine) => {
  it('at any call that makes something, and run again without it', (ctx) => {
    needRoot(ctx);
    const made = handSite();
    site = made;
    const { store } = made;
    store.user('anna');
    store.user('fred');
    putMail(store.folder(store.mailbox, 'anna', 'INBOX', `${INDEX(9, 3)}1 9 - 9 one\n`), 'one');
    putMail(store.folder(store.mailbox, 'anna', 'Work', `${INDEX(9, 3)}2 9 - 9 two\n`), 'two');
    store.finish();
    expect(made.folders().status).toBe(0);
    const rootsOwn = () =>
      [store.mailbox, path.join(store.instance, 'store/partition')].flatMap((top) =>
        (fs.readdirSync(top, { recursive: true }) as string[]).filter(
          (name) => !name.startsWith('__') && fs.lstatSync(path.join(top, name)).uid === 0,
        ),
      );
    let left = 0;
    // Each run is killed a little later than the one before, whose work it finds: each time something else is half-made.
    for (let n = 3; n < 60; n += 4) {
      const killed = made.runWith(
        { MAILHAUL_FAULT: `kill:${n}` },
        'upgrade',
        '-m',
        '-t',
        '1',
        engine,
        '--take-foreign',
      );
      if (killed.signal === null) break;
      left += rootsOwn().length;
    }
    expect(left).toBeGreaterThan(0);
    const last = made.messages(engine);
    expect(last.status, last.stdout + last.stderr).toBe(0);
    expect(rootsOwn()).toEqual([]);
    expect(fs.statSync(path.join(store.mailbox, 'anna/INBOX/.lock')).uid).toBe(ACCOUNT.uid);
    expect(made.dump().map(({ uid }) => uid)).toEqual([1, 2]);
  }, 600_000);
});

/** A folder that has a record and all its messages, rewritten, and is not published. Returns its mailbox directory. */
function halted(made: HandSite, engine: string, names: readonly string[]): string {
  const { store } = made;
  store.user('anna');
  const lines = names.map((name, i) => `${i + 1} 9 - 9 ${name}\n`);
  const folder = store.folder(store.mailbox, 'anna', 'INBOX', `${INDEX(9, names.length + 1)}${lines.join('')}`);
  for (const name of names) putMail(folder, name, 'Subject: one\n\nText\n');
  store.finish();
  expect(made.folders().status).toBe(0);
  const partition = path.join(store.instance, 'store/partition/primary');
  const last = `/00/${names.length}.msg`;
  for (let n = 8; n < 200; n++) {
    const fault = { MAILHAUL_FAULT: `kill:${n}` };
    expect(made.runWith(fault, 'upgrade', '-m', '-t', '1', engine).signal).toBe('SIGKILL');
    const found = fs.readdirSync(partition, { recursive: true, encoding: 'utf8' }).find((name) => name.endsWith(last));
    if (found === undefined) continue;
    const mailbox = path.join(partition, found.slice(0, -last.length));
    // They come in the order of their inodes, which need not be that of their uids.
    if (!names.every((_, i) => fs.existsSync(`${mailbox}/00/${i + 1}.msg`))) continue;
    expect(fs.existsSync(`${mailbox}/store.idx`)).toBe(false);
    return mailbox;
  }
  throw new Error('no run was killed after its last message');
}

describe.each(engineOptions())('4.x files of root in a folder that is not published, %s', (engine) => {
  it('are replaced by the server account, which cannot make them its own; their other names stay as they were', (ctx) => {
    needRoot(ctx);
    const made = handSite();
    site = made;
    // The first cannot be read; the others can, and are equal.
    const left = [
      { mode: 0o600, linked: true },
      { mode: 0o644, linked: true },
      { mode: 0o644, linked: false },
    ];
    const mailbox = halted(made, engine, ['one', 'two', 'three']);
    const content = fs.readFileSync(`${mailbox}/00/1.msg`);
    const elsewhere = (i: number) => path.join(made.store.root, `elsewhere ${i + 1}`);
    left.forEach(({ mode, linked }, i) => {
      const file = `${mailbox}/00/${i + 1}.msg`;
      fs.chownSync(file, 0, 0);
      fs.chmodSync(file, mode);
      if (linked) fs.linkSync(file, elsewhere(i));
    });
    const last = made.messages(engine);
    expect(last.status, last.stdout + last.stderr).toBe(0);
    left.forEach(({ mode, linked }, i) => {
      const file = `${mailbox}/00/${i + 1}.msg`;
      const now = fs.statSync(file);
      expect([now.uid, now.gid, now.nlink, now.mode & 0o7777]).toEqual([ACCOUNT.uid, ACCOUNT.gid, 1, 0o600]);
      expect(fs.readFileSync(file)).toEqual(content);
      if (!linked) return;
      const other = fs.statSync(elsewhere(i));
      expect([other.uid, other.nlink, other.mode & 0o7777]).toEqual([0, 1, mode]);
      expect(fs.readFileSync(elsewhere(i))).toEqual(content);
    });
  }, 600_000);
});
