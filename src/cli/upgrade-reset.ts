/** `upgrade --reset` on a terminal: what it will do or did, and the question before it. */
import { createInterface } from 'node:readline/promises';
import { grouped } from '../upgrade/numbers.js';
import type { Refusal, ResetProgress, ResetReport } from '../upgrade/reset.js';
import { visible } from './common.js';
import { bytesText, counted } from './upgrade-text.js';

/** Refusals and notes shown to people; --json lists more. */
const SHOWN = 50;

/** The plan, before it is carried out. */
export function resetPlanText(report: ResetReport): string {
  const { restore } = report;
  return lines([
    ...(report.resumed ? ['An earlier reset was stopped; this one goes on where it stopped.'] : []),
    `This takes ${report.instance} back to where it was before the first \`upgrade -s\`:`,
    ...(restore.messages === 0
      ? ['  every migrated message is in 3.x still; none has to go back']
      : restoreLines(report)),
    ...report.partitions.map(
      ({ name, path, folders, messages }) =>
        `  partition ${name} (${path}): remove ${counted(folders, 'folder')}, ${counted(messages, 'message file')}`,
    ),
    ...report.files.slice(0, SHOWN).map((file) => `  remove ${file}`),
    ...more(report.files.length - SHOWN, 'file'),
    ...noteLines(report),
  ]);
}

function restoreLines({ restore }: ResetReport): string[] {
  const shape =
    restore.rewritten === 0 ? '' : `, ${restore.rewritten} of them in CRLF form: their originals had bare LF`;
  return [
    `  ${counted(restore.messages, 'message')} in 4.x only: back under their 3.x names first${shape}`,
    ...restore.stores.map(({ storePath, messages, copyBytes, freeBytes }) => {
      const space = copyBytes === 0 ? '' : `, ${bytesText(copyBytes)} to copy, ${bytesText(freeBytes)} free`;
      return `    ${storePath}: ${counted(messages, 'message')}${space}`;
    }),
    ...(restore.lines === 0 ? [] : [`    ${counted(restore.lines, 'line')} missing in .mailbox files, written again`]),
  ];
}

/** What came of it. */
export function resetText(report: ResetReport): string {
  switch (report.outcome) {
    case 'nothing':
      return lines(['There is nothing to reset.']);
    case 'refused':
      return lines([
        ...report.refusals.slice(0, SHOWN).map(refusalLine),
        ...more(report.refusals.length - SHOWN + report.refusalsNotListed, 'refusal'),
        'Refused: this would destroy what is in 4.x only, or cannot be told. Nothing was changed.',
      ]);
    case 'planned':
      return lines([resetPlanText(report), 'Dry run: nothing was changed.']);
    case 'declined':
    case 'unconfirmed':
      return lines(['Nothing was changed.']);
    case 'halted': {
      const { restored, removed } = report.done;
      return lines([
        `${counted(restored, 'message')} put back into 3.x, ${counted(removed, 'message file')} of 4.x removed by this run.`,
        `Halted; nothing was lost. Run again, it goes on where it stopped: ${report.halted?.resume ?? 'upgrade --reset'}`,
      ]);
    }
    case 'done': {
      const { messages, rewritten } = report.restore;
      const back =
        messages === 0 ? '' : ` ${counted(messages, 'message')} went back to 3.x (${rewritten} in CRLF form).`;
      return lines([
        `Reset.${back} \`upgrade -s\` starts again. ${report.seconds.toFixed(2)} s.`,
        ...(report.restore.messages === 0 ? [] : noteLines(report)),
      ]);
    }
  }
}

function refusalLine({ code, mailbox, user, uid, where, message }: Refusal): string {
  const about = [mailbox === '' ? user : mailbox, uid === null ? '' : `uid ${uid}`].filter((part) => part !== '');
  return `  refused ${code}${about.length === 0 ? '' : ` [${about.join(', ')}]`}: ${message} (${where})`;
}

function noteLines(report: ResetReport): string[] {
  return [
    ...report.notes.slice(0, SHOWN).map((note) => `  note: ${note}`),
    ...more(report.notes.length - SHOWN + report.notesNotListed, 'note'),
  ];
}

function more(count: number, noun: string): string[] {
  return count > 0 ? [`  … and ${counted(count, `more ${noun}`)}; --json lists more.`] : [];
}

/** Names come from the mail store: no line of theirs becomes two. */
function lines(texts: readonly string[]): string {
  return texts
    .flatMap((text) => text.split('\n'))
    .map(visible)
    .join('\n');
}

/** What SIGUSR1 prints. */
export function resetProgressText(progress: ResetProgress): string {
  const { step, folders, foldersInAll, restored, restoreInAll, removed } = progress;
  const through = `${grouped(folders)}${foldersInAll === 0 ? '' : `/${grouped(foldersInAll)}`} folders`;
  switch (step) {
    case 'survey':
      return `looking at everything: ${through}`;
    case 'shared':
      return `finding messages that share a file in 3.x: ${through}`;
    case 'restore':
      return `putting messages back into 3.x: ${through}  ${grouped(restored)}/${grouped(restoreInAll)} messages`;
    case 'remove':
      return `removing from 4.x: ${through}  ${grouped(removed)} message files`;
  }
}

/**
 * Asks on the terminal; `nobody` where there is none. Ctrl-C, Ctrl-D and the end of the terminal are a no; so is
 * `signal`, whose reason the caller knows.
 */
export async function askToReset(signal: AbortSignal): Promise<'yes' | 'no' | 'nobody'> {
  if (process.stdin.isTTY !== true) return 'nobody';
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  // Where standard error is no terminal, an end of the input leaves the question open for ever.
  const closed = new Promise<string>((resolve) => terminal.once('close', () => resolve('')));
  // The terminal was hung up: reading it fails, and nobody else listens.
  process.stdin.once('error', () => terminal.close());
  try {
    const answer = await Promise.race([terminal.question('Go on? [y/N] ', { signal }), closed]);
    return /^\s*y(es)?\s*$/i.test(answer) ? 'yes' : 'no';
  } catch (error) {
    if (error instanceof Error && error.name === 'AbortError') return 'no';
    throw error;
  } finally {
    terminal.close();
  }
}
