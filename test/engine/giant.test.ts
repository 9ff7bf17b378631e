/**
 * A message below 4 GiB whose CRLF form is not (IMAP counts octets in 32 bits): refused at once, nothing half-made. Its
 * few bare LFs stand before a hole, so that nothing of it is on disk but them.
 */
import * as fs from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { beforeAll, describe, expect, it, type TestContext } from 'vitest';
import { nativeEngine } from '../../src/engine/native/engine.js';
import type { FolderEngine } from '../../src/engine/types.js';
import { loadDigest } from '../../src/store/digest.js';
import { needAddon, outcomes, skip } from './native/support.js';
import { withFolder } from './portable/folder.js';
import { engineWithParser, engine as portable } from './portable/support.js';

const LIMIT = 2 ** 32;
const BARE_LF = 'Subject: giant\n\nText\n';
const SMALL = 'Subject: small\r\n\r\nText\r\n';
const GIB = 2 ** 30;

/** The portable engine reads a message into memory; the native one maps it. */
function needMemory(ctx: TestContext, bytes: number): void {
  const available = /^MemAvailable: +(\d+) kB$/m.exec(fs.readFileSync('/proc/meminfo', 'latin1'))?.[1];
  if (Number(available) * 1024 < bytes) skip(ctx, `needs ${bytes / GIB} GiB of free memory`);
}

const TMPFS = 0x01021994;

/** In memory, a hole takes memory as soon as it is mapped. */
function needDisk(ctx: TestContext): void {
  if (fs.statfsSync(tmpdir()).type === TMPFS) skip(ctx, `${tmpdir()} is in memory: a file of 4 GiB needs a disk`);
}

/** A message of `size` bytes fails, and the one beside it does not. */
function expectRefused(engine: FolderEngine, size: number): void {
  withFolder((folder) => {
    const giant = folder.write('giant', BARE_LF);
    folder.write('small', SMALL);
    fs.truncateSync(giant, size);
    const { ino, mtimeMs } = fs.statSync(giant);
    const rows = ['giant', 'small'].map((name, i) => ({ uid: i + 1, name }));
    const output = engine.migrate(folder.input(rows, { publishWithFailures: true }));
    expect(outcomes(output)).toEqual(['MSG_UNREADABLE', 'link']);
    expect([...output.errnos]).toEqual([constants.errno.EFBIG, 0]);
    expect(output).toMatchObject({ halt: null, bytes: SMALL.length, summary: { messages: 1 } });
    expect(folder.targetFiles()).toEqual(['00/2.msg', 'store.idx']);
    expect(fs.readdirSync(folder.single)).toEqual([]);
    expect(fs.statSync(giant)).toMatchObject({ ino, mtimeMs, size, nlink: 1 });
  });
}

describe('a message whose CRLF form has 4 GiB', () => {
  beforeAll(loadDigest);

  it('is refused by the native engine', (ctx) => {
    needDisk(ctx);
    // Exactly the limit: three octets are added.
    expectRefused(nativeEngine(needAddon(ctx)), LIMIT - 3);
  });

  it('is refused by the portable engine, also where it is longer than an array of Node can be', (ctx) => {
    needMemory(ctx, 10 * GIB);
    expectRefused(portable, LIMIT - 2);
  });

  it('is refused by the portable engine where it is an array', () => {
    const form = new Proxy(new Uint8Array(1), {
      get: (array, key) => (key === 'length' ? LIMIT : Reflect.get(array, key)),
    });
    const engine = engineWithParser({ crlfForm: (read) => (read.includes(0x67) ? form : read) });
    expectRefused(engine, BARE_LF.length);
  });
});
