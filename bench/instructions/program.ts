/** The program whose work is counted (counted.cc), and the tools that count it. */
import { spawn, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const TOP = fileURLToPath(new URL('../..', import.meta.url));
const PROGRAM = fileURLToPath(new URL('../../build/counted/counted', import.meta.url));

/** A case, on this processor or as on one without vector instructions. */
export interface Run {
  readonly name: string;
  readonly scalar: boolean;
}

export function build(): void {
  const made = spawnSync(process.execPath, ['native/build.mjs', '--counted'], { cwd: TOP, encoding: 'utf8' });
  if (made.status !== 0) throw new Error(`the program was not built:\n${made.stdout}${made.stderr}`);
}

export function caseNames(): string[] {
  return ask('list');
}

/** What figures depend on: `g++ 12.2.0, glibc 2.36, x64, avx2`. */
export function about(): { readonly environment: string } {
  const [compiler, libc, vectors] = ask('about');
  return { environment: [compiler, libc, process.arch, vectors].join(', ') };
}

function ask(what: string): string[] {
  const { status, stdout, stderr } = spawnSync(PROGRAM, [what], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`counted ${what}: ${stderr}`);
  return stdout.trimEnd().split('\n');
}

/** Runs a case below `directory` under a tool; its messages and bytes. Undefined when the processor cannot do it. */
export async function runUnder(
  tool: readonly string[],
  { name, scalar }: Run,
  directory: string,
): Promise<{ messages: number; bytes: number } | undefined> {
  const [file, ...args] = [...tool, PROGRAM, name, directory, ...(scalar ? ['scalar'] : [])];
  const child = spawn(file!, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const status = await new Promise<number | null>((resolve, reject) => child.on('error', reject).on('close', resolve));
  if (status === 3) return undefined;
  if (status !== 0) throw new Error(`${file} ${args.join(' ')}: exit code ${status}\n${stderr}`);
  return JSON.parse(stdout) as { messages: number; bytes: number };
}

/** Why a tool cannot be used here; undefined when it can. */
export function toolProblem(tool: string): string | undefined {
  // A sandbox may have the program and refuse what it needs (ptrace).
  const { error, status, stderr } = spawnSync(tool, ['-q', 'true'], { encoding: 'utf8' });
  if (error !== undefined) return `${tool} is not installed (apt-get install ${tool})`;
  return status === 0 ? undefined : `${tool} does not work here: ${stderr.trim()}`;
}
