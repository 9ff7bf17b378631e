/**
 * An executable model of one folder (design.md, "One folder, in order"), small enough to enumerate whole.
 *
 *     two migrators, each: begin ─▶ lock ─▶ check ─▶ record ─▶ link a, b ─▶ index ─▶ sync ─▶ publish ─▶ remove a, b ─▶ unlock
 *     × either is killed between any two steps and starts again
 *     × the power goes: everything volatile is kept or lost, in every combination
 *     × a message fails once, and is repaired; with --accept-failures its folder is published without it:
 *
 *         index ─▶ sync ─▶ note what failed ─▶ publish ─▶ remove the others ─▶ unlock
 *         retry: link ─▶ sync ─▶ index of both ─▶ clear the note ─▶ remove ─▶ unlock
 *
 *     × a service edits the folder as soon as it is published
 *
 * `explore` (explore.ts) walks every reachable state and reports the first that breaks a promise of 4x-store.md. The
 * switches of `Protocol` break the order on purpose: each must be caught, or the model proves nothing.
 */

export interface Protocol {
  /** Look at the folder's state again once its lock is held. */
  readonly checkAfterLock: boolean;
  /** What an earlier attempt recorded is read once the lock is held, not while waiting for it. */
  readonly recordReadUnderLock: boolean;
  /** The migration record is durable before the first link. */
  readonly recordFirst: boolean;
  /** Everything is synced before the database says NON-TRANSITION. */
  readonly syncBeforePublish: boolean;
  /** 3.x files go after the database commit, not before. */
  readonly removeAfterPublish: boolean;
  /** The lock is held until the folder is published. */
  readonly lockUntilPublished: boolean;
  /** A folder with a failed message is not published, unless that was asked for. */
  readonly failuresStayInTransition: boolean;
  /** What is not in the index is on record as failed before the folder is published. */
  readonly failuresOnRecordFirst: boolean;
  /** `-r` leaves what is on record as failed. */
  readonly removalSparesFailures: boolean;
  /** The files of a retry are durable before the index that lists them. */
  readonly retrySyncsFirst: boolean;
}

export const PROTOCOL: Protocol = {
  checkAfterLock: true,
  recordReadUnderLock: true,
  recordFirst: true,
  syncBeforePublish: true,
  removeAfterPublish: true,
  lockUntilPublished: true,
  failuresStayInTransition: true,
  failuresOnRecordFirst: true,
  removalSparesFailures: true,
  retrySyncsFirst: true,
};

const MESSAGES = [0, 1] as const;

type Step =
  | 'begin'
  | 'lock'
  | 'check'
  | 'record'
  | 'link0'
  | 'link1'
  | 'index'
  | 'sync'
  | 'note'
  | 'publish'
  | 'outcome'
  | 'retryLink'
  | 'retrySync'
  | 'retryIndex'
  | 'remove0'
  | 'remove1'
  | 'unlock'
  | 'done';

/** A file made in 4.x: under which assignment of uids, and whether it survives a power loss. */
interface Made {
  readonly assignment: number;
  readonly durable: boolean;
}

interface Migrator {
  readonly step: Step;
  /** The assignment of uids it works with; 0 before it has planned. */
  readonly assignment: number;
  /** The assignment on record when it began to wait for the lock. */
  readonly seen: number;
  /** Messages whose 3.x files it found when it planned. */
  readonly plan: readonly number[];
  /** Messages that failed in this attempt. */
  readonly failed: readonly number[];
}

export interface State {
  /** The message has its 3.x name. An unlink counts as durable at once: the worst case. */
  readonly source: readonly boolean[];
  /** The 4.x files of each message: one when all is well, more when it was linked under several uids. */
  readonly target: readonly (readonly Made[])[];
  readonly index: (Made & { readonly uids: readonly number[] }) | null;
  /** Assignment on record; 0 none. */
  readonly record: number;
  readonly published: boolean;
  /** Messages on record as failed. */
  readonly failures: readonly number[];
  /** A service changed the folder after it was published; the change lies in the index. */
  readonly edited: boolean;
  readonly editLost: boolean;
  /** Uids on record were replaced by others. */
  readonly renumbered: boolean;
  readonly lock: number;
  readonly migrators: readonly Migrator[];
  /** Assignments handed out so far: planning without a record may give other uids each time. */
  readonly assignments: number;
  readonly killsLeft: number;
  readonly powerLossesLeft: number;
  /** The next link of message 1 may fail this many times. */
  readonly failuresLeft: number;
  /** `--accept-failures` */
  readonly acceptFailures: boolean;
}

export interface Limits {
  readonly kills: number;
  readonly powerLosses: number;
  readonly failures: number;
  /** `--accept-failures` */
  readonly acceptFailures: boolean;
}

const IDLE: Migrator = { step: 'begin', assignment: 0, seen: 0, plan: [], failed: [] };

