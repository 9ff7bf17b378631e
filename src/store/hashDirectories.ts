/** The hash directories of one mailbox directory (layout.ts), for looks at message after message in the order of uids. */
import { closeDir, type Dir } from '../fs/dir.js';
import { walkIfThere } from '../fs/walk.js';
import { hashDirectory } from './layout.js';

/** The one used last is held: a look at the next message opens nothing. */
export class HashDirectories {
  private name = '';
  private dir: Dir | undefined;

  /** @param open how one is opened; undefined: there is none */
  constructor(
    private readonly mailbox: Dir,
    private readonly open: (mailbox: Dir, name: string) => Dir | undefined = (dir, name) => walkIfThere(dir, [name]),
  ) {}

  /** Where the file of message `uid` belongs; undefined when there is no such directory. Valid until the next call. */
  of(uid: number): Dir | undefined {
    const name = hashDirectory(uid);
    if (name === this.name) return this.dir;
    this.close();
    this.dir = this.open(this.mailbox, name);
    this.name = name;
    return this.dir;
  }

  close(): void {
    if (this.dir !== undefined) closeDir(this.dir);
    this.dir = undefined;
    this.name = '';
  }
}
