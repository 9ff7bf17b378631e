/** A repeated attempt: what an earlier one left is adopted, replaced or swept. */
import * as fs from 'node:fs';
import { describe, expect, it } from 'vitest';
import { nativeEngine } from '../../../src/engine/native/engine.js';
import { expectOnlyRootsOwnAdopted, expectSharedWrittenByEachRun, expectWrittenAgain } from '../adoption.js';
import { withFolder } from '../portable/folder.js';
import { again, needAddon, needRoot, outcomes } from './support.js';

const CRLF = 'Subject: one\r\n\r\nText\r\n';
const BARE_LF = 'Subject: one\n\nText\n';

describe('native engine: a repeated attempt', () => {
  it('adopts what it finds and writes the same index', (ctx) => {
    const engine = nativeEngine(needAddon(ctx));
    withFolder((folder) => {
      folder.write('linked', CRLF);
      folder.write('rewritten', BARE_LF);
      const input = folder.input([
        { uid: 1, name: 'linked', keywords: ['Junk'] },
        { uid: 250, name: 'rewritten', flags: 3 },
      ]);
      const first = engine.migrate(input);
      const index = fs.readFileSync(`${folder.target}/store.idx`);
      const second = engine.migrate(again(input));
      expect(outcomes(first)).toEqual(['link', 'rewrite']);
      expect(outcomes(second)).toEqual(['adopted', 'adopted']);
      expect(second.summary).toEqual(first.summary);
      expect(fs.readFileSync(`${folder.target}/store.idx`)).toEqual(index);
    });
  });

  it('writes again what it adopts: the disk may have refused it, which only one sync is told', (ctx) => {
    expectWrittenAgain(nativeEngine(needAddon(ctx)));
  });

  it('writes a shared copy of an earlier run of the process again, once', (ctx) => {
    expectSharedWrittenByEachRun(nativeEngine(needAddon(ctx)));
  });

  it('replaces a file that has its name and no data, as after a power loss', (ctx) => {
    const engine = nativeEngine(needAddon(ctx));
    withFolder((folder) => {
      folder.write('m', BARE_LF);
      const input = folder.input([{ uid: 1, name: 'm' }]);
      engine.migrate(input);
      fs.rmSync(`${folder.target}/00/1.msg`);
      fs.writeFileSync(`${folder.target}/00/1.msg`, '\0'.repeat(CRLF.length), { mode: 0o600 });
      expect(outcomes(engine.migrate(again(input)))).toEqual(['rewrite']);
      expect(fs.readFileSync(`${folder.target}/00/1.msg`, 'latin1')).toBe(CRLF);
    });
  });

  it('replaces a symbolic link under the name and does not follow it', (ctx) => {
    const engine = nativeEngine(needAddon(ctx));
    withFolder((folder) => {
      folder.write('m', CRLF);
      const elsewhere = `${folder.root}/elsewhere`;
      fs.writeFileSync(elsewhere, CRLF, { mode: 0o640 });
      fs.mkdirSync(`${folder.target}/00`);
      fs.symlinkSync(elsewhere, `${folder.target}/00/1.msg`);
      expect(outcomes(engine.migrate(again(folder.input([{ uid: 1, name: 'm' }]))))).toEqual(['link']);
      expect(fs.statSync(elsewhere).mode & 0o777).toBe(0o640);
      expect(fs.lstatSync(`${folder.target}/00/1.msg`).isFile()).toBe(true);
    });
  });

  it('touches nothing under the name in a first attempt', (ctx) => {
    const engine = nativeEngine(needAddon(ctx));
    withFolder((folder) => {
      folder.write('m', CRLF);
      fs.mkdirSync(`${folder.target}/00`);
      fs.writeFileSync(`${folder.target}/00/1.msg`, 'other');
      const output = engine.migrate(folder.input([{ uid: 1, name: 'm' }]));
      expect(outcomes(output)).toEqual(['MSG_TARGET']);
      expect(output.summary).toBeNull();
      expect(fs.readFileSync(`${folder.target}/00/1.msg`, 'latin1')).toBe('other');
    });
  });

  it('adopts a file that a run left to root, and replaces one that is also a file of the system', (ctx) => {
    needRoot(ctx);
    const engine = nativeEngine(needAddon(ctx));
    withFolder((folder) => expectOnlyRootsOwnAdopted(engine, folder));
  });

  it('sweeps files that no message claims, and nothing else', (ctx) => {
    const engine = nativeEngine(needAddon(ctx));
    withFolder((folder) => {
      folder.write('m', CRLF);
      for (const name of ['00', '47', '=sub', '=sub/00']) fs.mkdirSync(`${folder.target}/${name}`);
      const leftovers = ['.new-7', 'store.idx.new', '00/2.msg', '00/.new-1', '47/1.msg', '00/01.msg'];
      const others = ['=sub/00/9.msg', '00/notes', 'store.jnl'];
      for (const name of [...leftovers, ...others]) fs.writeFileSync(`${folder.target}/${name}`, 'x');
      engine.migrate(again(folder.input([{ uid: 1, name: 'm' }])));
      expect(folder.targetFiles()).toEqual([...others, '00/1.msg', 'store.idx'].sort());
    });
  });

  it('takes the 4.x file of a message whose 3.x name is gone', (ctx) => {
    const engine = nativeEngine(needAddon(ctx));
    withFolder((folder) => {
      folder.write('m', CRLF);
      const input = folder.input([{ uid: 1, name: 'm' }]);
      engine.migrate(input);
      fs.rmSync(`${folder.source}/m`);
      const output = engine.migrate(again(input));
      expect(outcomes(output)).toEqual(['adopted']);
      expect(output.summary?.messages).toBe(1);
      expect(fs.readFileSync(`${folder.target}/00/1.msg`, 'latin1')).toBe(CRLF);
    });
  });

  it('keeps the last copy of a message that fails now', (ctx) => {
    const engine = nativeEngine(needAddon(ctx));
    withFolder((folder) => {
      folder.write('m', BARE_LF);
      const input = folder.input([{ uid: 1, name: 'm' }]);
      engine.migrate(input);
      fs.rmSync(`${folder.source}/m`);
      expect(outcomes(engine.migrate(again(input)))).toEqual(['MSG_VANISHED']);
      expect(fs.readFileSync(`${folder.target}/00/1.msg`, 'latin1')).toBe(CRLF);
    });
  });
});