export function initialState(limits: Limits): State {
  return {
    source: MESSAGES.map(() => true),
    target: MESSAGES.map(() => []),
    index: null,
    record: 0,
    published: false,
    failures: [],
    edited: false,
    editLost: false,
    renumbered: false,
    lock: -1,
    migrators: [IDLE, IDLE],
    assignments: 0,
    killsLeft: limits.kills,
    powerLossesLeft: limits.powerLosses,
    failuresLeft: limits.failures,
    acceptFailures: limits.acceptFailures,
  };
}

/** Every state that one step of anybody leads to. */
export function successors(state: State, protocol: Protocol): State[] {
  const next: State[] = [];
  for (const who of [0, 1]) {
    next.push(...stepsOf(state, who, protocol));
    if (state.killsLeft > 0 && state.migrators[who]?.step !== 'done' && state.migrators[who]?.step !== 'begin') {
      next.push({ ...killed(state, who), killsLeft: state.killsLeft - 1 });
    }
  }
  if (state.published && !state.edited) next.push({ ...state, edited: true });
  if (state.powerLossesLeft > 0) next.push(...powerLosses(state));
  return next;
}

function withMigrator(state: State, who: number, change: Partial<Migrator>): State {
  return { ...state, migrators: state.migrators.map((m, i) => (i === who ? { ...m, ...change } : m)) };
}

function killed(state: State, who: number): State {
  const free = state.lock === who ? { ...state, lock: -1 } : state;
  return withMigrator(free, who, IDLE);
}

function powerLosses(state: State): State[] {
  const down: State = { ...killed(killed(state, 0), 1), powerLossesLeft: state.powerLossesLeft - 1 };
  let outcomes: State[] = [down];
  const split = (lose: (s: State) => State | undefined): void => {
    outcomes = outcomes.flatMap((outcome) => {
      const lost = lose(outcome);
      return lost === undefined ? [outcome] : [outcome, lost];
    });
  };
  for (const m of MESSAGES) {
    split((s) =>
      s.target[m]?.some((made) => !made.durable) ? { ...s, target: replaced(s.target, m, surviving) } : undefined,
    );
  }
  split((s) => (s.index?.durable === false ? { ...s, index: null } : undefined));
  // What survived a power loss is on disk.
  return outcomes.map((s) => ({
    ...s,
    target: s.target.map(durably),
    index: s.index === null ? null : { ...s.index, durable: true },
  }));
}

function replaced(
  target: State['target'],
  message: number,
  change: (made: readonly Made[]) => readonly Made[],
): State['target'] {
  return target.map((made, i) => (i === message ? change(made) : made));
}

function surviving(made: readonly Made[]): readonly Made[] {
  return made.filter((file) => file.durable);
}

function durably(made: readonly Made[]): readonly Made[] {
  return made.map((file) => ({ ...file, durable: true }));
}

function stepsOf(state: State, who: number, protocol: Protocol): State[] {
  const me = state.migrators[who] as Migrator;
  const go = (step: Step, change: Partial<State> = {}, mine: Partial<Migrator> = {}): State =>
    withMigrator({ ...state, ...change }, who, { ...mine, step });
  switch (me.step) {
    case 'begin':
      return [go('lock', {}, { seen: state.record })];
    case 'lock':
      return state.lock === -1 ? [go('check', { lock: who })] : [];
    case 'check':
      if (protocol.checkAfterLock && state.published) {
        if (state.failures.length > 0) return [go('retryLink', {}, { failed: [] })];
        return [go(state.source.some(Boolean) ? 'remove0' : 'unlock', {}, { failed: [] })];
      }
      return [go('record')];
    case 'record': {
      const onRecord = protocol.recordReadUnderLock ? state.record : me.seen;
      const assignment = onRecord !== 0 ? onRecord : state.assignments + 1;
      const plan = MESSAGES.filter((m) => state.source[m]);
      const record = protocol.recordFirst ? assignment : state.record;
      const renumbered = state.renumbered || (state.record !== 0 && assignment !== state.record);
      return [
        go(
          'link0',
          { record, renumbered, assignments: Math.max(state.assignments, assignment) },
          { assignment, plan, failed: [] },
        ),
      ];
    }
    case 'link0':
      return [go('link1', { target: linked(state, 0, me) })];
    case 'link1': {
      const succeed = go('index', { target: linked(state, 1, me) });
      if (state.failuresLeft === 0 || (state.target[1]?.length ?? 0) > 0) return [succeed];
      return [succeed, go('index', { failuresLeft: state.failuresLeft - 1 }, { failed: [1] })];
    }
    case 'index': {
      // A folder with failures ends here, in TRANSITION; the next run takes the rest.
      if (me.failed.length > 0 && protocol.failuresStayInTransition && !state.acceptFailures)
        return [go('begin', unlocked(state, who), { assignment: 0 })];
      const uids = me.plan.filter((m) => !me.failed.includes(m));
      return [
        go('sync', {
          index: { assignment: me.assignment, durable: false, uids },
          editLost: state.editLost || state.edited,
          ...(protocol.lockUntilPublished ? {} : unlocked(state, who)),
        }),
      ];
    }
    case 'sync': {
      const next = protocol.removeAfterPublish ? 'note' : 'remove0';
      if (!protocol.syncBeforePublish) return [go(next)];
      const index = state.index === null ? null : { ...state.index, durable: true };
      return [go(next, { index, target: state.target.map(durably) })];
    }
    case 'note':
      if (!protocol.failuresOnRecordFirst) return [go('publish')];
      return [go('publish', { failures: me.failed })];
    case 'publish':
      return [
        go(protocol.removeAfterPublish ? 'outcome' : 'unlock', {
          published: true,
          record: state.record || me.assignment,
        }),
      ];
    case 'outcome':
      return [go('remove0', { failures: me.failed })];
    // The lock is held, and only this folder's failures are looked at: what else is in 4.x stays as it is.
    case 'retryLink': {
      const [failed] = state.failures;
      if (failed === undefined || !state.source[failed]) return [go('outcome')];
      const retried = { ...me, assignment: state.record, plan: [...MESSAGES] };
      const succeed = go('retrySync', { target: linked(state, failed, retried) });
      if (state.failuresLeft === 0 || (state.target[failed]?.length ?? 0) > 0) return [succeed];
      return [succeed, go('outcome', { failuresLeft: state.failuresLeft - 1 }, { failed: [failed] })];
    }
    case 'retrySync':
      return [go('retryIndex', protocol.retrySyncsFirst ? { target: state.target.map(durably) } : {})];
    case 'retryIndex': {
      if (state.index === null) return [];
      const uids = MESSAGES.filter((m) => state.index?.uids.includes(m) || state.failures.includes(m));
      return [go('outcome', { index: { ...state.index, uids } })];
    }
    case 'remove0':
      return [go('remove1', { source: removed(state, 0, me, protocol) })];
    case 'remove1':
      return [
        go(protocol.removeAfterPublish || state.published ? 'unlock' : 'publish', {
          source: removed(state, 1, me, protocol),
        }),
      ];
    case 'unlock':
      // What failed is repaired, and the next run takes it.
      return [go(state.failures.length > 0 ? 'begin' : 'done', unlocked(state, who))];
    case 'done':
      return [];
  }
}

