/**
 * Set-up of a 4.x instance: what of a 3.x configuration is carried into configdb, and `msg-setup`.
 */
import { resolve } from 'node:path';
import { lookupAccount } from '../config/account.js';
import { checkValue, isOptionName, VALUE_LIMIT } from '../config/configdb.js';
import {
  createInstance,
  detectInstallation,
  type Installation,
  type InstanceSettings,
  instanceOptions,
  OPTION,
  openInstance,
  primaryPartitionPath,
} from '../config/instance.js';
import { checkIdentity } from '../config/privileges.js';
import { withoutPassword } from '../directory/url.js';
import { MailhaulError } from '../errors.js';
import { closeDir, type Dir, openRootOr } from '../fs/dir.js';
import { nsms3 } from '../source/nsms3/source.js';
import type { MailSource, SourceConfiguration } from '../source/types.js';

/** Options of the user directory in configdb. */
export const DIRECTORY_OPTION = {
  url: 'local.ugldapurl',
  baseDn: 'local.ugldapbasedn',
  bindDn: 'local.ugldapbinddn',
  passwordFile: 'local.ugldapbindpasswordfile',
} as const;

/** Prefix of options that hold 3.x keys this package does not know. */
const UNKNOWN_PREFIX = 'local.upgrade.unknown.';

/** Between the values of one: none begins or ends with it (docs/formats/instance.md). */
const VALUE_SEPARATOR = '\t';

/** Lines that one message lists. */
const LINES_LISTED = 20;

/** In the report of `msg-setup`, in place of a value that may be a secret. */
const NOT_SHOWN = '…';

/** Options of configdb that come from a 3.x configuration (docs/formats/instance.md); unset ones are left out. */
export function carriedOptions(configuration: SourceConfiguration): Map<string, string> {
  const { settings, directory } = configuration;
  const yesNo = (flag: boolean | null): string | null => (flag === null ? null : flag ? 'yes' : 'no');
  const wanted: [string, string | number | null][] = [
    [DIRECTORY_OPTION.url, directory.url],
    [DIRECTORY_OPTION.baseDn, directory.baseDn],
    [DIRECTORY_OPTION.bindDn, directory.bindDn],
    [DIRECTORY_OPTION.passwordFile, directory.bindPasswordFile],
    ['local.postmaster', settings.postmaster],
    ['service.smtp.port', settings.smtpPort],
    ['service.imap.port', settings.imapPort],
    ['service.pop.port', settings.popPort],
    ['service.http.port', settings.httpPort],
    // 3.x: 0 is no limit; 4.x: -1 is.
    ['store.defaultmailboxquota', settings.quotaDefault === 0 ? -1 : settings.quotaDefault],
    ['service.smtp.maxqueuetime', settings.maxQueueTime],
    ['service.smtp.allowbarelf', yesNo(settings.allowBareLf)],
    ['store.singlecopy', yesNo(settings.singleCopy)],
    ['logfile.default.loglevel', settings.logLevel],
    ['local.upgrade.postofficedirectory', configuration.postOfficeDirectory],
  ];
  const options = new Map<string, string>();
  for (const [option, value] of wanted) {
    if (value !== null && isOption(option, String(value))) options.set(option, String(value));
  }
  for (const [option, value] of unknownOptions(configuration).kept) options.set(option, value);
  return options;
}

interface UnknownOptions {
  readonly kept: ReadonlyMap<string, string>;
  /** Lines that no option can hold. */
  readonly lost: readonly number[];
}

/** The values of a key that comes several times are one option, in the order of the file, as far as it holds them. */
function unknownOptions({ unknown }: SourceConfiguration): UnknownOptions {
  const found = new Map<string, { readonly values: string[]; bytes: number }>();
  const lost: number[] = [];
  for (const { key, value, line } of unknown) {
    const option = unknownOption(key);
    const entry = found.get(option) ?? { values: [], bytes: -VALUE_SEPARATOR.length };
    // Counted, not joined for each line: a file may have hundreds of thousands of one key.
    const bytes = entry.bytes + VALUE_SEPARATOR.length + Buffer.byteLength(value);
    if (bytes > VALUE_LIMIT || !isOption(option, value)) {
      lost.push(line);
      continue;
    }
    entry.values.push(value);
    entry.bytes = bytes;
    found.set(option, entry);
  }
  const kept = new Map(Array.from(found, ([option, { values }]) => [option, values.join(VALUE_SEPARATOR)]));
  return { kept, lost };
}

