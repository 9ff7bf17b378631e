/**
 * A giant message that somebody cuts while an engine reads it: an error of this message, never the end of the process.
 * The native engine maps such a file (native/src/sys/mapping.h), so what is lost is a SIGBUS there.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { MESSAGE_ERRORS } from '../../src/engine/types.js';
import { needAddon } from './native/support.js';
import { TestFolder } from './portable/folder.js';

const project = fileURLToPath(new URL('../..', import.meta.url));
const GIANT_BYTES = 2 ** 29;

let child: ChildProcess | undefined;
let folder: TestFolder | undefined;
afterEach(() => {
  child?.kill('SIGKILL');
  folder?.remove();
});

/** Migrates a small message and a giant one, which is cut as soon as `isReading` says so of the process. */
async function migrateWhileCut(engine: string, isReading: (pid: number, giant: string) => boolean) {
  folder = new TestFolder();
  folder.write('small', 'Subject: small\r\n\r\nText\r\n');
  const giant = folder.write('giant', 'Subject: giant\r\n\r\n');
  fs.truncateSync(giant, GIANT_BYTES);
  const args = ['--import', 'tsx', 'test/engine/one-folder.ts', engine, folder.root, 'giant', 'small'];
  const started = spawn(process.execPath, args, { cwd: project, stdio: ['ignore', 'pipe', 'inherit'] });
  child = started;
  const pieces: Buffer[] = [];
  started.stdout.on('data', (piece: Buffer) => pieces.push(piece));
  const ended = new Promise((resolve) => started.once('close', (code, signal) => resolve(signal ?? code)));
  while (!isReading(started.pid ?? 0, giant)) await new Promise((resolve) => setTimeout(resolve, 1));
  fs.truncateSync(giant, 4096);
  expect(await ended).toBe(0);
  const { halt, errors } = JSON.parse(Buffer.concat(pieces).toString()) as { halt: unknown; errors: number[] };
  return { halt, errors: errors.map((error) => MESSAGE_ERRORS[error]), files: folder.targetFiles() };
}

function isMapped(pid: number, file: string): boolean {
  return fs.readFileSync(`/proc/${pid}/maps`, 'latin1').includes(file);
}

function isOpen(pid: number, file: string): boolean {
  return fs.readdirSync(`/proc/${pid}/fd`).some((fd) => {
    try {
      return fs.readlinkSync(`/proc/${pid}/fd/${fd}`) === file;
    } catch {
      return false;
    }
  });
}

const CUT = { halt: null, errors: ['MSG_CHANGED', ''], files: ['00/2.msg'] };

describe('a giant message that is cut', () => {
  it('while the native engine has it mapped fails alone', async (ctx) => {
    needAddon(ctx);
    expect(await migrateWhileCut('native', isMapped)).toEqual(CUT);
  });

  it.each(['native', 'portable'])('while the %s engine reads it fails alone', async (engine) => {
    expect(await migrateWhileCut(engine, isOpen)).toEqual(CUT);
  });
});
