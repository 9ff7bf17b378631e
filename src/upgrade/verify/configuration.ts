/**
 * configdb and `upgrade4x.conf` against the databases. They were written by the same `upgrade -s`, so each is the
 * witness of the other: a 3.x store path that was damaged in one of them would otherwise pass for a disk that was taken
 * away (docs/operations.md, "Originals that are gone").
 */
import { statSync } from 'node:fs';
import { type Instance, OPTION, partitionPathOption } from '../../config/instance.js';
import { describeError, hasErrno } from '../../errors.js';
import type { Dir } from '../../fs/dir.js';
import { readUpgradeConf, storePathsOnRecord, UPGRADE_CONF } from '../folders-files.js';
import type { Session } from '../session.js';
import { rethrowDefect } from './context.js';
import { type Findings, NO_SUBJECT } from './findings.js';
import type { VerifyPartition } from './report.js';

/** As it was when the verification began: the server account may not be able to read it. */
export interface Configuration {
  /** Configured path of a partition; undefined: there is no such partition. */
  partitionPath(name: string): string | undefined;
  /** Options of `upgrade4x.conf`; undefined: it is not there, or cannot be read, which is reported. */
  readonly upgradeConf: ReadonlyMap<string, string> | undefined;
  /** The 3.x store paths that it has for each partition, former ones too. */
  readonly storePaths: ReadonlyMap<string, ReadonlySet<string>>;
}

export function readConfiguration(findings: Findings, instance: Instance, workDir: Dir): Configuration {
  const paths = new Map(
    instance.config.getByPrefix('store.partition.').map(({ option, value }) => [option.toLowerCase(), value]),
  );
  const upgradeConf = readConf(findings, workDir);
  return {
    partitionPath: (name) => paths.get(partitionPathOption(name).toLowerCase()),
    upgradeConf,
    storePaths: storePathsOnRecord(upgradeConf ?? new Map()),
  };
}

function readConf(findings: Findings, workDir: Dir): ReadonlyMap<string, string> | undefined {
  const where = `${workDir.path}/${UPGRADE_CONF}`;
  try {
    const conf = readUpgradeConf(workDir);
    if (conf.size > 0) return conf;
    findings.add(NO_SUBJECT, 'VERIFY_CONFIGURATION', where, 'It is missing or empty.');
  } catch (error) {
    rethrowDefect(error);
    findings.add(NO_SUBJECT, 'VERIFY_CONFIGURATION', where, `It cannot be read: ${describeError(error)}.`);
  }
  return undefined;
}

/** What is about no single user (that is in databases.ts). */
export function verifyConfiguration(
  findings: Findings,
  { instance, meta, workDir }: Pick<Session, 'instance' | 'meta' | 'workDir'>,
  { upgradeConf: conf }: Configuration,
): void {
  const differ = (where: string, text: string): void => findings.add(NO_SUBJECT, 'VERIFY_CONFIGURATION', where, text);
  const from = instance.config.get(OPTION.from);
  if (from !== meta.from) {
    differ(`configdb, ${OPTION.from}`, `It is ${from ?? 'not set'}; the mapping database has ${meta.from}.`);
  }
  if (conf === undefined) return;
  const expected: readonly (readonly [string, string])[] = [
    ['upgrade.version', '1'],
    ['upgrade.from', meta.from],
    ['upgrade.hostname', meta.hostName],
    ['upgrade.mailboxdirectory', meta.mailboxDirectory],
    ['upgrade.serveruser', meta.serverUser],
    ['upgrade.servergroup', meta.serverGroup],
  ];
  const said = (name: string): string => conf.get(name) ?? 'not there';
  const where = (name: string): string => `${workDir}/${UPGRADE_CONF}, ${name}`;
  for (const [name, value] of expected) {
    if (conf.get(name) !== value) differ(where(name), `It is ${said(name)}; the mapping database has ${value}.`);
  }
  if (!isSamePlace(conf.get('upgrade.workdir'), workDir)) {
    differ(where('upgrade.workdir'), `It is ${said('upgrade.workdir')}, another directory than this one.`);
  }
  // An instance that was moved is still the same (instance.md); configdb has the place where it was made.
  const places = [instance.path, instance.config.get(OPTION.instance)];
  if (!places.some((place) => place !== undefined && isSamePlace(conf.get('upgrade.instance'), place))) {
    differ(where('upgrade.instance'), `It is ${said('upgrade.instance')}, not this instance, ${instance.path}.`);
  }
  if (!/^(?:yes|no)$/.test(said('upgrade.removemessages'))) {
    differ(where('upgrade.removemessages'), `It is ${said('upgrade.removemessages')}, neither yes nor no.`);
  }
}

/** Where mailboxes lie is fixed, and configdb may not say otherwise (instance.md, Partitions). */
export function verifyPartitionPaths(
  findings: Findings,
  { partitionPath }: Configuration,
  partitions: Iterable<VerifyPartition>,
): void {
  for (const { name, path } of partitions) {
    const configured = partitionPath(name);
    if (configured === path) continue;
    const text = `Its path is ${configured ?? 'not set'}, but it has mailboxes in ${path}.`;
    findings.add(NO_SUBJECT, 'VERIFY_CONFIGURATION', `configdb, ${partitionPathOption(name)}`, text);
  }
}

function isSamePlace(recorded: string | undefined, path: string): boolean {
  if (recorded === undefined || recorded === path) return recorded === path;
  try {
    const [a, b] = [statSync(recorded, { bigint: true }), statSync(path, { bigint: true })];
    return a.dev === b.dev && a.ino === b.ino;
  } catch (error) {
    if (hasErrno(error, 'ENOENT', 'ENOTDIR', 'EACCES')) return false;
    throw error;
  }
}