function unlocked(state: State, who: number): { lock: number } {
  return { lock: state.lock === who ? -1 : state.lock };
}

/**
 * Links, and adopts what an earlier attempt made under the same uid. Only a record tells that there was an
 * earlier attempt: with it, leftovers under another uid and of messages that are gone from 3.x are swept.
 */
function linked(state: State, message: number, me: Migrator): State['target'] {
  return replaced(state.target, message, (made) => {
    const kept = state.record !== 0 ? made.filter((file) => file.assignment === me.assignment) : made;
    if (!me.plan.includes(message)) return state.record !== 0 ? [] : made;
    return kept.some((file) => file.assignment === me.assignment)
      ? kept
      : [...kept, { assignment: me.assignment, durable: false }];
  });
}

function removed(state: State, message: number, me: Migrator, protocol: Protocol): State['source'] {
  const spared = protocol.removalSparesFailures && (me.failed.includes(message) || state.failures.includes(message));
  return state.source.map((present, i) => (i === message && !spared ? false : present));
}

/** The promise of 4x-store.md that a state breaks; undefined when it keeps them all. */
export function broken(state: State): string | undefined {
  for (const m of MESSAGES) {
    const made = state.target[m] ?? [];
    if (!state.source[m] && made.length === 0) return `promise 1: message ${m} has no name`;
    if (!state.source[m] && !made.some((file) => file.durable)) return `promise 1: message ${m} dies with the power`;
  }
  if (state.published) {
    if (state.index === null || !state.index.durable) return 'promise 4: published without a durable index';
    for (const m of state.index.uids) {
      const made = state.target[m] ?? [];
      if (!made.some((file) => file.durable)) return `promise 4: published, message ${m} not durable`;
      if (made.length > 1) return `promise 2: message ${m} is there twice`;
      if (made[0]?.assignment !== state.index.assignment)
        return `promise 2: message ${m} is under another uid than in the index`;
    }
    if (state.index.assignment !== state.record) return 'promise 2: renumbered';
    for (const m of MESSAGES.filter((message) => !state.index?.uids.includes(message))) {
      if (!state.acceptFailures) return 'promise 4: published with a failed message left out';
      if (!state.source[m]) return `promise 1: message ${m} failed, and its original is gone`;
      if (!state.failures.includes(m)) return `promise 4: message ${m} failed, which is not on record`;
    }
  }
  if (state.renumbered) return 'promise 2: uids on record were given anew';
  if (state.editLost) return "promise 4: a service's change was overwritten";
  return undefined;
}

/** What everybody done must have reached. */
export function finished(state: State): boolean {
  const nothingLeft = state.source.every((present) => !present) && state.failures.length === 0;
  return state.published && nothingLeft && state.lock === -1;
}
