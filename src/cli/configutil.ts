#!/usr/bin/env node
/**
 * `configutil`: lists, shows, sets, clears and reads options of the 4.x configuration (commands.md).
 *
 *     configutil [-p prefix] [-e] [;lang]       list `option|value`
 *     configutil -o option [;lang]              show one value
 *     configutil -o option -v value [;lang]     set it; -v "" clears it
 *     configutil -i [file]                      read `option|value` lines from a file or standard input
 *
 * Without a language only values without one are touched; a list of everything shows all.
 */
import { basename, dirname, join, resolve } from 'node:path';
import { isatty } from 'node:tty';
import {
  CONFIGDB,
  type ConfigDb,
  type ConfigEntry,
  matchesPrefix,
  type OptionKey,
  openConfigDb,
  parseConfigLine,
  parseLanguage,
  parseOptionKey,
} from '../config/configdb.js';
import { describeError, EXIT, type ExitCode, hasErrno, MailhaulError, messageOf } from '../errors.js';
import { closeDir, type Dir, openRootOr, stat } from '../fs/dir.js';
import { readFile } from '../fs/file.js';
import { DEFAULT_LOG_LEVEL, openLog, parseLogLevel } from '../log/log.js';
import {
  type CommonFlags,
  instanceOf,
  makeCommand,
  printError,
  runCommand,
  standardOutput,
  startIfMain,
  usageError,
  visible,
} from './common.js';
import { type ChangeSet, changeSet, ownerOf, refuseUnfinishedReset } from './configutil-changes.js';

interface Flags extends CommonFlags {
  readonly file?: string;
  readonly prefix?: string;
  readonly empty?: boolean;
  readonly option?: string;
  readonly value?: string;
  /** true: standard input. */
  readonly input?: string | true;
}

interface Problem {
  readonly code: string;
  readonly message: string;
  readonly where: string | null;
}

/** Bytes of an import. */
const INPUT_LIMIT = 16 << 20;

function usage(message: string): MailhaulError {
  return usageError('configutil', message);
}

/** Runs the command; returns the exit code. */
export function configutil(argv: readonly string[]): Promise<ExitCode> {
  const program = makeCommand('configutil', 'Lists, shows, sets and reads configuration options of a 4.x instance.')
    .argument('[;lang]', 'touch the values of this language, for example ";lang-fr"')
    .option('-f, --file <file>', 'use this configdb instead of that of the instance')
    .option('-p, --prefix <prefix>', 'list options whose names begin with the prefix')
    .option('-e, --empty', 'list options with empty values too')
    .option('-o, --option <name>', 'show one option, or set it with -v')
    .option('-v, --value <value>', 'the new value of -o; "" clears it')
    .option('-i, --input [file]', 'read option|value lines from a file or standard input');
  return runCommand<Flags>(program, argv, async (flags, operands) => {
    try {
      return await run(flags, operands);
    } catch (error) {
      if (flags.json === true) standardOutput.json({ errors: [toProblem(error)] });
      throw error;
    }
  });
}

async function run(flags: Flags, args: readonly string[]): Promise<ExitCode> {
  const { option, value, input } = flags;
  const [prefix, prefixLanguage] = splitPrefix(flags.prefix);
  if (args[0] !== undefined && !args[0].startsWith(';')) throw usage(`“${args[0]}” is not a language (“;lang-xx”).`);
  if (value !== undefined && option === undefined) throw usage('-v needs -o.');
  if (option !== undefined && (prefix !== undefined || flags.empty)) throw usage('-o goes with neither -p nor -e.');
  if (input !== undefined && (option !== undefined || prefix !== undefined || flags.empty || args.length > 0)) {
    throw usage('-i stands alone, or with -f.');
  }
  const language = args[0] === undefined ? prefixLanguage : parseLanguage(args[0]);
  const key = option === undefined ? undefined : withLanguage(option, language);

  const target = openTarget(flags);
  try {
    if (input !== undefined) return await readOptions(target, input, flags);
    if (key === undefined) return list(target.db, prefix, language, flags);
    if (value === undefined) return show(target.db, key, flags);
    await change(target, { ...key, value });
    if (flags.json) standardOutput.json({ changed: [spell(key)], errors: [] });
    recordChanges(target, [key], flags);
    return EXIT.ok;
  } finally {
    closeDir(target.directory);
    if (target.instance !== undefined) closeDir(target.instance);
  }
}

