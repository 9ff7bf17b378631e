/** Signals that come while `upgrade` is still being loaded. */
import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { commandFile } from '../support/process.js';

const UPGRADE = commandFile('upgrade');

/** `upgrade --version`, which gets `signal` as soon as anybody listens to it: the command's own code is not there yet. */
function withEarly(signal: NodeJS.Signals): { status: number | null; stdout: string; stderr: string } {
  const preload = `
    const on = process.on;
    process.on = function (event, listener) {
      const result = on.call(process, event, listener);
      if (event === '${signal}') { process.on = on; process.kill(process.pid, event); }
      return result;
    };`;
  const url = `data:text/javascript,${encodeURIComponent(preload)}`;
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--import', url, UPGRADE, '--version'], {
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
}

describe('a signal while upgrade is being loaded', () => {
  it.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)('%s ends it with 4', (signal) => {
    expect(withEarly(signal)).toEqual({
      status: 4,
      stdout: '',
      stderr: `upgrade: ${signal}: stopped before anything was begun.\n`,
    });
  });

  it('SIGUSR1 says that it is starting, and opens no debugger', () => {
    expect(withEarly('SIGUSR1')).toEqual({
      status: 0,
      stdout: expect.stringMatching(/^\d/),
      stderr: 'upgrade: starting\n',
    });
  });
});
