#!/usr/bin/env node
/**
 * `msg-bench`: from the sources of a checkout, through tsx; in an installed package, compiled (`npm run build:bench`
 * makes it, which `npm pack` and `npm install` of a directory run by themselves).
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';

const source = fileURLToPath(new URL('run.ts', import.meta.url));
const compiled = fileURLToPath(new URL('../dist/msg-bench/bench/run.js', import.meta.url));

function command() {
  if (!existsSync(source)) return [compiled];
  const tsx = createRequire(import.meta.url).resolve('tsx');
  return ['--import', pathToFileURL(tsx).href, source];
}

const child = spawn(process.execPath, [...command(), ...process.argv.slice(2)], { stdio: 'inherit' });
// A terminal tells both; what is sent to this process alone must reach the one that cleans up.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
child.on('error', (error) => {
  process.stderr.write(`msg-bench: ${error.message}\n`);
  process.exitCode = 1;
});
child.on('exit', (code) => {
  process.exitCode = code ?? 1;
});
