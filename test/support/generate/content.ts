/** Where message bytes come from: made up, or the files of a directory. */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { makeMail } from './mail.js';
import type { GenerateOptions } from './options.js';
import { type Random, randomOf } from './random.js';
import { sizeSource } from './sizes.js';
import { makePools } from './text.js';

export interface MessageContent {
  /** As it lies on disk. */
  readonly stored: Buffer;
  /** Size and SHA-256 of the CRLF form. */
  readonly size: number;
  /** null where no manifest asks for it. */
  readonly sha256: string | null;
  readonly bareLf: boolean;
}

export interface ContentSource {
  /** Messages there are, when the source has an end. */
  readonly count: number | null;
  next(random: Random, about: { uid: string; date: number; serial: string }): MessageContent;
}

export function contentSource(options: GenerateOptions): ContentSource {
  return options.fromEml === null ? madeUp(options) : fromFiles(options.fromEml, options.emlMode);
}

function madeUp(options: GenerateOptions): ContentSource {
  const pools = makePools(randomOf(options.seed, 'text'));
  const sizeOf = sizeSource(options);
  return {
    count: null,
    next(random, about) {
      const crlf = makeMail(random, { pools, hostName: options.hostName, size: sizeOf(random), ...about });
      const bareLf = random.chance(options.bareLf);
      const sha256 = options.manifest ? createHash('sha256').update(crlf).digest('hex') : null;
      return { stored: bareLf ? withBareLf(crlf, random) : crlf, size: crlf.length, sha256, bareLf };
    },
  };
}

/** The same message with bare LF at every line end, or at some (a file that two programs have written). */
function withBareLf(crlf: Buffer, random: Random): Buffer {
  const every = random.chance(0.8);
  const out = Buffer.allocUnsafe(crlf.length);
  let length = 0;
  let line = 0;
  for (let at = 0; at < crlf.length; at++) {
    const drop = crlf[at] === 0x0d && crlf[at + 1] === 0x0a && (every || line++ % 3 === 0);
    if (!drop) out[length++] = crlf[at]!;
  }
  return out.subarray(0, length);
}

function fromFiles(directory: string, mode: 'once' | 'cycle'): ContentSource {
  const files = messageFiles(directory);
  if (files.length === 0) throw new Error(`--from-eml ${directory}: there is no file in it`);
  let at = 0;
  return {
    count: mode === 'once' ? files.length : null,
    next() {
      const stored = fs.readFileSync(files[at++ % files.length]!);
      const crlf = crlfForm(stored);
      const sha256 = createHash('sha256').update(crlf).digest('hex');
      return { stored, size: crlf.length, sha256, bareLf: crlf.length !== stored.length };
    },
  };
}

/** All `.eml` files below a directory, or all files when none has that name; sorted, so that a run repeats. */
function messageFiles(directory: string): string[] {
  const files = fs
    .readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name))
    .sort();
  const eml = files.filter((file) => file.endsWith('.eml'));
  return eml.length > 0 ? eml : files;
}

/** 3x-profile.md, "Message files": every LF without a CR before it gets one; nothing else changes. */
function crlfForm(data: Buffer): Buffer {
  let bare = 0;
  for (let at = data.indexOf(0x0a); at >= 0; at = data.indexOf(0x0a, at + 1)) if (data[at - 1] !== 0x0d) bare++;
  if (bare === 0) return data;
  const out = Buffer.allocUnsafe(data.length + bare);
  let length = 0;
  for (let at = 0; at < data.length; at++) {
    if (data[at] === 0x0a && data[at - 1] !== 0x0d) out[length++] = 0x0d;
    out[length++] = data[at]!;
  }
  return out;
}
