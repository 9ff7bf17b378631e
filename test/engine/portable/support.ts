/** Shared by the tests of the portable engine. */
import * as fs from 'node:fs';
import { crlfForm, parseMessage } from '../../../src/engine/message/parse.js';
import { portableEngine } from '../../../src/engine/portable/engine.js';
import type { MessageParser } from '../../../src/engine/portable/migrate.js';
import { type EngineOutput, MESSAGE_ERRORS, METHOD } from '../../../src/engine/types.js';
import { armFaults } from '../../../src/fs/seam.js';
import { type IndexReader, openIndex } from '../../../src/store/index/reader.js';

export const MESSAGE = 'From: a@example.org\r\nSubject: one\r\n\r\nHello\r\n';
export const BARE_LF = 'From: a@example.org\nSubject: two\n\nHello\r\nagain\n';
export const BARE_LF_REWRITTEN = 'From: a@example.org\r\nSubject: two\r\n\r\nHello\r\nagain\r\n';

export const engine = portableEngine();

/** An engine whose source is touched between the reading of a message and its placing. */
export function engineWith(betweenReadAndPlace: () => void) {
  return engineWithParser({
    crlfForm(message) {
      betweenReadAndPlace();
      return crlfForm(message);
    },
  });
}

/** An engine with a parser that is another in part. */
export function engineWithParser(parser: Partial<MessageParser>) {
  return portableEngine({ parseMessage, crlfForm, ...parser });
}

/** Names instead of numbers, message by message. */
export function methodsOf(output: EngineOutput): string[] {
  const names = Object.entries(METHOD);
  return Array.from(output.methods, (method) => names.find(([, value]) => value === method)?.[0] ?? '');
}

export function errorsOf(output: EngineOutput): string[] {
  return Array.from(output.errors, (error) => MESSAGE_ERRORS[error] ?? '');
}

export function readIndex(target: string): IndexReader {
  return openIndex(fs.readFileSync(`${target}/store.idx`));
}

export function inode(file: string): bigint {
  return fs.lstatSync(file, { bigint: true }).ino;
}

export function mode(file: string): number {
  return fs.lstatSync(file).mode & 0o7777;
}

/** Runs `calls` with the `at`-th effective call failing with `errno`. */
export function withFault<T>(at: number, errno: number, calls: () => T): T {
  armFaults({ mode: 'fail', at, errno, report: '' });
  try {
    return calls();
  } finally {
    armFaults(undefined);
  }
}
