/** What the tests of a repeated `upgrade -s` share: a store on which it has run once. */
import { INDEX, run, type SmallStore, smallStore } from './small-store.js';

/** The clock of the first run, seconds. */
export const NOW = 2_000_000_000;

export interface RerunStore {
  readonly store: SmallStore;
  /** anna's store path, which makes the partition `sales`; fred is in the default one. */
  readonly disk: string;
}

export async function rerunStore(): Promise<RerunStore> {
  const store = smallStore();
  const disk = store.storePath('mail/sales');
  store.user('fred');
  store.user('anna', { mailMessageStore: disk });
  store.folder(store.mailbox, 'fred', 'INBOX', INDEX(10));
  store.folder(store.mailbox, 'fred', 'Work', INDEX(11));
  store.folder(disk, 'anna', 'INBOX', INDEX(12));
  store.finish();
  await run(store, { now: NOW });
  return { store, disk };
}
