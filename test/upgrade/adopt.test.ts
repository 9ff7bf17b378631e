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
    // Each run is killed at its next call, so that every directory and lock file is once caught half-made.
    for (let n = 3; n < 60; n += 2) {
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
