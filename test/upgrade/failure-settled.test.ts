/**
 * A message that failed in one attempt and came in with the publication, of which the run was killed before it could
 * say so: it is in 4.x, and no later run adds it once more, whatever a service did to it meanwhile (4x-store.md,
 * promise 2).
 */
import { spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { asService } from '../campaign/support/service.js';
import { type HandSite, handSite, putMail } from '../e2e/hand-site.js';
import { commandFile } from '../support/process.js';
import { engineOptions } from '../support/site.js';
import { INDEX } from './small-store.js';

const UPGRADE = commandFile('upgrade');
const WORK = 'user/anna/Work';

let made: HandSite;

/** anna's Work: 1 is good, 3 failed in an attempt before and is repaired; nothing is published. */
beforeEach(() => {
  made = handSite();
  const { store } = made;
  store.user('anna');
  const folder = store.folder(store.mailbox, 'anna', 'Work', `${INDEX(70, 9)}1 11 S 9 one\n3 13 - 9 three\n`);
  putMail(folder, 'one');
  fs.symlinkSync('/etc/passwd', path.join(folder, 'three'));
  store.finish();
  expect(made.folders().status).toBe(0);
  expect(made.messages().status).toBe(1);
  const { uid, gid } = fs.statSync(folder);
  fs.unlinkSync(path.join(folder, 'three'));
  fs.chownSync(putMail(folder, 'three'), uid, gid);
});

afterEach(() => made.remove());

const uids = (): number[] => made.dump(WORK).map(({ uid }) => uid);

/** The commit of a run that publishes is the second, or the third where failures of an attempt before are cleared. */
const AFTER_PUBLICATION = 3;

/** Runs `-m`, killed before that database commit, until the folder is published. */
async function killWhenPublished(engine: string): Promise<void> {
  for (let run = 0; run < 3; run++) {
    const args = [UPGRADE, '-m', '-t', '1', '--instance', made.store.instance, engine];
    const env = { ...process.env, MAILHAUL_FAULT: `stop:${AFTER_PUBLICATION}:commit` };
    const child = spawn(process.execPath, args, { env, stdio: 'ignore' });
    const over = new Promise((resolve) => child.once('exit', (_code, signal) => resolve(signal)));
    const isStopped = (): boolean => fs.readFileSync(`/proc/${child.pid}/stat`, 'latin1').includes(') T ');
    while (child.exitCode === null && !isStopped()) await new Promise((resolve) => setTimeout(resolve, 10));
    child.kill('SIGKILL');
    expect(await over).toBe('SIGKILL');
    if (made.mailbox(WORK).state === 'NON-TRANSITION') return;
  }
  expect.unreachable('the folder was never published');
}

for (const engine of engineOptions()) {
  describe(`a repaired message whose run was killed once it was published, ${engine}`, () => {
    it('is not added again where a service has been', async () => {
      await killWhenPublished(engine);
      await asService(made.store.instance, (service) => service.flag(WORK, 3, 4));
      expect(made.messages(engine).status).toBe(0);
      expect(uids()).toEqual([1, 3]);
    });

    it('does not come back when it was expunged', async () => {
      await killWhenPublished(engine);
      await asService(made.store.instance, (service) => service.expunge(WORK, 3));
      expect(made.messages(engine).status).toBe(0);
      expect(uids()).toEqual([1]);
    });
  });
}
