/**
 * What every command shares (commands.md): the options `--instance`, `--json`, `--log-level`, `--version`, `--help`,
 * exit codes, how errors are printed, and standard output that survives a reader who leaves early.
 *
 * Results go to standard output and nothing else does; errors go to standard error as
 *
 *     mboxutil: DB_MISSING: The database does not exist. [/…/mboxlist.mdb]
 *         Run `upgrade -s` first.
 *
 * What nobody foresaw is INTERNAL, with its stack, and exit 4: nobody knows what had been begun, and to run again is
 * safe, as after a kill.
 */
import { readFileSync, realpathSync, writeSync } from 'node:fs';
import { parse } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command, CommanderError } from 'commander';
import { describeError, EXIT, type ExitCode, hasErrno, MailhaulError, systemCause } from '../errors.js';
import { CONTROLS, parseLogLevel } from '../log/log.js';
import { inPackage } from '../package.js';

/** Options that every command has. */
export interface CommonFlags {
  readonly instance?: string;
  readonly json?: boolean;
  readonly logLevel?: string;
}

/** A commander program with the common options; errors are thrown, help and version are printed by commander. */
export function makeCommand(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .option('--instance <dir>', '4.x instance directory (environment MSG_INSTANCE)')
    .option('--json', 'print the result as JSON, everything else on standard error')
    .option('--log-level <level>', 'threshold of the log', (text) => {
      parseLogLevel(text);
      return text;
    })
    .version(packageVersion(), '--version')
    .configureOutput({
      writeOut: (text) => standardOutput.write(text),
      writeErr: (text) => writeAllSync(2, text),
      outputError: (text, write) => write(`${name}: USAGE: ${text.replace(/^error: /, '')}`),
    })
    .exitOverride();
}

function packageVersion(): string {
  return (JSON.parse(readFileSync(inPackage('package.json'), 'utf8')) as { version: string }).version;
}

/** Wrong usage: exit 2. */
export function usageError(command: string, message: string): MailhaulError {
  return new MailhaulError('USAGE', message, { hint: `See ${command} --help.`, exit: EXIT.usage });
}

/** The instance named by `--instance` or MSG_INSTANCE; INSTANCE_UNKNOWN (exit 3) without one. */
export function instanceOf(flags: CommonFlags): string {
  const path = flags.instance ?? process.env.MSG_INSTANCE;
  if (path === undefined || path === '') {
    throw new MailhaulError('INSTANCE_UNKNOWN', 'No 4.x instance was named.', {
      hint: 'Give --instance, or set MSG_INSTANCE.',
    });
  }
  return path;
}

/**
 * Parses `argv` (without node and script) and runs `action` with the flags and operands. Whatever is thrown is
 * printed and becomes the exit code: its own for a MailhaulError, 3 for a failed system call, 4 when a disk is full and
 * for anything else.
 */
export async function runCommand<Flags extends CommonFlags>(
  program: Command,
  argv: readonly string[],
  action: (flags: Flags, operands: readonly string[]) => Promise<ExitCode>,
): Promise<ExitCode> {
  try {
    program.parse(argv, { from: 'user' });
    return await action(program.opts<Flags>(), program.args);
  } catch (error) {
    // commander has printed its own message, help or version already.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    const told = hasErrno(error, 'ENOSPC', 'EDQUOT') ? diskFull(error) : systemFailure(error);
    printError(program.name(), told);
    return told instanceof MailhaulError ? told.exit : EXIT.halted;
  } finally {
    standardOutput.flush();
  }
}

/** A full disk is a halt in every command (commands.md, exit 4): what was there before is there still. */
function diskFull(cause: unknown): MailhaulError {
  return new MailhaulError('DISK_FULL', `A disk is full: ${describeError(cause)}.`, {
    hint: 'Make space, then run the same command again.',
    exit: EXIT.halted,
    cause,
  });
}