/** 3.x text that a line of configdb cannot hold is not carried; it was no setting of 3.x either. */
function isOption(option: string, value: string): boolean {
  if (!isOptionName(option)) return false;
  try {
    checkValue(option, value);
    return value !== '';
  } catch {
    return false;
  }
}

/** What a new instance gets from a 3.x installation. */
export function settingsFrom(configuration: SourceConfiguration, from: string): InstanceSettings {
  return {
    hostName: configuration.hostName,
    serverUser: configuration.serverUser,
    serverGroup: configuration.serverGroup,
    from,
    options: carriedOptions(configuration),
  };
}

/** Opens a 3.x instance directory; FROM_MISSING (exit 3) when it is not there. */
export function openSourceInstance(from: string): Dir {
  return openRootOr(from, (error) => {
    throw new MailhaulError('FROM_MISSING', 'The 3.x instance directory cannot be opened.', {
      where: from,
      hint:
        `${error instanceof Error ? error.message : ''}. When it was moved, run \`upgrade -s --from <its new place>\`; ` +
        'when it is gone for good, --work-dir <directory of __upfolder.db> does for everything but `-s`.',
      cause: error,
    });
  });
}

export interface SetupOptions {
  /** 4.x instance directory to make. */
  readonly instance: string;
  /** 3.x instance directory to take the configuration from. */
  readonly from?: string | undefined;
  /** Each overrides what 3.x says. */
  readonly hostName?: string | undefined;
  readonly serverUser?: string | undefined;
  readonly serverGroup?: string | undefined;
  readonly ldapUrl?: string | undefined;
  readonly ldapBaseDn?: string | undefined;
  readonly ldapBindDn?: string | undefined;
  readonly ldapBindPasswordFile?: string | undefined;
  readonly dryRun?: boolean | undefined;
  readonly source?: MailSource;
}

/** Fields may be added, never removed or renamed (the `--json` promise). */
export interface SetupReport {
  readonly instance: string;
  readonly from: string | null;
  /** What was in the instance directory before. */
  readonly found: Installation;
  /** 3.x version, when there is a 3.x installation. */
  readonly version: string | null;
  readonly created: boolean;
  readonly dryRun: boolean;
  readonly serverUser: string;
  readonly serverGroup: string;
  readonly hostName: string;
  readonly primaryPartition: string;
  /** Options of configdb that were not there before, or would be written; `…` for values of unknown 3.x keys. */
  readonly options: Readonly<Record<string, string>>;
  readonly warnings: readonly string[];
}

/**
 * Makes a 4.x instance, or completes one. Options that configdb has keep their values: running it again
 * changes nothing.
 *
 * @throws MailhaulError SETUP_* (exit 2 for what a flag could have said), CONF_*, INSTANCE_*, RESET_UNFINISHED (exit 3)
 */
export async function setUpInstance(options: SetupOptions): Promise<SetupReport> {
  const instance = resolve(options.instance);
  const from = options.from === undefined ? null : resolve(options.from);
  const found = detectInstallation(instance);
  if (found === '3.x') {
    throw new MailhaulError('SETUP_IS_3X', 'The instance directory holds a 3.x instance.', {
      where: instance,
      hint: `Give the 4.x instance a directory of its own, and the 3.x one as --from ${instance}.`,
    });
  }
  if (found === '4.x' && options.dryRun !== true) {
    const { refuseDuringReset } = await import('./reset-mark.js');
    await refuseDuringReset(instance);
  }
  const configuration = from === null ? undefined : readSource(options.source ?? nsms3, from);
  const settings =
    found === '4.x'
      ? existingSettings(instance, configuration, from, options)
      : newSettings(configuration, from, options);
  const account = lookupAccount(settings.serverUser, settings.serverGroup);
  checkIdentity(account, settings.serverUser);
  const before = optionsOf(found === '4.x' ? instance : undefined);
  const dryRun = options.dryRun === true;
  if (!dryRun) (await createInstance(instance, settings)).close();
  const after = dryRun ? plannedOptions(instance, settings, before) : optionsOf(instance);
  return {
    instance,
    from,
    found,
    version: configuration?.version ?? null,
    created: found !== '4.x' && !dryRun,
    dryRun,
    serverUser: settings.serverUser,
    serverGroup: settings.serverGroup,
    hostName: settings.hostName,
    primaryPartition: primaryPartitionPath(instance),
    options: Object.fromEntries(
      [...after]
        .filter(([option]) => !before.has(option))
        .map(([option, value]) => [option, shownValue(option, value)]),
    ),
    warnings: warningsOf(configuration),
  };
}

