/** The name of an index is given to the file that was written, not to what took its place meanwhile. */
import * as fs from 'node:fs';
import { constants } from 'node:os';
import { expect, it } from 'vitest';
import { IndexFile, UNFINISHED_INDEX } from '../../../src/engine/portable/indexFile.js';
import { heldDir } from '../../../src/engine/portable/migrate.js';
import { TargetFolder } from '../../../src/engine/portable/target.js';
import { loadDigest } from '../../../src/store/digest.js';
import { withFolder } from './folder.js';

const ACCOUNT = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0, set: false };
const FRAME = { uidvalidity: 1, uidnext: 1, generation: 0, keywords: [], admin: Buffer.from('{}') };

it.each(['another file', 'a link', 'a hard link'])('is refused when it is %s', async (what) => {
  await loadDigest();
  withFolder((folder) => {
    const target = new TargetFolder(heldDir(folder.open(folder.target)), ACCOUNT);
    const index = new IndexFile(target, FRAME, 1);
    const at = `${folder.target}/${UNFINISHED_INDEX}`;
    const other = folder.write('other', 'other');
    fs.unlinkSync(at);
    if (what === 'another file') fs.writeFileSync(at, 'other');
    else if (what === 'a link') fs.symlinkSync(other, at);
    else fs.linkSync(other, at);
    expect(() => index.publish()).toThrow(
      expect.objectContaining({ code: 'MSG_TARGET', errno: constants.errno.EEXIST }),
    );
    target.close();
  });
});

it('a message likewise', () =>
  withFolder((folder) => {
    const target = new TargetFolder(heldDir(folder.open(folder.target)), ACCOUNT);
    const temporary = target.writeTemporary(7, Buffer.from('mine'));
    fs.renameSync(`${folder.target}/${temporary.name}`, `${folder.target}/aside`);
    fs.writeFileSync(`${folder.target}/${temporary.name}`, 'other');
    const directory = target.hashDirectory(7);
    expect(() => target.giveName(temporary, directory, '7.msg')).toThrow(
      expect.objectContaining({ code: 'MSG_TARGET', errno: constants.errno.EEXIST }),
    );
    target.close();
  }));
