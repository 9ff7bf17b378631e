/**
 * A process that runs the reading commands again and again: `mboxutil`, `upgrade --verify`. They are the commands'
 * own functions; what is saved is the start of a process for each, which is most of the time a crash state takes. A
 * damaged database that ends the process ends this one, and is a problem of the state.
 */
import { type ChildProcess, fork } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';

export interface ReaderResult {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

interface Request {
  readonly name: 'mboxutil' | 'upgrade';
  readonly args: readonly string[];
}

export interface Reader {
  /** Runs a command that holds nothing open when it has ended. Throws when the process died of it. */
  run(name: Request['name'], args: readonly string[]): Promise<ReaderResult>;
  close(): void;
}

export function startReader(directory: string): Reader {
  const files = ['stdout', 'stderr'].map((name) => path.join(directory, `reader-${name}`));
  const descriptors = files.map((file) => fs.openSync(file, 'a+'));
  const start = (): ChildProcess =>
    fork(fileURLToPath(import.meta.url), { stdio: ['ignore', descriptors[0], descriptors[1], 'ipc'] });
  let child: ChildProcess | undefined;
  return {
    async run(name, args) {
      child ??= start();
      for (const fd of descriptors) fs.ftruncateSync(fd, 0);
      const running = child;
      const status = await new Promise<number | undefined>((resolve) => {
        const answered = (message: unknown): void => {
          running.off('exit', died);
          resolve(Number(message));
        };
        const died = (): void => {
          running.off('message', answered);
          resolve(undefined);
        };
        running.once('message', answered).once('exit', died);
        running.send({ name, args } satisfies Request);
      });
      const [stdout = '', stderr = ''] = files.map((file) => fs.readFileSync(file, 'utf8'));
      if (status === undefined) {
        const { exitCode, signalCode } = running;
        child = undefined;
        throw new Error(`${name} ${args[0]} ended its process (${exitCode ?? signalCode}): ${stderr}`);
      }
      return { status, stdout, stderr };
    },
    close() {
      child?.kill();
      child = undefined;
      for (const fd of descriptors.splice(0)) fs.closeSync(fd);
    },
  };
}

type Command = (argv: readonly string[]) => Promise<number>;

/** The process itself, with the commands' functions as they were built. */
async function serve(): Promise<void> {
  const { href } = new URL('../../../dist/test/inside.js', import.meta.url);
  const commands = (await import(href)) as Record<Request['name'], Command>;
  process.on('message', ({ name, args }: Request) => {
    commands[name](args).then(
      (status) => process.send?.(status),
      (error: unknown) => {
        console.error(error);
        process.exit(70);
      },
    );
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await serve();
