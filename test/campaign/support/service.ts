/** What a 4.x service does to mailboxes, by the library's calls, in this process. */
import { openInstance } from '../../../src/config/instance.js';
import { openMailboxDatabase } from '../../../src/store/database.js';
import { changeMailbox, type Delivery } from '../../../src/store/mailbox/change.js';
import type { MailStore } from '../../../src/store/mailbox/held.js';
import { createMailbox, deleteMailbox, renameMailbox } from '../../../src/store/mailbox/names.js';

export interface Service {
  readonly store: MailStore;
  /** Appends messages; returns their uids. */
  append(mailbox: string, ...messages: (string | Delivery)[]): Promise<number[]>;
  /** The system flags (FLAG bits) and keywords of a message. */
  flag(mailbox: string, uid: number, flags: number, ...keywords: string[]): Promise<void>;
  expunge(mailbox: string, ...uids: number[]): Promise<void>;
  /** Opens the mailbox for writing and changes nothing. */
  open(mailbox: string): Promise<void>;
  create(mailbox: string, like: string): Promise<void>;
  delete(mailbox: string): Promise<void>;
  rename(mailbox: string, to: string): Promise<void>;
}

/** Opens the databases of a 4.x instance, lets `use` act, closes them. */
export async function asService<T>(instancePath: string, use: (service: Service) => Promise<T>): Promise<T> {
  const instance = openInstance(instancePath);
  const mailboxes = await openMailboxDatabase(instance.mboxlist, { owner: instance.owner });
  const store: MailStore = { mailboxes, owner: instance.owner };
  try {
    return await use({
      store,
      append: (mailbox, ...messages) =>
        changeMailbox(store, mailbox, (changes) =>
          messages.map((message) =>
            changes.append(
              typeof message === 'string' ? { content: Buffer.from(message), internalDate: 1_000_000_000 } : message,
            ),
          ),
        ),
      flag: (mailbox, uid, flags, ...keywords) =>
        changeMailbox(store, mailbox, (changes) => changes.setFlags(uid, flags, keywords)),
      expunge: (mailbox, ...uids) =>
        changeMailbox(store, mailbox, (changes) => {
          for (const uid of uids) changes.expunge(uid);
        }),
      open: (mailbox) => changeMailbox(store, mailbox, () => undefined),
      async create(mailbox, like) {
        const record = mailboxes.get(like);
        if (record?.root == null) throw new Error(`${like} is no migrated mailbox`);
        await createMailbox(store, mailbox, { owner: record.owner, partition: record.partition, root: record.root });
      },
      delete: (mailbox) => deleteMailbox(store, mailbox),
      rename: (mailbox, to) => renameMailbox(store, mailbox, to),
    });
  } finally {
    await mailboxes.close();
    await instance.close();
  }
}
