import * as fs from 'node:fs';
import { constants } from 'node:os';
import { describe, expect, it } from 'vitest';
import { type Row, type TestFolder, withFolder } from './folder.js';
import { engine, MESSAGE, withFault } from './support.js';

function removal(folder: TestFolder, rows: readonly Row[]) {
  const { sourceFd, messages } = folder.input(rows);
  return { sourceFd, messages, remove: new Uint8Array(messages.count).fill(1) };
}

const ROWS = ['a', 'b', 'c'].map((name, i) => ({ uid: i + 1, name }));

function fill(folder: TestFolder): void {
  for (const { name } of ROWS) folder.write(name, MESSAGE);
}

describe('removeSources', () => {
  it('removes what may go and keeps the rest', () =>
    withFolder((folder) => {
      fill(folder);
      const input = removal(folder, ROWS);
      input.remove[1] = 0;
      expect(engine.removeSources(input)).toEqual({ removed: 2, bytes: 2 * MESSAGE.length, missing: 0, kept: [] });
      expect(fs.readdirSync(folder.source)).toEqual(['b']);
    }));

  it('keeps a file that is not the recorded one, by size, time, inode or type', () =>
    withFolder((folder) => {
      fill(folder);
      folder.write('d', MESSAGE);
      const input = removal(folder, [...ROWS, { uid: 4, name: 'd' }]);
      fs.appendFileSync(`${folder.source}/a`, 'x');
      fs.utimesSync(`${folder.source}/b`, 5, 5);
      fs.unlinkSync(`${folder.source}/c`);
      folder.write('c', MESSAGE);
      fs.unlinkSync(`${folder.source}/d`);
      fs.symlinkSync('a', `${folder.source}/d`);
      const output = engine.removeSources(input);
      expect(output).toMatchObject({ removed: 0, missing: 0 });
      expect(output.kept).toEqual([0, 1, 2, 3].map((index) => ({ index, errno: 0 })));
      expect(fs.readdirSync(folder.source).length).toBe(4);
    }));

  it('counts what is gone already', () =>
    withFolder((folder) => {
      fill(folder);
      const input = removal(folder, ROWS);
      fs.unlinkSync(`${folder.source}/b`);
      expect(engine.removeSources(input)).toMatchObject({ removed: 2, missing: 1, kept: [] });
    }));

  it('never leaves the folder, whatever the names say', () =>
    withFolder((folder) => {
      fs.writeFileSync(`${folder.root}/outside`, MESSAGE);
      const names = Buffer.from('../outside');
      const input = removal(folder, [{ uid: 1, name: '../outside' }]);
      const output = engine.removeSources({ ...input, messages: { ...input.messages, names } });
      expect(output).toEqual({ removed: 0, bytes: 0, missing: 0, kept: [{ index: 0, errno: constants.errno.EINVAL }] });
      expect(fs.existsSync(`${folder.root}/outside`)).toBe(true);
    }));

  it('reports a file that cannot be removed and goes on', () =>
    withFolder((folder) => {
      fill(folder);
      const input = removal(folder, ROWS);
      const output = withFault(2, constants.errno.EPERM, () => engine.removeSources(input));
      expect(output).toMatchObject({ removed: 2, kept: [{ index: 1, errno: constants.errno.EPERM }] });
    }));
});