/** What of an option goes to a terminal or into a log: nobody knows what a key that is not known holds. */
function shownValue(option: string, value: string): string {
  if (option.toLowerCase().startsWith(UNKNOWN_PREFIX)) return NOT_SHOWN;
  return option.toLowerCase() === DIRECTORY_OPTION.url ? withoutPassword(value) : value;
}

function readSource(source: MailSource, from: string): SourceConfiguration {
  const dir = openSourceInstance(from);
  try {
    return source.readConfiguration(dir);
  } finally {
    closeDir(dir);
  }
}

function unknownOption(key: string): string {
  return `${UNKNOWN_PREFIX}${key.toLowerCase()}`;
}

/**
 * What the reader of NscpMail.conf complained about; unknown keys, which are kept as options, are among it, and those that
 * no option can be.
 */
export function warningsOf(configuration: SourceConfiguration | undefined): string[] {
  if (configuration === undefined) return [];
  const { lost } = unknownOptions(configuration);
  const told = configuration.warnings.map(({ where, message }) =>
    where === '' ? `NscpMail.conf: ${message}` : `NscpMail.conf, ${where}: ${message}`,
  );
  if (lost.length === 0) return told;
  const lines = lost.slice(0, LINES_LISTED);
  const more = lost.length > lines.length ? ' and more' : '';
  return [
    ...told,
    `NscpMail.conf, lines ${lines.join(', ')}${more}: these keys cannot be kept, no option has such a name or value.`,
  ];
}

function newSettings(
  configuration: SourceConfiguration | undefined,
  from: string | null,
  options: SetupOptions,
): InstanceSettings {
  const carried = configuration === undefined ? new Map<string, string>() : carriedOptions(configuration);
  for (const [option, value] of directoryFlags(options)) carried.set(option, value);
  return {
    hostName: options.hostName ?? configuration?.hostName ?? needed('SETUP_HOST_NAME', '--host-name'),
    serverUser: options.serverUser ?? configuration?.serverUser ?? needed('SETUP_SERVER_USER', '--server-user'),
    serverGroup: options.serverGroup ?? configuration?.serverGroup ?? needed('SETUP_SERVER_GROUP', '--server-group'),
    from,
    options: carried,
  };
}

/** An instance keeps its account and host; only what is missing is added. */
function existingSettings(
  path: string,
  configuration: SourceConfiguration | undefined,
  from: string | null,
  options: SetupOptions,
): InstanceSettings {
  const instance = openInstance(path);
  try {
    const { user, group } = instance.account;
    const hostName = instance.config.get(OPTION.hostName) ?? options.hostName ?? configuration?.hostName ?? '';
    const asked = { ...options, hostName, serverUser: user, serverGroup: group };
    return newSettings(configuration, from, asked);
  } finally {
    instance.close();
  }
}

function needed(code: string, flag: string): never {
  throw new MailhaulError(code, `A new instance needs ${flag}, or --from with a 3.x instance that says it.`, {
    exit: 2,
  });
}

function directoryFlags(options: SetupOptions): [string, string][] {
  const flags: [string, string | undefined][] = [
    [DIRECTORY_OPTION.url, options.ldapUrl],
    [DIRECTORY_OPTION.baseDn, options.ldapBaseDn],
    [DIRECTORY_OPTION.bindDn, options.ldapBindDn],
    [DIRECTORY_OPTION.passwordFile, options.ldapBindPasswordFile],
  ];
  return flags.filter((flag): flag is [string, string] => flag[1] !== undefined);
}

function optionsOf(instance: string | undefined): Map<string, string> {
  if (instance === undefined) return new Map();
  const opened = openInstance(instance);
  try {
    return new Map(opened.config.entries().map(({ option, value }) => [option, value]));
  } finally {
    opened.close();
  }
}

function plannedOptions(
  instance: string,
  settings: InstanceSettings,
  before: ReadonlyMap<string, string>,
): Map<string, string> {
  const planned = new Map(before);
  const present = new Set([...before.keys()].map((option) => option.toLowerCase()));
  for (const [option, value] of instanceOptions(instance, settings)) {
    if (!present.has(option.toLowerCase())) planned.set(option, value);
  }
  return planned;
}
