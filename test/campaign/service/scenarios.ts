/**
 * What is run, killed and run again, with services in between: states of the installation, and for each the commands
 * that bring it to the end, one after the other. In the end all messages are in 4.x.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { type Command, type Ground, originals } from '../kill/ground.js';
import { asideOf, type Engine, flag } from '../kill/scenarios.js';
import { contentOf } from '../kill/state.js';
import { addTo, type Counts, type Folder } from './truth.js';

/** A command that is run, killed or not, until it ends as it must. Services work after each. */
export interface Phase {
  readonly command: Command;
  /** 1 while messages fail. */
  readonly ends: 0 | 1;
  /** Only leads to the state in question: nobody kills it, and no service works after it. */
  readonly leads?: boolean;
  /** All that failed is repaired before it. */
  readonly repaired?: boolean;
}

export interface Scenario {
  readonly name: string;
  /** Every third message fails until it is repaired. */
  readonly failures: boolean;
  /** Folders with failures on record are in TRANSITION when the last command begins. */
  readonly waits: boolean;
  readonly phases: readonly [Phase, ...Phase[]];
  /** `-r`: in the end no original is left, but for messages that a service expunged. */
  readonly remove: boolean;
}

/** Folders at once, `-q`: few, so that some are published while others wait; or all, so that commits can be counted. */
export const FEW = '6';
export const ALL = '50';

export function scenarios(engines: readonly Engine[], queue: string): Scenario[] {
  return engines.flatMap((name) => {
    const engine = { name, queue };
    return [
      waiting(engine, false),
      published(engine, false),
      accepted(engine),
      published(engine, true),
      waiting(engine, true),
      plain(engine, false),
      plain(engine, true),
      lateRemoval(engine),
    ];
  });
}

/** An engine, and how many folders it gets at once. */
interface Way {
  readonly name: Engine;
  readonly queue: string;
}

const upgrade = ({ name, queue }: Way, ...args: string[]): Command => [
  'upgrade',
  '-m',
  '-t',
  '1',
  '-q',
  queue,
  flag(name),
  ...args,
];
const minus = (remove: boolean): string[] => (remove ? ['-r'] : []);
const nameOf = (engine: Way, remove: boolean): string => `-m ${[flag(engine.name), ...minus(remove)].join(' ')}`;

function plain(engine: Way, remove: boolean): Scenario {
  return {
    name: nameOf(engine, remove),
    failures: false,
    waits: false,
    phases: [{ command: upgrade(engine, ...minus(remove)), ends: 0 }],
    remove,
  };
}

/** Messages failed in a run before, which left their folders in TRANSITION; by now they are repaired. */
function waiting(engine: Way, remove: boolean): Scenario {
  return afterFailures(`${nameOf(engine, remove)} after failures that waited`, engine, remove, minus(remove));
}

/** The same where the folders were published without them. */
function published(engine: Way, remove: boolean): Scenario {
  const options = ['--accept-failures', ...minus(remove)];
  return afterFailures(`${nameOf(engine, remove)} after failures that were accepted`, engine, remove, options);
}

/** The run before is made in each case: a state that was put back has other inodes than its migration records. */
function afterFailures(name: string, engine: Way, remove: boolean, before: readonly string[]): Scenario {
  return {
    name,
    failures: true,
    waits: !before.includes('--accept-failures'),
    phases: [
      { command: upgrade(engine, ...before), ends: 1, leads: true },
      { command: upgrade(engine, ...minus(remove)), ends: 0, repaired: true },
    ],
    remove,
  };
}

/** The run that accepts failures is killed itself, then the one that brings in what was repaired. */
function accepted(engine: Way): Scenario {
  return {
    name: `-m ${flag(engine.name)} -r --accept-failures, then -m -r`,
    failures: true,
    waits: false,
    phases: [
      { command: upgrade(engine, '-r', '--accept-failures'), ends: 1 },
      { command: upgrade(engine, '-r'), ends: 0, repaired: true },
    ],
    remove: true,
  };
}

/** Services use mailboxes whose originals are all there still. */
function lateRemoval(engine: Way): Scenario {
  return {
    name: `-m ${flag(engine.name)}, then -m -r`,
    failures: false,
    waits: false,
    phases: [
      { command: upgrade(engine), ends: 0 },
      { command: upgrade(engine, '-r'), ends: 0 },
    ],
    remove: true,
  };
}

/** Puts a link in the place of every third message; returns the paths, latin1. */
export function breakThird(ground: Ground): string[] {
  const broken = originals(ground).filter((_file, i) => i % 3 === 0);
  for (const file of broken) {
    fs.renameSync(Buffer.from(file, 'latin1'), asideOf(file));
    fs.symlinkSync('elsewhere', Buffer.from(file, 'latin1'));
    // Files without a line get their uids in the order of their times, also those that fail.
    const { atime, mtime } = fs.statSync(asideOf(file));
    fs.lutimesSync(Buffer.from(file, 'latin1'), atime, mtime);
  }
  return broken;
}

export function repair(broken: readonly string[]): void {
  for (const file of broken) fs.renameSync(asideOf(file), Buffer.from(file, 'latin1'));
}

/** Contents of the broken messages of each mailbox. */
export function contentsOfBroken(broken: readonly string[], folders: readonly Folder[]): Map<string, Counts> {
  const mailboxes = new Map(folders.map(({ directory, mailbox }) => [directory, mailbox]));
  const contents = new Map<string, Counts>();
  for (const file of broken) {
    const mailbox = mailboxes.get(path.dirname(file)) ?? '';
    const counts = contents.get(mailbox) ?? new Map<string, number>();
    addTo(counts, contentOf(asideOf(file)));
    contents.set(mailbox, counts);
  }
  return contents;
}
