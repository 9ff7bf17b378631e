/** `--verify`: mailboxes that other processes work on while it looks; what it does in its pauses is the test's. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { verifyStore } from '../../src/upgrade/verify.js';
import { handSite, putMail } from '../e2e/hand-site.js';
import { INSIDE } from '../support/process.js';
import { ACCOUNT, INDEX, needRoot } from './small-store.js';
import { makeVerifiedStore, type VerifiedStore } from './verify-support.js';

const pauses = vi.hoisted(() => ({ count: 0, action: undefined as ((count: number) => unknown) | undefined }));
vi.mock('node:timers/promises', async (original) => ({
  ...(await original<object>()),
  setTimeout: async () => {
    pauses.count += 1;
    await pauses.action?.(pauses.count);
  },
}));

const holders: ChildProcess[] = [];

beforeEach(() => {
  pauses.count = 0;
});

afterEach(async () => {
  pauses.action = undefined;
  for (const holder of holders.splice(0)) await release(holder);
});

/** Another process that works on the mailbox. */
async function hold(directory: string): Promise<ChildProcess> {
  const holder = spawn('flock', ['-x', directory, 'sh', '-c', 'echo held; read line'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  holders.push(holder);
  await once(holder.stdout, 'data');
  return holder;
}

async function release(holder: ChildProcess): Promise<void> {
  if (holder.exitCode !== null) return;
  holder.stdin?.end();
  await once(holder, 'close');
}

/** What a service does, in a process of its own. */
function asService(instance: string, calls: string): void {
  const script = `
    import { changeMailbox, createMailbox, deleteMailbox, openMailboxDatabase, renameMailbox } from ${INSIDE};
    const mailboxes = await openMailboxDatabase(${JSON.stringify(`${instance}/store/mboxlist`)});
    const store = { mailboxes, owner: ${JSON.stringify({ uid: ACCOUNT.uid, gid: ACCOUNT.gid })} };
    ${calls}
    await mailboxes.close();`;
  const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
  expect(status, stderr).toBe(0);
}

describe('a mailbox that needs root and is held', () => {
  let site: ReturnType<typeof handSite>;
  let directory: string;

  beforeEach((ctx) => {
    needRoot(ctx);
    site = handSite();
    const { store } = site;
    store.user('anna');
    const inbox = store.folder(store.mailbox, 'anna', 'INBOX', `${INDEX(9, 3)}1 9 - 9 one\n2 9 - 9 two\n`);
    putMail(inbox, 'one');
    putMail(inbox, 'two');
    store.finish();
    expect(site.folders().status).toBe(0);
    fs.chownSync(`${inbox}/one`, 0, 0);
    fs.chmodSync(`${inbox}/one`, 0o600);
    expect(site.messages('--take-foreign').status).toBe(0);
    directory = site.mailbox('user/anna/INBOX').path ?? '';
  });

  afterEach(() => site?.remove());

  const verify = () => verifyStore({ instance: site.store.instance, becomeServerAccount: true });

  it('holds when nobody holds it', async () => {
    expect(await verify()).toMatchObject({ exitCode: 0, byCode: {} });
  });

  it('is open while somebody holds it', async () => {
    fs.unlinkSync(`${directory}/00/2.msg`);
    await hold(directory);
    const report = await verify();
    expect(report).toMatchObject({ exitCode: 1, errors: 0, byCode: { VERIFY_IN_FLIGHT: 1 } });
  });

  it('is judged when it becomes free in a pause', async () => {
    fs.unlinkSync(`${directory}/00/2.msg`);
    const holder = await hold(directory);
    pauses.action = (count) => (count === 3 ? release(holder) : undefined);
    expect((await verify()).byCode).toMatchObject({ VERIFY_MESSAGE_MISSING: 1 });
    expect(pauses.count).toBe(3);
  });
});

describe('a mailbox that is renamed while it is looked at', () => {
  let verified: VerifiedStore;

  beforeEach(() => {
    verified = makeVerifiedStore();
  });

  afterEach(() => verified.store.remove());

  /** Damages a mailbox, and does `calls` after it was looked at once, in vain. */
  async function missingWhile(mailbox: string, uid: number, calls: string): Promise<(readonly [string, string])[]> {
    fs.unlinkSync(verified.fileOf(mailbox, uid));
    const holder = await hold(verified.directoryOf(mailbox));
    pauses.action = async (count) => {
      if (count > 1) return;
      await release(holder);
      asService(verified.store.instance, calls);
    };
    const report = await verified.verify();
    expect(pauses.count).toBeGreaterThan(0);
    return report.findings.filter(({ severity }) => severity !== 'note').map(({ code, mailbox }) => [code, mailbox]);
  }

  it('is found under its new name', async () => {
    const found = await missingWhile('user/joe/Box', 1, "await renameMailbox(store, 'user/joe/Box', 'user/joe/Case');");
    expect(found).toEqual([['VERIFY_MESSAGE_MISSING', 'user/joe/Case']]);
  });

  it('is found when another one has its name now', async () => {
    const calls = `
      await renameMailbox(store, 'user/joe/Box', 'user/joe/Case');
      await renameMailbox(store, 'user/joe/Twins', 'user/joe/Box');`;
    expect(await missingWhile('user/joe/Box', 1, calls)).toEqual([['VERIFY_MESSAGE_MISSING', 'user/joe/Case']]);
  });

  it('is found when it was made in 4.x', async () => {
    asService(
      verified.store.instance,
      `await createMailbox(store, 'user/joe/New', ${JSON.stringify({ owner: 'joe', partition: 'primary', root: verified.primary })});
       await changeMailbox(store, 'user/joe/New', (changes) => {
         changes.append({ content: Buffer.from('Subject: new\\r\\n\\r\\n') });
       });`,
    );
    const found = await missingWhile(
      'user/joe/New',
      1,
      "await renameMailbox(store, 'user/joe/New', 'user/joe/Newer');",
    );
    expect(found).toEqual([['VERIFY_MESSAGE_MISSING', 'user/joe/Newer']]);
  });

  it('is done when it was deleted', async () => {
    expect(await missingWhile('user/joe/Box', 1, "await deleteMailbox(store, 'user/joe/Box');")).toEqual([]);
  });
});
