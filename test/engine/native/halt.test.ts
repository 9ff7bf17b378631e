/** The seam: what happens when the n-th effective call fails, and when the process dies there. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { nativeEngine } from '../../../src/engine/native/engine.js';
import { isTargetError, PROGRESS } from '../../../src/engine/types.js';
import type { NativeAddon } from '../../../src/fs/addon.js';
import { addonPath as builtAddon } from '../../../src/fs/addon.js';
import { type TestFolder, withFolder } from '../portable/folder.js';
import { again, needAddon, outcomes } from './support.js';

const CRLF = 'Subject: one\r\n\r\nText\r\n';
const BARE_LF = 'Subject: one\n\nText\n';
const FAIL = 2;

/** A linked message, a rewritten one, and a shared one that is rewritten twice. */
function fill(folder: TestFolder) {
  folder.write('linked', CRLF);
  folder.write('rewritten', BARE_LF);
  fs.linkSync(folder.write('shared', `${BARE_LF}more\n`), `${folder.source}/shared again`);
  fs.chmodSync(`${folder.source}/linked`, 0o644);
  return ['linked', 'rewritten', 'shared', 'shared again'].map((name, i) => ({ uid: 99 * (i + 1), name }));
}

/** Runs `call` with the n-th effective call failing; how many calls there were. */
function withFault(addon: NativeAddon, at: number, errno: number, call: () => void): number {
  const counter = new Int32Array(new SharedArrayBuffer(64));
  addon.setFault(counter, at, FAIL, errno);
  try {
    call();
  } finally {
    addon.setFault(counter, 0, 0, 0);
  }
  return counter[0] ?? 0;
}

function content(folder: TestFolder): Record<string, string> {
  return Object.fromEntries(
    folder.targetFiles().map((name) => [name, fs.readFileSync(`${folder.target}/${name}`, 'latin1')]),
  );
}

describe('native engine: failing calls', () => {
  for (const code of ['ENOSPC', 'EIO', 'EACCES'] as const) {
    it(`reaches the same end after any call failed with ${code}`, (ctx) => {
      const addon = needAddon(ctx);
      const engine = nativeEngine(addon);
      const errno = constants.errno[code];
      const good = withFolder((folder) => {
        const rows = fill(folder);
        const calls = withFault(addon, 0, 0, () => expect(engine.migrate(folder.input(rows)).halt).toBeNull());
        return { calls, content: content(folder) };
      });
      expect(good.calls).toBeGreaterThan(15);
      for (let at = 1; at <= good.calls; at++) {
        withFolder((folder) => {
          const input = folder.input(fill(folder));
          withFault(addon, at, errno, () => {
            const output = engine.migrate(input);
            // One call, the removal of a temporary name, has nothing to report.
            if (code !== 'EACCES') expect([at, output.halt?.errno]).toEqual([at, errno]);
            expect([at, output.summary]).toEqual([at, null]);
            expect([at, folder.targetFiles().includes('store.idx')]).toEqual([at, false]);
          });
          expect([at, engine.migrate(again(input)).halt]).toEqual([at, null]);
          expect([at, content(folder)]).toEqual([at, good.content]);
        });
      }
    });
  }

  it('ends the folder with the errnos that end it in the portable engine, and no others', (ctx) => {
    const addon = needAddon(ctx);
    const engine = nativeEngine(addon);
    const lacking: readonly number[] = [constants.errno.EMFILE, constants.errno.ENFILE, constants.errno.ENOMEM];
    withFolder((folder) => {
      folder.write('m', CRLF);
      const input = folder.input([{ uid: 1, name: 'm' }]);
      // Those of Linux; the first call makes the hash directory.
      for (let errno = 1; errno <= 133; errno++) {
        withFault(addon, 1, errno, () => {
          const halts = isTargetError(errno) || lacking.includes(errno);
          expect([errno, engine.migrate(input).halt?.errno]).toEqual([errno, halts ? errno : undefined]);
        });
      }
    });
  });

  it('makes temporary names where there is no O_TMPFILE, and leaves none', (ctx) => {
    const addon = needAddon(ctx);
    const engine = nativeEngine(addon);
    withFolder((folder) => {
      folder.write('m', BARE_LF);
      const input = folder.input([{ uid: 1, name: 'm' }]);
      // The calls of a rewrite: mkdir, then O_TMPFILE.
      withFault(addon, 2, constants.errno.EOPNOTSUPP, () =>
        expect(outcomes(engine.migrate(input))).toEqual(['rewrite']),
      );
      expect(folder.targetFiles()).toEqual(['00/1.msg', 'store.idx']);
      expect(fs.readFileSync(`${folder.target}/00/1.msg`, 'latin1')).toBe(CRLF);
      expect(fs.statSync(`${folder.target}/00/1.msg`).nlink).toBe(1);
    });
  });

  it('keeps the temporary name of a large index, which it has before a repeated attempt sweeps', (ctx) => {
    const addon = needAddon(ctx);
    const engine = nativeEngine(addon);
    withFolder((folder) => {
      // Entries of more than 1 MiB: the index is begun before the last message.
      const rows = Array.from({ length: 300 }, (_, i) => ({ uid: i + 1, name: `m${i}` }));
      for (const { name } of rows) folder.write(name, `Subject: ${'x'.repeat(5000)}\r\n\r\n`);
      const input = folder.input(rows);
      engine.migrate(input);
      const index = fs.readFileSync(`${folder.target}/store.idx`);
      expect(index.length).toBeGreaterThan(1 << 20);
      // Nothing but the index is made anew: O_TMPFILE is the first call.
      withFault(addon, 1, constants.errno.EOPNOTSUPP, () => {
        const { halt, summary } = engine.migrate(again(input));
        expect([halt, summary?.messages]).toEqual([null, 300]);
      });
      expect(fs.readFileSync(`${folder.target}/store.idx`)).toEqual(index);
    });
  });

  it('stops before the next message when cancelled, and publishes nothing', (ctx) => {
    const engine = nativeEngine(needAddon(ctx));
    withFolder((folder) => {
      folder.write('m', CRLF);
      const input = folder.input([{ uid: 1, name: 'm' }]);
      Atomics.store(input.progress, PROGRESS.cancel, 1);
      const output = engine.migrate(input);
      expect([output.stopped, output.summary, folder.targetFiles()]).toEqual([true, null, []]);
    });
  });

  it('counts messages and kilobytes as it goes', (ctx) => {
    const engine = nativeEngine(needAddon(ctx));
    withFolder((folder) => {
      for (const name of ['a', 'b', 'c']) folder.write(name, 'x'.repeat(700));
      const input = folder.input(['a', 'b', 'c'].map((name, i) => ({ uid: i + 1, name })));
      engine.migrate(input);
      expect([input.progress[PROGRESS.messages], input.progress[PROGRESS.kilobytes]]).toEqual([3, 2]);
    });
  });
});