/** `-p prefix;lang` in its parts. */
function splitPrefix(text: string | undefined): [prefix: string | undefined, language: string | null] {
  const at = text?.indexOf(';') ?? -1;
  if (text === undefined || at < 0) return [text, null];
  return [text.slice(0, at), parseLanguage(text.slice(at))];
}

/** `name;lang` and a separate `;lang` mean the same; two different ones are wrong usage. */
function withLanguage(text: string, language: string | null): OptionKey {
  const key = parseOptionKey(text);
  if (language !== null && key.language !== null && key.language !== language) {
    throw usage('Two different languages were given.');
  }
  return { option: key.option, language: key.language ?? language };
}

interface Target {
  readonly db: ConfigDb;
  /** Directory of the configdb. */
  readonly directory: Dir;
  /** Undefined with -f. */
  readonly instance: Dir | undefined;
}

function openTarget(flags: Flags): Target {
  if (flags.file !== undefined) {
    const file = resolve(flags.file);
    const directory = openDirectoryOf(file);
    // A new file may be made by a change; a list of one that is not there would look like an empty one.
    if (flags.value === undefined && flags.input === undefined && stat(directory, basename(file)) === undefined) {
      closeDir(directory);
      throw new MailhaulError('CONF_FILE', 'There is no such file.', { where: file });
    }
    return {
      db: openConfigDb(directory, { name: basename(file), owner: ownerOf(directory) }),
      directory,
      instance: undefined,
    };
  }
  const path = instanceOf(flags);
  const instance = openExisting(resolve(path), 'INSTANCE_MISSING', 'There is no 4.x instance here.');
  const config = join(resolve(path), 'config');
  try {
    const directory = openExisting(config, 'INSTANCE_MISSING', 'The instance has no configuration directory.');
    // Written last by whoever makes an instance (instance.ts): without it there is none yet, or a 3.x one.
    if (stat(directory, CONFIGDB) === undefined) {
      closeDir(directory);
      throw new MailhaulError('INSTANCE_MISSING', 'There is no 4.x configuration here.', {
        where: join(config, CONFIGDB),
        hint: 'Check the path; msg-setup and upgrade -s make an instance.',
      });
    }
    return {
      db: openConfigDb(directory, { owner: ownerOf(directory) }),
      directory,
      instance,
    };
  } catch (error) {
    closeDir(instance);
    throw error;
  }
}

function openDirectoryOf(file: string): Dir {
  if (basename(file) === '') throw usage('-f names no file.');
  return openExisting(dirname(file), 'CONF_FILE', 'The directory of the file cannot be opened.');
}

function openExisting(path: string, code: string, message: string): Dir {
  return openRootOr(path, (cause) => {
    const reason = hasErrno(cause, 'ENOENT', 'ENOTDIR') ? message : `${message} ${describeError(cause)}.`;
    throw new MailhaulError(code, reason, {
      where: path,
      hint: 'Check the path; msg-setup and upgrade -s make an instance.',
      cause,
    });
  });
}

