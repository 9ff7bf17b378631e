import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import { project, runCli } from '../support/migrated-store.js';
import { commandFile } from '../support/process.js';

const hash = createHash('sha256').update('joe').digest('hex');
const directory = `${hash.slice(0, 2)}/${hash.slice(2, 4)}/`;

it('prints the hash directories of a uid, whatever its case', () => {
  expect(runCli('hashdir', 'JOE')).toMatchObject({ status: 0, stdout: `${directory}\n` });
});

it('-a appends the directory of the account, --json makes it an object', () => {
  expect(runCli('hashdir', '-a', '--json', 'Joe')).toMatchObject({
    status: 0,
    stdout: `{"account":"Joe","directory":"${directory}=+joe/"}\n`,
  });
});

it('-i reads accounts from standard input and goes on after a bad one', () => {
  const args = [commandFile('hashdir'), '-i'];
  const result = spawnSync(process.execPath, args, { cwd: project, encoding: 'utf8', input: 'joe\n\nj/e\njoe\n' });
  expect(result).toMatchObject({ status: 1, stdout: `${directory}\n${directory}\n` });
  expect(result.stderr).toContain('USER_INVALID');
});

it('without an account is wrong usage', () => {
  expect(runCli('hashdir').status).toBe(2);
});
