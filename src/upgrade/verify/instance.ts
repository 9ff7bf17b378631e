/**
 * Owner and mode of what is neither mail nor index: the instance's directories, configdb, log, lock and databases, and
 * the files of `-s` in the 3.x mailbox directory. Runs before the process becomes the server account, which may not
 * be able to look at what is wrong.
 */
import type { Instance } from '../../config/instance.js';
import { describeError, hasErrno } from '../../errors.js';
import { closeDir, type Dir, displayPath, entries, fstat, stat } from '../../fs/dir.js';
import { walk } from '../../fs/walk.js';
import { MAILBOX_DATABASE_FILE } from '../../store/database.js';
import { UPGRADE_CONF } from '../folders-files.js';
import { MAPPING_DATABASE_FILE } from '../mapping/database.js';
import { ownershipProblems, rethrowDefect, rethrowLack } from './context.js';
import { type Findings, NO_SUBJECT } from './findings.js';

interface InstanceDirectory {
  readonly path: readonly string[];
  /** Which of its files are looked at. */
  readonly files?: (name: string) => boolean;
  /** All names that belong there; absent: the operator may keep files of his own there. */
  readonly names?: readonly string[];
}

/** Directories of an instance (docs/formats/instance.md). */
const DIRECTORIES: readonly InstanceDirectory[] = [
  { path: [] },
  { path: ['config'], files: (name) => name === 'configdb' },
  { path: ['log'] },
  { path: ['log', 'default'], files: () => true },
  { path: ['lock'], files: () => true },
  { path: ['queue'] },
  { path: ['queue', 'active'] },
  { path: ['queue', 'deferred'] },
  { path: ['store'], names: ['mboxlist', 'user', 'partition'] },
  {
    path: ['store', 'mboxlist'],
    files: () => true,
    names: [MAILBOX_DATABASE_FILE, `${MAILBOX_DATABASE_FILE}-lock`],
  },
  { path: ['store', 'user'], names: [] },
  { path: ['store', 'partition'] },
];

export function verifyInstance(findings: Findings, instance: Instance): void {
  for (const { path, files, names } of DIRECTORIES) {
    let dir: Dir;
    try {
      dir = walk(instance.dir, path);
    } catch (error) {
      rethrowLack(error);
      const where = [instance.path, ...path].join('/');
      const what = hasErrno(error, 'ENOENT') ? 'It is missing' : `It cannot be opened: ${describeError(error)}`;
      findings.add(NO_SUBJECT, 'VERIFY_DIRECTORY_MISSING', where, `${what}.`);
      continue;
    }
    try {
      const where = [instance.path, ...path].join('/');
      for (const { code, text } of ownershipProblems(fstat(dir), instance.owner)) {
        findings.add(NO_SUBJECT, code, where, text);
      }
      if (files !== undefined) verifyFiles(findings, instance.owner, dir, files);
      if (names !== undefined) verifyNoStrangers(findings, dir, names);
    } catch (error) {
      rethrowDefect(error);
      findings.add(NO_SUBJECT, 'VERIFY_DIRECTORY_MISSING', dir.path, `It cannot be read: ${describeError(error)}.`);
    } finally {
      closeDir(dir);
    }
  }
}

/** What `-s` wrote beside the 3.x mail. Other files of that directory are not ours. */
export function verifyWorkDirectory(findings: Findings, owner: Instance['owner'], workDir: Dir): void {
  const ours = new Set([MAPPING_DATABASE_FILE, `${MAPPING_DATABASE_FILE}-lock`, UPGRADE_CONF]);
  verifyFiles(findings, owner, workDir, (name) => ours.has(name) || /^__up\..*\.txt$/s.test(name));
}

function verifyFiles(findings: Findings, owner: Instance['owner'], dir: Dir, isOurs: (name: string) => boolean): void {
  for (const { name: bytes } of entries(dir)) {
    if (!isOurs(bytes.toString('utf8'))) continue;
    const found = stat(dir, bytes);
    if (found === undefined) continue;
    const where = displayPath(dir, bytes);
    if (!found.isFile()) findings.add(NO_SUBJECT, 'VERIFY_UNKNOWN_FILE', where, 'A regular file was expected.');
    else for (const { code, text } of ownershipProblems(found, owner)) findings.add(NO_SUBJECT, code, where, text);
  }
}

function verifyNoStrangers(findings: Findings, dir: Dir, known: readonly string[]): void {
  for (const { name: bytes } of entries(dir)) {
    if (known.includes(bytes.toString('latin1'))) continue;
    const text = 'This does not belong into this directory.';
    findings.add(NO_SUBJECT, 'VERIFY_UNKNOWN_FILE', displayPath(dir, bytes), text);
  }
}
