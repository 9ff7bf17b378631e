/**
 * What `upgrade --verify` finds, what each finding means, and what to do about it. The advice is printed with the
 * findings and stands, word for word, in the table of docs/operations.md.
 */

/**
 * `error`: something is not as it must be. `open`: nobody can say yet, because a folder waits or is being worked on.
 * Either makes the exit code 1. `note`: worth knowing, and changes nothing.
 */
export type Severity = 'error' | 'open' | 'note';

const MIGRATE = '`upgrade -m`; `upgrade --status` lists what failed and why';
const AGAIN =
  'verify again when that process has ended; a rename or delete that was stopped is finished by `upgrade -m`';
const RESTORE = 'restore the 4.x files from 3.x or from a backup; do not run `-r` before';
const RESTORE_OR_CORRECT =
  'correct owner and mode where the report names them too; else restore it from 3.x or from a backup; do not run `-r` before';
const REPORT =
  'index and 3.x disagree: do not run `-r`, and report it; only a 3.x file changed since by hand is harmless';
const COMPARE = 'compare the 3.x file with the 4.x message before `-r`';
const BRING = 'a 3.x server ran since: `upgrade -s` and `upgrade -m` take new folders; deliver single messages by hand';
const REPAIR_SOURCE = 'repair owner, mode or disk of the 3.x file, then verify again';
const FOREIGN = 'run `upgrade --verify` as root, which may read the files of other accounts';
const OWNERSHIP = 'somebody else was here: correct owner and mode';
const STRANGER = 'look at the file, then move it away';
const LEFTOVER = 'a killed run left it: `upgrade -m` once more; what is still there afterwards can be moved away';
const DATABASES =
  'restore `store/mboxlist` and `__upfolder.db` together from a backup; `upgrade -s` makes missing entries again';
const CONFIGURE =
  'if the mapping has a wrong store path for the user, restore both databases from a backup; else `upgrade -s` writes `upgrade4x.conf` and the partition paths anew';
const RIGHTS = 'set it again in 4.x as it is in 3.x, unless somebody changed it there on purpose';
const NOTHING = 'nothing';
const SPACE = 'nothing is lost, but the message takes space more than once';
const REGISTRY = 'the next `upgrade -m` removes the registry';
const OUTSIDE = 'nothing, when a backup was made with hard links (`cp -al`); else find out who holds the names';

export interface CodeInfo {
  readonly severity: Severity;
  readonly meaning: string;
  /** What to do. */
  readonly advice: string;
}

const error = (meaning: string, advice: string): CodeInfo => ({ severity: 'error', meaning, advice });
const open = (meaning: string, advice: string): CodeInfo => ({ severity: 'open', meaning, advice });
const note = (meaning: string, advice: string): CodeInfo => ({ severity: 'note', meaning, advice });

