/** The caches that a build makes of its scripts (src/bundle-cache.mjs), in a copy of the checkout. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { project } from '../support/process.js';

let top: string;

beforeEach(() => {
  top = fs.mkdtempSync(join(tmpdir(), 'mailhaul-caches-'));
  fs.chmodSync(top, 0o755);
  for (const name of ['src', 'test/support', 'dist', 'package.json', 'tsconfig.json'])
    fs.cpSync(join(project, name), join(top, name), { recursive: true });
  for (const name of ['node_modules', 'build'].filter((name) => fs.existsSync(join(project, name))))
    fs.symlinkSync(join(project, name), join(top, name));
});

afterEach(() => fs.rmSync(top, { recursive: true }));

const files = (): string[] => fs.readdirSync(join(top, 'dist'), { recursive: true, encoding: 'utf8' }).sort();
const caches = (): string[] => files().filter((file) => file.includes('.cache'));

function build(): { status: number | null; stderr: string } {
  const { status, stderr } = spawnSync(process.execPath, ['src/bundle.mjs'], { cwd: top, encoding: 'utf8' });
  return { status, stderr };
}

it('are there after a build, with nothing else, and readable to everybody', () => {
  const before = files();
  for (const file of caches()) fs.rmSync(join(top, 'dist', file));
  const umask = process.umask(0o022);
  expect(build()).toEqual({ status: 0, stderr: '' });
  process.umask(umask);
  expect(files()).toEqual(before);
  expect(caches()).toHaveLength(4);
  for (const file of caches()) expect(fs.statSync(join(top, 'dist', file)).mode & 0o777).toBe(0o644);
});

it('are not there when a command could not be run, which the build says in one line and ends well', () => {
  fs.writeFileSync(join(top, 'test/support/generate.ts'), "throw new Error('planted');\n");
  const { status, stderr } = build();
  expect(status).toBe(0);
  expect(stderr).toMatch(/^No caches of compiled code: commands work, and start slower\. .*planted.*\n$/);
  expect(caches()).toEqual([]);
});
