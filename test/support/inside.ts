/**
 * Single modules of the project for processes that tests start: built as one file, dist/test/inside.js (src/bundle.mjs), so
 * that a script starts as fast as a command does and all that it imports shares one state, such as armed faults.
 */

export { instanceOf, makeCommand, runCommand, standardOutput, usageError } from '../../src/cli/common.js';
export { mboxutil } from '../../src/cli/mboxutil.js';
export { upgrade } from '../../src/cli/upgrade-command.js';
export { lookupAccount } from '../../src/config/account.js';
export { openConfigDb } from '../../src/config/configdb.js';
export { openInstance } from '../../src/config/instance.js';
export { accountIdsByCommand } from '../../src/config/nss.js';
export { becomeAccount } from '../../src/config/privileges.js';
export { lockStore } from '../../src/config/store-lock.js';
export { EXIT, MailhaulError } from '../../src/errors.js';
export { createFile, openRoot } from '../../src/fs/dir.js';
export { armPace, settle, spent } from '../../src/fs/pace.js';
export { armFaults, parseFaultPlan } from '../../src/fs/seam.js';
export { syncFileSystem } from '../../src/fs/syncfs.js';
export { openLog } from '../../src/log/log.js';
export { cacheOf, compile, sealed } from '../../src/script.js';
export { openMailboxDatabase } from '../../src/store/database.js';
export { changeMailbox } from '../../src/store/mailbox/change.js';
export { createMailbox, deleteMailbox, renameMailbox } from '../../src/store/mailbox/names.js';
export { upgradeFolders } from '../../src/upgrade/folders.js';
export { upgradeMessages } from '../../src/upgrade/upgradeMessages.js';