/** Codes are part of the `--json` promise: added, never renamed. In the order in which a report lists them. */
export const VERIFY_CODES = {
  VERIFY_MESSAGE_MISSING: error('a message of the index has no file', RESTORE),
  VERIFY_MESSAGE_UNREADABLE: error('a message file or its directory cannot be read', RESTORE_OR_CORRECT),
  VERIFY_CONTENT: error('a message file is not what the index was made from', RESTORE),
  VERIFY_SIZE: error('a message file has another size than the index or the migration record says', RESTORE),
  VERIFY_CRLF: error('a message has line ends that are not CRLF', RESTORE),
  VERIFY_STRUCTURE: error('a fresh parse gives another envelope, structure or header than the index holds', RESTORE),
  VERIFY_INDEX: error('an index or its journal is damaged, or they do not belong together', RESTORE),
  VERIFY_DIRECTORY_MISSING: error('a directory of the store is missing or cannot be read', RESTORE_OR_CORRECT),
  VERIFY_COUNT: error('index and migration record do not list the same messages', REPORT),
  VERIFY_DOUBLED: error('one 3.x message is in 4.x twice, or two are one', REPORT),
  VERIFY_UID: error('a message has another uid than in 3.x', REPORT),
  VERIFY_UIDVALIDITY: error('uidvalidity is not the same everywhere', REPORT),
  VERIFY_UIDNEXT: error('uidnext is not the same everywhere', REPORT),
  VERIFY_FLAGS: error('a message has other flags or keywords than in 3.x', REPORT),
  VERIFY_DATE: error('a message has another date than in 3.x', REPORT),
  VERIFY_ACL: error('the access rights of a mailbox are not those of 3.x', RIGHTS),
  VERIFY_SUBSCRIPTIONS: error('a 3.x subscription is missing', RIGHTS),
  VERIFY_SOURCE_CONTENT: error('a 3.x file holds another message than 4.x', COMPARE),
  VERIFY_SOURCE_CHANGED: error('a 3.x file is not what was migrated any more', COMPARE),
  VERIFY_SOURCE_LEFT: error('a 3.x file is there although `-r` is on record as done', COMPARE),
  VERIFY_SOURCE_NEW: error('a 3.x message that nobody has migrated', BRING),
  VERIFY_FOLDER_UNKNOWN: error('a 3.x folder that `-s` has not seen', BRING),
  VERIFY_SOURCE_UNREADABLE: error('something of 3.x cannot be read', REPAIR_SOURCE),
  VERIFY_NOT_MIGRATED: error('a message failed; it is in 3.x still', MIGRATE),
  VERIFY_FAILURES: error('a failure on record does not fit what is there', MIGRATE),
  VERIFY_OWNER: error('a file or directory is not the server account’s', OWNERSHIP),
  VERIFY_MODE: error('a file or directory has another mode than it must', OWNERSHIP),
  VERIFY_UNKNOWN_FILE: error('a file or directory that does not belong there', STRANGER),
  VERIFY_LEFTOVER: error('a temporary file or directory of a migration', LEFTOVER),
  VERIFY_DATABASES: error('mapping and mailbox database do not agree', DATABASES),
  VERIFY_FOLDER_MISSING: error('a folder of the mapping has no mailbox', DATABASES),
  VERIFY_CONFIGURATION: error('`upgrade4x.conf` or configdb has something else than the databases', CONFIGURE),
  VERIFY_RECORD: error('a value of a database cannot be read', DATABASES),
  VERIFY_SUMMARY: error('the mailbox database has other counts than the index', DATABASES),
  VERIFY_ADMIN: error('the copy of the mailbox record in the index is not that of this mailbox', DATABASES),
  VERIFY_QUOTA: error('quota limit or use is not what the mapping and the mailboxes say', DATABASES),
  VERIFY_SINGLE_COPY: error('a message that was one file in 3.x is several in 4.x', SPACE),
  VERIFY_WAITING: open('a folder waits for its migration', MIGRATE),
  VERIFY_IN_FLIGHT: open('a mailbox that another process works on, or was stopped at, could not be judged', AGAIN),
  VERIFY_SOURCE_FOREIGN: open('a 3.x file of another account cannot be read to compare it', FOREIGN),
  VERIFY_SOURCE_REPLACED: note('another 3.x file than the one that was migrated, with the same content', NOTHING),
  VERIFY_SOURCE_GONE: note('a 3.x folder or store path is not there any more', NOTHING),
  VERIFY_CHANGED_SINCE: note('4.x differs from 3.x where services or users have changed it since', NOTHING),
  VERIFY_STALE_FILE: note(
    'a message file or a half-written file that a stopped service left; it is in no index',
    NOTHING,
  ),
  VERIFY_MAILBOX_GONE: note('a mailbox was deleted or renamed in 4.x since it was migrated', NOTHING),
  VERIFY_SINGLE_LEFT: note('the registry of shared copies was not emptied', REGISTRY),
  VERIFY_LINKS: note('message files have names outside both stores', OUTSIDE),
} as const satisfies Readonly<Record<string, CodeInfo>>;

export type VerifyCode = keyof typeof VERIFY_CODES;

export const CODE_ORDER = Object.keys(VERIFY_CODES) as VerifyCode[];
