/**
 * A service's process that changes names and mail: `worker.mjs <order file>` (order.ts) does what it is told, one after the
 * other, and writes a diary (diary.ts): a line before each step and one after it, so that what is known of a process that
 * was killed is what it had come to say. Plain JavaScript on what was built: it starts in a third of the time.
 */
import { createHash } from 'node:crypto';
import fs, { openSync, readFileSync, writeSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  armFaults,
  changeMailbox,
  createMailbox,
  deleteMailbox,
  openInstance,
  openMailboxDatabase,
  parseFaultPlan,
  renameMailbox,
} from '../../../dist/test/inside.js';

process.umask(0o077);
const order = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8'));
const diary = openSync(order.diary, 'a');
// What is written survives the process, not the machine: that is the power campaign's.
const write = (line) => writeSync(diary, `${JSON.stringify({ t: Number(process.hrtime.bigint()), ...line })}\n`);

/** Numbers below 1, drawn beforehand. */
let drawn = 0;
const draw = () => order.chances[drawn++ % order.chances.length];
const flag = new Int32Array(new SharedArrayBuffer(4));
/** Anybody may be slow anywhere: what others do meanwhile is what locks and looks after the lock are for. */
const stall = (share) => {
  if (draw() < share) Atomics.wait(flag, 0, 0, draw() * order.stallMs);
};
for (const call of ['openSync', 'mkdirSync', 'rmdirSync', 'unlinkSync', 'renameSync', 'readdirSync', 'lstatSync']) {
  const real = fs[call];
  fs[call] = (...args) => {
    stall(0.03);
    return real(...args);
  };
}
syncBuiltinESMExports();

const instance = openInstance(order.instance);
const database = await openMailboxDatabase(instance.mboxlist, { owner: instance.owner });

let transactions = 0;
/** Tells of every transaction that changes names, from within, where nobody else is. */
async function update(change) {
  if (draw() < 0.3) await sleep(draw() * order.stallMs);
  transactions += 1;
  const n = transactions;
  let names = [];
  const result = await database.update((writes) => {
    names = [];
    const v = (name) => writes.get(name)?.uidvalidity ?? 0;
    const done = change({
      ...writes,
      put(record) {
        names.push({ v: record.uidvalidity, name: record.name });
        writes.put(record);
      },
      remove(name) {
        names.push({ v: v(name), name: null });
        writes.remove(name);
      },
      rename(name, to) {
        names.push({ v: v(name), name: to });
        writes.rename(name, to);
      },
    });
    if (names.length > 0) write({ k: 'names', n, names });
    return done;
  });
  if (names.length > 0) write({ k: 'named', n });
  stall(0.1);
  return result;
}

const refresh = () => {
  stall(0.1);
  database.refresh();
};
const store = {
  mailboxes: { ...database, update, refresh },
  owner: instance.owner,
  lockWaitMs: order.lockWaitMs,
};

/** What is done to the mail of a mailbox while it is open. */
const steps = {
  append(changes, { content, flags }) {
    const v = changes.index.uidvalidity;
    const sha256 = createHash('sha256').update(content).digest('hex');
    write({ k: 'append', v, uid: changes.index.uidnext, sha256, flags });
    const uid = changes.append({ content: Buffer.from(content), flags, internalDate: 1_000_000_000 });
    write({ k: 'appended', v, uid, sha256, flags });
  },
  flag(changes, { pick, flags }) {
    const message = picked(changes, pick);
    if (message === undefined) return;
    const at = { v: changes.index.uidvalidity, uid: message.uid };
    write({ k: 'flag', ...at, flags });
    changes.setFlags(message.uid, flags, []);
    write({ k: 'flagged', ...at, flags });
  },
  expunge(changes, { pick }) {
    const message = picked(changes, pick);
    if (message === undefined) return;
    const at = { v: changes.index.uidvalidity, uid: message.uid };
    write({ k: 'expunge', ...at });
    changes.expunge(message.uid);
    write({ k: 'expunged', ...at });
  },
};

function picked(changes, pick) {
  const messages = [...changes.index.messages()];
  return messages[Math.floor(pick * messages.length)];
}

async function act(task) {
  if (task.op === 'create') {
    const { owner, partition, root } = task;
    // Ascending and nobody else's: by it a mailbox is known under any name.
    const uidvalidity =
      order.firstUidvalidity + Math.floor(performance.timeOrigin + performance.now() - order.startMs) * 4;
    await createMailbox(store, task.name, { owner, partition, root, uidvalidity: uidvalidity + order.number });
    await sleep(1);
  } else if (task.op === 'delete') await deleteMailbox(store, task.name);
  else if (task.op === 'rename') await renameMailbox(store, task.name, task.to);
  else await changeMailbox(store, task.name, (changes) => steps[task.op](changes, task));
}

armFaults(parseFaultPlan(process.env.MAILHAUL_FAULT));
for (const task of order.tasks) {
  const { content: _content, ...told } = task;
  write({ k: 'begin', task: told });
  try {
    await act(task);
    write({ k: 'end', code: 'ok' });
  } catch (error) {
    write({ k: 'end', code: error.code ?? error.name, text: textOf(error) });
  }
}
write({ k: 'done' });
armFaults(undefined);
await database.close();
instance.close();

/** What it says, where in the product it came from, and why. */
function textOf(error) {
  const from = /\bsrc\/\S+?:\d+/.exec(error.stack ?? '')?.[0] ?? '';
  const cause = error.cause === undefined ? '' : ` (${textOf(error.cause)})`;
  return `${error.message ?? error} [${error.where ?? ''}] ${from}${cause}`;
}
