/** What a worker is told to do (worker.mjs): drawn beforehand, so that it follows from the seed; when is up to the machine. */
import { randomOf } from '../../support/generate/random.js';

export type Task =
  | {
      readonly op: 'create';
      readonly name: string;
      readonly owner: string;
      readonly partition: string;
      readonly root: string;
    }
  | { readonly op: 'delete'; readonly name: string }
  | { readonly op: 'rename'; readonly name: string; readonly to: string }
  | { readonly op: 'append'; readonly name: string; readonly content: string; readonly flags: number }
  | { readonly op: 'flag'; readonly name: string; readonly pick: number; readonly flags: number }
  | { readonly op: 'expunge'; readonly name: string; readonly pick: number };

export interface Order {
  readonly instance: string;
  readonly diary: string;
  readonly number: number;
  readonly tasks: readonly Task[];
  readonly chances: readonly number[];
  readonly stallMs: number;
  readonly lockWaitMs: number;
  readonly startMs: number;
  readonly firstUidvalidity: number;
}

export interface Partition {
  readonly partition: string;
  readonly root: string;
}

/** Few names, so that everything is in everybody's way: trees three deep, the INBOX and what lies below it. */
const NAMES = ['INBOX', 'INBOX/x', 'A', 'A', 'A/x', 'A/x', 'A/x/y', 'B', 'B', 'B/x', 'B/x/y', 'C', 'C/x', 'T', 'T/x'];
/** Nearly all belongs to one user: two users are never in each other's way. */
const OTHER_USER = 0.08;

/** Of each: how many in a hundred. */
const WEIGHTS: readonly (readonly [Task['op'], number])[] = [
  ['create', 24],
  ['rename', 25],
  ['append', 25],
  ['delete', 14],
  ['flag', 6],
  ['expunge', 6],
];

export function drawTasks(
  seed: string,
  label: string,
  count: number,
  users: readonly [string, string],
  partitions: readonly Partition[],
): Task[] {
  const random = randomOf(seed, label);
  const owner = (): string => users[random.chance(OTHER_USER) ? 1 : 0];
  const spelled = (name: string): string =>
    random.chance(0.3) ? name.replace(/^INBOX/, random.pick(['inbox', 'Inbox', 'iNBOX'])) : name;
  const nameOf = (user: string): string => `user/${user}/${spelled(random.pick(NAMES))}`;
  const ops = WEIGHTS.flatMap(([op, weight]) => Array.from({ length: weight }, () => op));
  return Array.from({ length: count }, (_, i): Task => {
    const user = owner();
    const name = nameOf(user);
    const op = random.pick(ops);
    if (op === 'create') return { op, name, owner: user, ...random.pick(partitions) };
    if (op === 'rename') return { op, name, to: nameOf(random.chance(0.02) ? owner() : user) };
    const flags = random.int(0, 31);
    if (op === 'append')
      return { op, name, flags, content: `Subject: ${label}, ${i}\r\n\r\n${name} ${random.next()}\r\n` };
    if (op === 'flag') return { op, name, flags, pick: random.next() };
    return op === 'expunge' ? { op, name, pick: random.next() } : { op, name };
  });
}