/** A failed system call that nobody expected is told in one line, not as a defect of the program. */
function systemFailure(error: unknown): unknown {
  if (error instanceof MailhaulError || !(error instanceof Error)) return error;
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (code === undefined || syscall === undefined) return error;
  return new MailhaulError('SYSTEM_CALL', `A system call failed: ${describeError(error)}.`, {
    hint: 'Correct the cause, then run the same command again.',
    cause: error,
  });
}

/** Prints an error: code, what failed, where, and on a second line what to do. */
export function printError(command: string, error: unknown): void {
  writeAllSync(2, `${command}: ${errorText(error)}\n`);
}

function errorText(error: unknown): string {
  if (!(error instanceof MailhaulError)) return `INTERNAL: ${stackOf(error)}\n    ${INTERNAL_HINT}`;
  const where = error.where === undefined ? '' : ` [${visible(error.where)}]`;
  const hint = error.hint === undefined ? '' : `\n    ${visible(error.hint)}`;
  return `${error.code}: ${visible(error.message + systemCause(error))}${where}${hint}`;
}

const INTERNAL_HINT =
  'This is a defect of the program; nothing was lost. Run the same command again. If it comes back, report these lines ' +
  'with those of the log (log/default/default of the instance).';

function stackOf(error: unknown): string {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return text.split('\n').map(visible).join('\n');
}

const UNSAFE = new RegExp(`[${CONTROLS}]`, 'g');

/** Text from a mail store made harmless for a terminal: control characters become U+FFFD. */
export function visible(text: string): string {
  return text.replace(UNSAFE, '\ufffd');
}

/** JSON that a terminal can show: what JSON lets through is escaped as well. */
function visibleJson(value: unknown): string {
  return JSON.stringify(value).replace(UNSAFE, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** Standard output with a buffer. `closed` once the reader is gone (EPIPE): a command may then stop. */
export interface Output {
  write(text: string): void;
  /** One line of JSON. */
  json(value: unknown): void;
  flush(): void;
  readonly closed: boolean;
}

/** Characters gathered before they are written. */
const BUFFER_LIMIT = 64 * 1024;

export const standardOutput: Output = makeOutput(1);

function makeOutput(fd: number): Output {
  let buffer = '';
  let closed = false;
  const flush = (): void => {
    if (buffer !== '' && !closed) closed = !writeAllSync(fd, buffer);
    buffer = '';
  };
  const write = (text: string): void => {
    buffer += text;
    if (buffer.length > BUFFER_LIMIT) flush();
  };
  return {
    write,
    json: (value) => write(`${visibleJson(value)}\n`),
    flush,
    get closed() {
      return closed;
    },
  };
}

/** Writes all of `text`; false when the reader, or the terminal (EIO), is gone. Waits where the descriptor is full. */
function writeAllSync(fd: number, text: string): boolean {
  const bytes = Buffer.from(text);
  let done = 0;
  while (done < bytes.length) {
    try {
      done += writeSync(fd, bytes, done);
    } catch (error) {
      if (hasErrno(error, 'EPIPE', 'EIO')) return false;
      if (!hasErrno(error, 'EAGAIN')) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
  return true;
}

/**
 * Runs `command` when Node was started with the module at `url`, and sets the exit code. The file must have the command's
 * name as well: all modules of a bundle (bundle.mjs) have the same `url`, and only that of the entry may start.
 *
 * An exception or a rejection that nobody catches ends the process at once, as a second signal does: whatever it left
 * half done, the next run goes on from.
 */
export async function startIfMain(
  url: string,
  name: string,
  command: (argv: readonly string[]) => Promise<ExitCode>,
): Promise<void> {
  const file = fileURLToPath(url);
  if (parse(file).name !== name) return;
  if (process.argv[1] === undefined || realpathSync(process.argv[1]) !== file) return;
  process.on('uncaughtException', (error) => endAtOnce(name, error));
  const code = await command(process.argv.slice(2));
  // All is written. What may be open still, such as the port of a thread that died, would keep the process for ever.
  process.exit(code);
}

/** For rejections too: Node makes exceptions of those. */
function endAtOnce(command: string, error: unknown): never {
  try {
    standardOutput.flush();
    printError(command, error);
  } finally {
    process.exit(EXIT.halted);
  }
}
