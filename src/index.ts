/**
 * The library: everything that the commands use, for programs that migrate, inspect or serve a store.
 * What is exported here is the public surface; other modules may change between minor versions.
 *
 * (The line after each heading keeps the formatter from sorting across it.)
 */

// Instance, configuration, log, errors.

export { lookupAccount } from './config/account.js';
export { type ConfigDb, openConfigDb } from './config/configdb.js';
export { createInstance, type Instance, openInstance } from './config/instance.js';
export { checkOptionChange } from './config/rules.js';
export { describeError, EXIT, type ExitCode, MailhaulError } from './errors.js';
export { type Log, type LogLevel, memoryLog, nullLog, openLog } from './log/log.js';

// The directory of users, and the 3.x source.

export { openDirectory } from './directory/open.js';
export type { UserDirectory } from './directory/types.js';
export { nsms3 } from './source/nsms3/source.js';
export type { MailSource } from './source/types.js';

// Engines and messages.

export { type EngineChoice, selectEngine } from './engine/engines.js';
export { crlfForm } from './engine/message/crlf.js';
export { parseMessage } from './engine/message/parse.js';
export type { EngineInput, EngineOutput, FolderEngine } from './engine/types.js';
export { loadAddon, type NativeAddon } from './fs/addon.js';

// The 4.x store.

export { openMailboxDatabase } from './store/database.js';
export { changeMailbox, type Delivery, type MailboxChanges } from './store/mailbox/change.js';
export type { MailStore } from './store/mailbox/held.js';
export { createMailbox, deleteMailbox, type NewMailbox, renameMailbox } from './store/mailbox/names.js';
export { mailboxPathComponents, userHash } from './store/names.js';
export type { AclEntry, FolderState, MailboxDatabase, MailboxRecord, QuotaRecord } from './store/types.js';

// Migration.

export { type FoldersOptions, upgradeFolders } from './upgrade/folders.js';
export type { FolderProblem, FoldersReport, PartitionReport } from './upgrade/folders-report.js';
export type { LimitsChange, RunLimits } from './upgrade/limits.js';
export { openMappingDatabase } from './upgrade/mapping/database.js';
export { migrateMailbox, type OnAccessOptions } from './upgrade/onAccess.js';
export { exitCodeOf, type MessagesReport, type RunError } from './upgrade/report.js';
export {
  type Refusal,
  type ResetOptions,
  type ResetProgress,
  type ResetReport,
  type ResetStep,
  resetStore,
} from './upgrade/reset.js';
export { openSession, type Session, type SessionOptions } from './upgrade/session.js';
export { type StatusReport, upgradeStatus } from './upgrade/status.js';
export { type SurveyReport, surveyExitCode, surveyMessages } from './upgrade/survey.js';
export type { ThrottleReport } from './upgrade/throttle.js';
export { type ThrottleChangeReport, throttleRunning } from './upgrade/throttleRunning.js';
export type { MappingDatabase, MappingFolder, MappingUser, MessageFailure, MigrationRecord } from './upgrade/types.js';
export { type MessagesOptions, type RunControls, upgradeMessages } from './upgrade/upgradeMessages.js';
export { type VerifyOptions, type VerifyReport, verifyStore } from './upgrade/verify.js';
