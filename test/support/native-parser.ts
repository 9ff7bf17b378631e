/**
 * The C++ parser for comparisons: native/test/parse_cli.cc, built on demand. It needs no Node headers, so it also runs
 * under sanitizers (`MAILHAUL_SANITIZE=1`), where the addon cannot.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const native = fileURLToPath(new URL('../../native/', import.meta.url));

export interface NativeResult {
  readonly headerBytes: number;
  readonly cache: Uint8Array;
  readonly crlf: Uint8Array;
}

export interface NativeParser {
  parse(messages: readonly Uint8Array[]): NativeResult[];
  /** Removes what was built. */
  close(): void;
}

/** The first C++20 compiler found, or undefined. */
export function compiler(): string | undefined {
  return ['clang++', 'g++', 'c++'].find((name) => spawnSync(name, ['--version']).status === 0);
}

/** Builds the program; throws with the compiler's messages when that fails. */
export function buildNativeParser(cxx: string, sanitize = process.env.MAILHAUL_SANITIZE === '1'): NativeParser {
  const directory = mkdtempSync(join(tmpdir(), 'mailhaul-parse-'));
  const program = join(directory, 'parse_cli');
  const mime = readdirSync(join(native, 'src/mime')).filter((name) => name.endsWith('.cc'));
  const parser = [...mime.map((name) => join('mime', name)), 'sys/processor.cc'];
  const flags = sanitize ? ['-O1', '-g', '-fsanitize=address,undefined', '-fno-sanitize-recover=all'] : ['-O1'];
  const sources = [join(native, 'test/parse_cli.cc'), ...parser.map((name) => join(native, 'src', name))];
  const includes = ['-I', join(native, 'src')];
  execFileSync(cxx, ['-std=c++20', ...includes, ...flags, ...sources, '-o', program], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  return {
    parse: (messages) =>
      decode(execFileSync(program, { input: encode(messages), maxBuffer: 1 << 30 }), messages.length),
    close: () => rmSync(directory, { recursive: true, force: true }),
  };
}

/** Messages as the program reads them: u32 length, bytes. */
export function encode(messages: readonly Uint8Array[]): Buffer {
  return Buffer.concat(
    messages.flatMap((message) => {
      const length = Buffer.alloc(4);
      length.writeUInt32LE(message.length);
      return [length, message];
    }),
  );
}

function decode(data: Buffer, count: number): NativeResult[] {
  let at = 0;
  const take = (bytes: number): Buffer => {
    at += bytes;
    return data.subarray(at - bytes, at);
  };
  return Array.from({ length: count }, () => {
    const bytes = take(4).readUInt32LE();
    const headerBytes = Number(take(8).readBigUInt64LE());
    const cache = take(bytes);
    return { headerBytes, cache, crlf: take(take(4).readUInt32LE()) };
  });
}
