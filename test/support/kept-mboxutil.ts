/**
 * `mboxutil` for tests that look at a store: the command's own function in one process for a whole test file, because
 * the start of a process is nearly all that a look costs. It is synchronous, as a run of the command is. What the command
 * does as a process (its exit, its signals, a broken pipe) is tested with processes: test/cli/mboxutil.test.ts,
 * test/e2e/exit-codes*.test.ts.
 *
 *     test ── line of JSON ──▶ requests (fifo) ──▶ kept-mboxutil.mjs ──▶ stdout, stderr (files)
 *          ◀── exit code ──── answers (fifo) ◀──┘
 *
 * Between two looks the process holds nothing of any store open.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';

export interface Look {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

interface Kept {
  readonly child: ChildProcess;
  readonly requests: number;
  readonly answers: number;
  readonly stdout: number;
  readonly stderr: number;
}

/** A look takes milliseconds; the first one starts the process, on a busy machine in seconds. */
const ANSWER_WITHIN_MS = 100_000;

const PROGRAM = fileURLToPath(new URL('kept-mboxutil.mjs', import.meta.url));

let kept: Kept | undefined;

/** Runs `mboxutil` with these arguments. Throws when the process died of it: the next look has a new one. */
export function mboxutil(args: readonly string[]): Look {
  kept ??= start();
  const { child, requests, answers, stdout, stderr } = kept;
  for (const file of [stdout, stderr]) fs.ftruncateSync(file, 0);
  fs.writeSync(requests, `${JSON.stringify(args)}\n`);
  const answer = awaitAnswer(answers, child);
  const [printed = '', said = ''] = [stdout, stderr].map(whole);
  if (answer !== undefined) return { status: Number(answer), stdout: printed, stderr: said };
  child.kill('SIGKILL');
  for (const fd of [requests, answers, stdout, stderr]) fs.closeSync(fd);
  kept = undefined;
  throw new Error(`mboxutil ${args.join(' ')} ended its process, or did not answer: ${said}`);
}

/** The names go at once: what is open is all that is needed, and nothing is left behind however this process ends. */
function start(): Kept {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'mailhaul-look-'));
  const [requestPipe, answerPipe, printed, said] = ['requests', 'answers', 'stdout', 'stderr'].map((name) =>
    path.join(directory, name),
  ) as [string, string, string, string];
  const made = spawnSync('mkfifo', [requestPipe, answerPipe], { encoding: 'utf8' });
  if (made.status !== 0) throw new Error(`mkfifo: ${made.error?.message ?? made.stderr}`);
  // For both directions: this does not wait for the other end.
  const requests = fs.openSync(requestPipe, 'r+');
  const answers = fs.openSync(answerPipe, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
  const [stdout, stderr] = [printed, said].map((file) => fs.openSync(file, 'a+')) as [number, number];
  const child = spawn(process.execPath, [PROGRAM, requestPipe, answerPipe], { stdio: ['ignore', stdout, stderr] });
  child.unref();
  const opened = { child, requests, answers, stdout, stderr };
  // It answers when it has loaded its code, and with that has opened the pipes.
  fs.writeSync(requests, '["--version"]\n');
  const ready = awaitAnswer(answers, child);
  fs.rmSync(directory, { recursive: true });
  if (ready !== '0') throw new Error(`mboxutil did not start: ${whole(stderr)}`);
  return opened;
}

/** The next line of the pipe; undefined when nobody is there to write it any more. */
function awaitAnswer(answers: number, child: ChildProcess): string | undefined {
  const piece = Buffer.alloc(64);
  const deadline = performance.now() + ANSWER_WITHIN_MS;
  const pause = new Int32Array(new SharedArrayBuffer(4));
  for (let line = ''; performance.now() < deadline; ) {
    const gone = hasEnded(child);
    line += readNow(answers, piece);
    if (line.endsWith('\n')) return line.trimEnd();
    if (gone) return undefined;
    Atomics.wait(pause, 0, 0, 2);
  }
  return undefined;
}

/** What is in the pipe; '' when there is nothing, or nobody has it open for writing. */
function readNow(pipe: number, piece: Buffer): string {
  try {
    return piece.toString('latin1', 0, fs.readSync(pipe, piece));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return '';
    throw error;
  }
}

/** Node learns of the end of a child by an event; nothing here lets events in. */
function hasEnded({ pid }: ChildProcess): boolean {
  try {
    return /^State:\s+Z/m.test(fs.readFileSync(`/proc/${pid}/status`, 'latin1'));
  } catch {
    return true;
  }
}

/** All of a file that others write, whatever the position of the descriptor. */
function whole(file: number): string {
  const content = Buffer.alloc(fs.fstatSync(file).size);
  return content.toString('utf8', 0, fs.readSync(file, content, 0, content.length, 0));
}
