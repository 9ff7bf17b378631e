/** native/build.mjs: what npm install does where the addon can, and cannot, be built. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const project = fileURLToPath(new URL('../..', import.meta.url));
let top: string;

/** Runs build.mjs of a copy of the sources; `tools` is all there is on the PATH. */
function build(tools: string, ...flags: string[]): { status: number | null; lines: string[] } {
  const result = spawnSync(process.execPath, ['native/build.mjs', ...flags], {
    cwd: top,
    env: { PATH: tools },
    encoding: 'utf8',
  });
  return { status: result.status, lines: `${result.stdout}${result.stderr}`.split('\n').filter((line) => line !== '') };
}

describe('native/build.mjs', () => {
  beforeEach(() => {
    top = fs.mkdtempSync(path.join(os.tmpdir(), 'mailhaul-build-'));
    fs.cpSync(`${project}/native`, `${top}/native`, { recursive: true });
    fs.symlinkSync(`${project}/node_modules`, `${top}/node_modules`);
    fs.mkdirSync(`${top}/tools`);
  });
  afterEach(() => fs.rmSync(top, { recursive: true, force: true }));

  it('says in one line that the portable engine will be used, and succeeds', () => {
    const result = build(`${top}/tools`);
    expect(result).toEqual({ status: 0, lines: [expect.stringContaining('portable engine will be used')] });
    expect(result.lines[0]).toContain('there is no cmake');
  });

  it('fails for the same reason when the addon is required', () => {
    expect(build(`${top}/tools`, '--required').status).toBe(1);
  });

  it('still succeeds, in one line, when the compiler does not work', () => {
    for (const name of ['cmake', 'c++']) {
      fs.writeFileSync(`${top}/tools/${name}`, '#!/bin/sh\nexit 1\n', { mode: 0o755 });
    }
    const result = build(`${top}/tools`);
    expect(result).toEqual({ status: 0, lines: [expect.stringContaining('the build failed, see ')] });
    expect(fs.existsSync(`${top}/build/native.log`)).toBe(true);
  });

  it('does nothing when the addon is newer than its sources', () => {
    fs.mkdirSync(`${top}/build/Release`, { recursive: true });
    fs.writeFileSync(`${top}/build/Release/mailhaul.node`, '');
    expect(build(`${top}/tools`)).toEqual({ status: 0, lines: [] });
  });

  it('has every source file on its list', () => {
    const files = fs.readdirSync(`${top}/native/src`, { recursive: true, encoding: 'utf8' });
    const listed = fs.readFileSync(`${top}/native/sources.txt`, 'utf8').trimEnd().split('\n');
    expect(listed).toEqual(
      files
        .filter((name) => name.endsWith('.cc'))
        .map((name) => `src/${name}`)
        .sort(),
    );
  });

  it('refuses a flag that it does not know', () => {
    expect(build(`${top}/tools`, '--fast').status).toBe(2);
  });
});
