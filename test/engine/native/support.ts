/** The addon for tests; without it they are skipped, and say so. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import type { TestContext } from 'vitest';
import { type EngineInput, type EngineOutput, MESSAGE_ERRORS, METHOD } from '../../../src/engine/types.js';
import { loadAddon, type NativeAddon } from '../../../src/fs/addon.js';

/** The addon, or the test ends here. */
export function needAddon(ctx: TestContext): NativeAddon {
  return loadAddon() ?? skip(ctx, 'the native addon is not built: run `node native/build.mjs`');
}

export function needRoot(ctx: TestContext): void {
  if (process.getuid?.() !== 0) skip(ctx, 'needs root');
}

export function skip(ctx: TestContext, reason: string): never {
  console.log(`skipped, ${ctx.task.name}: ${reason}`);
  return ctx.skip(reason);
}

const METHOD_NAMES = Object.keys(METHOD);

/** How each message went: its method, or its error. */
export function outcomes(output: EngineOutput): string[] {
  return Array.from(output.errors, (error, i) =>
    error === 0 ? (METHOD_NAMES[output.methods[i] ?? 0] ?? '?') : (MESSAGE_ERRORS[error] ?? '?'),
  );
}

/** The same input for a repeated attempt. */
export function again(input: EngineInput): EngineInput {
  return { ...input, resumed: true };
}

/**
 * A fresh file system of `bytes` bytes in a file, mounted for the time of `test`; undefined where this machine
 * cannot mount one.
 */
export function withFileSystem<T>(
  type: 'ext4' | 'xfs' | 'btrfs',
  bytes: number,
  test: (root: string) => T,
): T | undefined {
  const work = fs.mkdtempSync(path.join(os.tmpdir(), 'mailhaul-mount-'));
  const image = path.join(work, 'image');
  const root = path.join(work, 'root');
  fs.mkdirSync(root);
  fs.writeFileSync(image, '');
  fs.truncateSync(image, bytes);
  try {
    if (!ran(`mkfs.${type}`, type === 'ext4' ? ['-q', '-F', image] : ['-q', image])) return undefined;
    if (!ran('mount', ['-o', 'loop', image, root])) return undefined;
    try {
      return test(root);
    } finally {
      if (!ran('umount', [root])) ran('umount', ['-l', root]);
    }
  } finally {
    fs.rmSync(work, { recursive: true, force: true });
  }
}

function ran(program: string, args: string[]): boolean {
  return spawnSync(program, args, { stdio: 'ignore' }).status === 0;
}
