/** The 3.x profile as a `MailSource` (3x-profile.md). */
import type { MailSource } from '../types.js';
import { readAcl } from './acl.js';
import { readConfiguration } from './configuration.js';
import { listFolders } from './folders.js';
import { lockHolders, tryLockFolder } from './lock.js';
import { lookAtIndex, readIndex, withPlainIndex } from './mailbox.js';
import { serverState } from './running.js';
import { readSubscriptions } from './subscriptions.js';

export const nsms3: MailSource = {
  format: 'nsms3',
  readConfiguration,
  serverState,
  listFolders,
  lookAtIndex,
  readIndex,
  withPlainIndex,
  readAcl,
  readSubscriptions,
  tryLockFolder,
  lockHolders,
};
