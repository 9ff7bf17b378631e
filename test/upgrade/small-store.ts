/** A small 3.x installation made by hand, for tests of single rules. Everything lies below one mkdtemp. */
import * as fs from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { spawnSync } from 'node:child_process';

export const HOST = 'mail.example.com';

/** The account that owns the store: `mail` when the tests run as root, else whoever runs them. */
export const ACCOUNT = serverAccount();

function serverAccount(): { user: string; group: string; uid: number; gid: number } {
  const { username, uid, gid } = userInfo();
  if (uid === 0) return { user: 'mail', group: 'mail', uid: idOf('-u', 'mail'), gid: idOf('-g', 'mail') };
  const group = spawnSync('id', ['-gn'], { encoding: 'utf8' }).stdout.trim();
  return { user: username, group, uid, gid };
}

function idOf(flag: string, user: string): number {
  return Number(spawnSync('id', [flag, user], { encoding: 'utf8' }).stdout);
}

export interface SmallStore {
  readonly root: string;
  /** 3.x instance directory. */
  readonly from: string;
  /** MailboxDirectory. */
  readonly mailbox: string;
  /** 4.x instance directory; not made. */
  readonly instance: string;
  readonly ldif: string;
  /** Another store path below the root, made. */
  storePath(name: string): string;
  /** A user's entry for the LDIF file; the mailbox directory is not made. */
  user(uid: string, extra?: Readonly<Record<string, string>>): void;
  /** A folder directory with its `.mailbox`; `index` null: none. Returns its path. */
  folder(storePath: string, uid: string, path: string | Buffer, index?: string | null): string;
  /** Writes the LDIF file and gives everything to the server account. */
  finish(): void;
  configure(settings: Readonly<Record<string, string>>): void;
  remove(): void;
}

export const INDEX = (uidvalidity: number, uidnext = 1): string => `NSMB 3 ${uidvalidity} ${uidnext}\n`;

export function smallStore(): SmallStore {
  const root = fs.mkdtempSync(join(tmpdir(), 'mailhaul-s-'));
  fs.chmodSync(root, 0o755);
  const from = join(root, 'server3/msg-old');
  const mailbox = join(root, 'mail/default');
  const ldif = join(root, 'users.ldif');
  const entries: string[] = [];
  const settings: Record<string, string> = {
    Version: '3.6',
    HostName: HOST,
    MailboxDirectory: mailbox,
    ServerUser: ACCOUNT.user,
    ServerGroup: ACCOUNT.group,
  };
  fs.mkdirSync(join(from, 'config'), { recursive: true });
  fs.mkdirSync(mailbox, { recursive: true });
  const store: SmallStore = {
    root,
    from,
    mailbox,
    ldif,
    instance: join(root, 'server4/msg-new'),
    storePath(name) {
      const path = join(root, name);
      fs.mkdirSync(path, { recursive: true });
      return path;
    },
    user(uid, extra = {}) {
      const lines = Object.entries(extra).map(([name, value]) => `${name}: ${value}\n`);
      entries.push(
        `dn: cn=${entries.length},o=test\nobjectClass: mailRecipient\nuid: ${uid}\nmailHost: ${HOST}\n` +
          `mailDeliveryOption: mailbox\n${lines.join('')}\n`,
      );
    },
    folder(storePath, uid, path, index = INDEX(100)) {
      const directory = Buffer.concat([Buffer.from(`${storePath}/${uid}/`), Buffer.from(path)]);
      fs.mkdirSync(directory, { recursive: true });
      if (index !== null) fs.writeFileSync(Buffer.concat([directory, Buffer.from('/.mailbox')]), index);
      return directory.toString();
    },
    configure: (changes) => Object.assign(settings, changes),
    finish() {
      const lines = Object.entries(settings).map(([key, value]) => `${key}: ${value}\n`);
      fs.writeFileSync(join(from, 'config/NscpMail.conf'), lines.join(''));
      fs.writeFileSync(ldif, entries.join(''));
      if (process.getuid?.() === 0) spawnSync('chown', ['-R', '-h', `${ACCOUNT.uid}:${ACCOUNT.gid}`, dirname(mailbox)]);
    },
    remove: () => fs.rmSync(root, { recursive: true, force: true }),
  };
  return store;
}