/** Migrates in another process, which kills itself at its n-th effective call. */
const VICTIM = `
  import { createRequire } from 'node:module';
  import * as fs from 'node:fs';
  const [addonPath, root, at, names] = process.argv.slice(1);
  const addon = createRequire('file:///')(addonPath);
  const open = (name) => fs.openSync(root + '/' + name, 'r');
  const files = JSON.parse(names).map((name) => Buffer.from(name));
  const stats = files.map((name) => fs.statSync(root + '/INBOX/' + name, { bigint: true }));
  const count = files.length;
  addon.setFault(new Int32Array(new SharedArrayBuffer(64)), Number(at), 1, 0);
  addon.migrate({
    sourceFd: open('INBOX'), targetFd: open('=user'), singleFd: open('=single'), uidvalidity: 1234567,
    uidnext: 99 * count + 1, keywords: [], admin: Buffer.from('{"v":1}'), ownerUid: process.getuid(),
    ownerGid: process.getgid(), setOwner: false, takeForeign: false, publishWithFailures: false, resumed: false, job: 0,
    progress: new Int32Array(new SharedArrayBuffer(64)),
    messages: {
      count, uids: Uint32Array.from(files, (_, i) => 99 * (i + 1)),
      internalDates: Float64Array.from(files, (_, i) => 900000000 + 99 * (i + 1)),
      flags: new Uint32Array(count), keywordOffsets: new Uint32Array(count + 1), keywordRefs: new Uint32Array(0),
      names: Buffer.concat(files),
      nameOffsets: Uint32Array.from({ length: count + 1 }, (_, i) => Buffer.concat(files.slice(0, i)).length),
      inodes: BigUint64Array.from(stats, (s) => s.ino), sizes: Float64Array.from(stats, (s) => Number(s.size)),
      mtimes: BigInt64Array.from(stats, (s) => s.mtimeNs), refused: new Uint8Array(count),
    },
  }, new Uint8Array(6 * count), new Float64Array(15));
`;

describe('native engine: death at any call', () => {
  it('reaches the same end, and no message is without a name meanwhile', (ctx) => {
    const engine = nativeEngine(needAddon(ctx));
    const addonPath = process.env.MAILHAUL_ADDON ?? builtAddon();
    const good = withFolder((folder) => {
      engine.migrate(folder.input(fill(folder)));
      return content(folder);
    });
    let deaths = 0;
    for (let at = 1; ; at++) {
      const survived = withFolder((folder) => {
        const rows = fill(folder);
        const input = folder.input(rows);
        const names = JSON.stringify(rows.map((row) => row.name));
        const child = spawnSync(
          process.execPath,
          ['--input-type=module', '-e', VICTIM, fileURLToPath(`file://${addonPath}`), folder.root, `${at}`, names],
          { encoding: 'utf8' },
        );
        expect([at, child.stderr]).toEqual([at, '']);
        if (child.signal !== 'SIGKILL') {
          expect([at, content(folder)]).toEqual([at, good]);
          return true;
        }
        for (const { name } of rows) expect(fs.existsSync(`${folder.source}/${name}`)).toBe(true);
        expect([at, engine.migrate(again(input)).halt]).toEqual([at, null]);
        expect([at, content(folder)]).toEqual([at, good]);
        return false;
      });
      if (survived) break;
      deaths++;
    }
    expect(deaths).toBeGreaterThan(15);
  });
});
