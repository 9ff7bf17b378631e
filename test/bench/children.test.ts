import { expect, it, vi } from 'vitest';
import { runChild } from '../../bench/children.js';

it('runs no command with certificates that Node would read before it begins', async () => {
  vi.stubEnv('NODE_EXTRA_CA_CERTS', '/etc/ssl/certs/ca-certificates.crt');
  vi.stubEnv('MSG_BENCH_OTHER', 'stays');
  const { stdout } = await runChild(['env']);
  vi.unstubAllEnvs();
  expect(stdout).not.toContain('NODE_EXTRA_CA_CERTS');
  expect(stdout).toContain('MSG_BENCH_OTHER=stays\n');
});

it('tells what a command answered, and how it ended', async () => {
  expect(await runChild(['sh', '-c', 'echo out; echo err >&2; exit 3'])).toEqual({
    status: 3,
    stdout: 'out\n',
    stderr: 'err\n',
  });
});
