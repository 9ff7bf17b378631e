/** A folder of a small store as a run sees it, before its threads do anything. */
import { type FolderPlaces, placesOf, prepareTaskOf } from '../../src/upgrade/folder-places.js';
import type { Roots } from '../../src/upgrade/roots.js';
import { openSession, type Session } from '../../src/upgrade/session.js';
import type { PrepareFolder } from '../../src/upgrade/tasks.js';
import { run, type SmallStore } from './small-store.js';

/** After `-s` of all that the store has by now. */
export async function beginSession(store: SmallStore): Promise<Session> {
  store.finish();
  await run(store);
  return openSession({ instance: store.instance }, 'test');
}

/** Where the folder comes from and goes to, and what the threads are asked for. */
export function taskOf(
  session: Session,
  roots: Roots,
  mailbox: string,
): { readonly places: FolderPlaces; readonly task: PrepareFolder } {
  const { mapping, mailboxes, instance } = session;
  const folder = mapping.folderByMailbox(mailbox);
  if (folder === undefined) throw new Error(`there is no folder ${mailbox}`);
  const partitionPath = (name: string): string => instance.partitionPath(name) ?? '';
  const places = placesOf({ mapping, mailboxes, roots, owner: instance.owner, partitionPath }, folder);
  return { places, task: prepareTaskOf(session, folder, places) };
}