function list(db: ConfigDb, prefix: string | undefined, language: string | null, flags: Flags): ExitCode {
  // All languages appear only in the list of everything (facts.md 4.1).
  const everything = prefix === undefined && language === null;
  const found = db
    .entries()
    .filter((entry) => (everything || matchesPrefix(entry, prefix ?? '', language)) && (flags.empty || entry.value))
    .sort((a, b) => compare(spell(a), spell(b)));
  if (flags.json) standardOutput.json({ options: found.map(toJson) });
  else for (const entry of found) standardOutput.write(`${spell(entry)}|${shown(entry.value)}\n`);
  return EXIT.ok;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function show(db: ConfigDb, key: OptionKey, flags: Flags): ExitCode {
  const entry = db.entry(key.option, key.language);
  if (entry === undefined) {
    throw new MailhaulError('CONF_NOT_SET', 'This option is not set.', { where: spell(key), exit: EXIT.partial });
  }
  if (flags.json) standardOutput.json(toJson(entry));
  else standardOutput.write(`${shown(entry.value)}\n`);
  return EXIT.ok;
}

/** The server account writes the file, so root's terminal gets no control characters of it; scripts get the value. */
function shown(value: string): string {
  return isatty(1) ? visible(value) : value;
}

async function change({ db, instance }: Target, entry: ConfigEntry): Promise<void> {
  // First: a reset is the reason for whatever else would refuse the change.
  if (instance !== undefined) await refuseUnfinishedReset(instance);
  const changes = changeSet(db, instance);
  try {
    await changes.add(entry);
    await changes.commit();
  } finally {
    changes.release();
  }
}

/** Lines that cannot be taken are reported with their number; all others are set in one change. */
async function readOptions(target: Target, input: string | true, flags: Flags): Promise<ExitCode> {
  const content = input === true ? await readStandardInput() : readInputFile(resolve(input));
  const name = input === true ? 'standard input' : input;
  const changes = changeSet(target.db, target.instance);
  try {
    const problems = await addLines(changes, content, name);
    await changes.commit();
    if (flags.json) standardOutput.json({ changed: changes.entries.map(spell), errors: problems });
    recordChanges(target, changes.entries, flags);
    return problems.length > 0 ? EXIT.partial : EXIT.ok;
  } finally {
    changes.release();
  }
}

/** @returns what is wrong with lines that were not taken in */
async function addLines(changes: ChangeSet, content: Buffer, name: string): Promise<Problem[]> {
  const problems: Problem[] = [];
  let number = 0;
  for (let start = 0; start < content.length; ) {
    const end = content.indexOf(0x0a, start);
    const raw = content.subarray(start, end < 0 ? content.length : end);
    start += raw.length + 1;
    number += 1;
    if (/^\s*(#|$)/.test(raw.subarray(0, 80).toString('latin1'))) continue;
    try {
      const entry = parseConfigLine(raw);
      if (entry === undefined) throw new MailhaulError('CONF_LINE', 'This is not an option|value line.');
      await changes.add(entry);
    } catch (error) {
      const problem = { ...toProblem(error), where: `${name}:${number}` };
      problems.push(problem);
      printError('configutil', new MailhaulError(problem.code, problem.message, { where: problem.where }));
    }
  }
  return problems;
}

function readInputFile(path: string): Buffer {
  const directory = openDirectoryOf(path);
  try {
    const content = readFile(directory, basename(path), INPUT_LIMIT);
    if (content === undefined) throw new MailhaulError('CONF_FILE', 'There is no such file.', { where: path });
    return content;
  } finally {
    closeDir(directory);
  }
}

async function readStandardInput(): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > INPUT_LIMIT) throw new MailhaulError('FS_TOO_LARGE', `The input is larger than ${INPUT_LIMIT} bytes.`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Names, never values, of what was changed go into the instance's log. */
function recordChanges(target: Target, keys: readonly OptionKey[], flags: Flags): void {
  if (target.instance === undefined || keys.length === 0) return;
  try {
    const level = flags.logLevel ?? target.db.get('logfile.default.loglevel') ?? DEFAULT_LOG_LEVEL;
    const owner = ownerOf(target.instance);
    const log = openLog({ instance: target.instance, owner, level: parseLogLevel(level), process: 'configutil' });
    for (const key of keys) log.write('General', 'Notice', `Option ${spell(key)} was changed.`);
    log.close();
  } catch (error) {
    const message = `The change was made but not logged: ${describeError(error)}`;
    printError('configutil', new MailhaulError('LOG_UNAVAILABLE', message));
  }
}

function spell(key: OptionKey): string {
  return key.language === null ? key.option : `${key.option};${key.language}`;
}

function toJson(entry: ConfigEntry): { option: string; language: string | null; value: string } {
  return { option: entry.option, language: entry.language, value: entry.value };
}

function toProblem(error: unknown): Problem {
  const code = error instanceof MailhaulError ? error.code : 'INTERNAL';
  const message = messageOf(error);
  return { code, message, where: (error instanceof MailhaulError ? error.where : undefined) ?? null };
}

await startIfMain(import.meta.url, 'configutil', configutil);
