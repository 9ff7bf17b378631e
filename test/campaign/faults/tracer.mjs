// Loaded by Node before a command when MAILHAUL_STRACE holds arguments of strace: replaces the process by strace of the
// same command, so that whoever starts commands needs to know nothing of it.
import { spawnSync } from 'node:child_process';
import { isMainThread } from 'node:worker_threads';

const given = process.env.MAILHAUL_STRACE;
if (given !== undefined && isMainThread) {
  const { MAILHAUL_STRACE: _, NODE_OPTIONS: __, ...env } = process.env;
  const { status, signal } = spawnSync('strace', [...JSON.parse(given), process.execPath, ...process.argv.slice(1)], {
    stdio: 'inherit',
    env,
  });
  if (signal !== null) process.kill(process.pid, signal);
  process.exit(status ?? 1);
}
