import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { instanceOf, usageError, visible } from '../../src/cli/common.js';
import { EXIT } from '../../src/errors.js';
import { INSIDE, project } from '../support/process.js';

/** Runs a command made of the shared parts, in a process of its own. */
function run(body: string, ...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const script = `
    import { EXIT, instanceOf, MailhaulError, makeCommand, runCommand, standardOutput, usageError } from ${INSIDE};
    const program = makeCommand('tool', 'A tool.').option('-a, --all', 'all');
    process.exitCode = await runCommand(program, process.argv.slice(1), async (flags, operands) => { ${body} });
  `;
  const node = ['--input-type=module', '-e', script, '--', ...args];
  return spawnSync(process.execPath, node, { cwd: project, encoding: 'utf8', maxBuffer: 1 << 28 });
}

describe('a command', () => {
  it('prints results on standard output and returns the exit code of its action', () => {
    expect(run('standardOutput.json({ all: flags.all }); return EXIT.partial;', '--all')).toEqual(
      expect.objectContaining({ status: 1, stdout: '{"all":true}\n', stderr: '' }),
    );
  });

  it('prints an error with its code, where, and what to do, and exits with its code', () => {
    const body =
      "throw new MailhaulError('X_FAILED', 'It failed.', { where: '/a\\u001bb', hint: 'Do this.', exit: EXIT.halted });";
    expect(run(body)).toMatchObject({
      status: 4,
      stdout: '',
      stderr: 'tool: X_FAILED: It failed. [/a\ufffdb]\n    Do this.\n',
    });
  });

  it('turns anything else that is thrown into INTERNAL with what to do, exit 4', () => {
    expect(run("throw new TypeError('odd');")).toMatchObject({
      status: 4,
      stderr: expect.stringMatching(
        /^tool: INTERNAL: TypeError: odd\n.*nothing was lost\. Run the same command again/s,
      ),
    });
  });

  it('names an unknown option and exits 2', () => {
    expect(run('return EXIT.ok;', '--al')).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/^tool: USAGE: unknown option '--al'/),
    });
  });

  it('has --help and --version', () => {
    const { version } = JSON.parse(readFileSync(`${project}/package.json`, 'utf8')) as { version: string };
    expect(run('return EXIT.ok;', '--version')).toMatchObject({ status: 0, stdout: `${version}\n` });
    expect(run('return EXIT.ok;', '--help').stdout).toMatch(/Usage: tool .*--instance <dir>/s);
  });

  it('writes megabytes to a pipe that is read slowly', () => {
    const { status, stdout } = run(
      "for (let i = 0; i < 200000; i++) standardOutput.write('0123456789\\n'); return EXIT.ok;",
    );
    expect(status).toBe(0);
    expect(stdout.length).toBe(2_200_000);
  });
});

it('the instance comes from --instance, else from MSG_INSTANCE', () => {
  const before = process.env.MSG_INSTANCE;
  try {
    process.env.MSG_INSTANCE = '/from/environment';
    expect(instanceOf({})).toBe('/from/environment');
    expect(instanceOf({ instance: '/from/option' })).toBe('/from/option');
    delete process.env.MSG_INSTANCE;
    expect(() => instanceOf({})).toThrow(expect.objectContaining({ code: 'INSTANCE_UNKNOWN', exit: EXIT.refused }));
  } finally {
    if (before === undefined) delete process.env.MSG_INSTANCE;
    else process.env.MSG_INSTANCE = before;
  }
});

it('text from a store cannot steer a terminal', () => {
  expect(visible('a\x1b[31mb\u009bc\nd\u2028e')).toBe('a\ufffd[31mb\ufffdc\ufffdd\ufffde');
  expect(visible('Entwürfe 日本')).toBe('Entwürfe 日本');
});

it('wrong usage exits 2', () => {
  expect(usageError('tool', 'No.')).toMatchObject({ code: 'USAGE', exit: 2, hint: 'See tool --help.' });
});
