/**
 * What the seam does not see. An audit: every system call with an effect on disk that a run makes must be a counted
 * one, or LMDB's. And kills inside LMDB: at each of its writes and syncs, which are not calls of ours.
 */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { putBack, type Stop } from './attack.js';
import type { Ground } from './ground.js';
import type { Scenario } from './scenarios.js';

export const haveStrace = spawnSync('strace', ['-V']).status === 0;

const EFFECTS = [
  'link,linkat,symlink,symlinkat,unlink,unlinkat,rmdir,rename,renameat,renameat2,mkdir,mkdirat,mknod,mknodat',
  'open,openat,openat2,creat,write,writev,pwrite64,pwritev,pwritev2,sendfile,copy_file_range,splice,ioctl',
  'truncate,ftruncate,fallocate,fsync,fdatasync,syncfs,sync,sync_file_range,msync',
  'chown,lchown,fchown,fchownat,chmod,fchmod,fchmodat,?fchmodat2,utimensat,utimes,setxattr,lsetxattr,fsetxattr',
].join(',');

/** Writes and syncs of LMDB. */
const LMDB_CALLS = ['pwrite64', 'writev', 'pwritev', 'write', 'fdatasync', 'fsync', 'msync', 'ftruncate'] as const;

const databases = (ground: Ground): string[] => [
  path.join(ground.instance, 'store/mboxlist/mboxlist.mdb'),
  path.join(ground.storePaths[0] ?? '', '__upfolder.db'),
];

/** Sentences about effective calls that the seam did not count. */
export async function audit(ground: Ground, scenario: Scenario): Promise<{ problems: string[]; note: string }> {
  await putBack(ground, scenario);
  const trace = path.join(ground.root, 'trace');
  const report = path.join(ground.root, 'calls');
  const wrap = ['strace', '-f', '-y', '-qq', '-s', '0', '-o', trace, '-e', `trace=${EFFECTS}`];
  const ended = await ground.run(scenario.attempt(ground), { MAILHAUL_FAULT: `count:${report}` }, wrap);
  if (ended.status !== (scenario.ends ?? 0))
    return { problems: [`${scenario.name} under strace: ${ended.stderr}`], note: '' };
  const counted = Number(fs.readFileSync(report, 'utf8'));
  const { calls, commits } = countCalls(fs.readFileSync(trace, 'utf8'), report);
  const made = [...calls.values()].reduce((sum, n) => sum + n, 0) + commits;
  const list = [...calls].map(([name, n]) => `${name} ${n}`).join(', ');
  const note = `${scenario.name}: ${made} effective calls by strace (${list}, LMDB commits ${commits}), ${counted} at the seam`;
  // A call may be counted and then not needed; never the other way round.
  return { problems: made > counted ? [`calls that are not at the seam: ${note}`] : [], note };
}

function countCalls(trace: string, report: string): { calls: Map<string, number>; commits: number } {
  const calls = new Map<string, number>();
  let commits = 0;
  for (const line of trace.split('\n')) {
    const match = /^\d+ +([a-z0-9_]+)\((.*)/.exec(line);
    if (match === null || line.includes(report)) continue;
    const [, name = '', rest = ''] = match;
    if (/\.mdb|__upfolder\.db/.test(rest)) {
      if (name === 'fdatasync') commits += 1;
      continue;
    }
    if (isEffect(name, rest)) calls.set(name, (calls.get(name) ?? 0) + 1);
  }
  return { calls, commits };
}

function isEffect(name: string, rest: string): boolean {
  if (name === 'ioctl') return rest.includes('FICLONE');
  if (name === 'open' || name === 'openat' || name === 'openat2') {
    return /O_CREAT|O_TMPFILE|O_TRUNC/.test(rest) && !rest.includes('"/dev/') && !/__lock\.share/.test(rest);
  }
  // Pipes, sockets, terminals and the lock file's line about its holder are no store.
  if (/^p?writev?(64|2)?$/.test(name)) return /^\d+<\//.test(rest) && !/^\d+<\/dev\/(?!shm)|__lock\.share/.test(rest);
  return !/__lock\.share/.test(rest);
}

/** A stop at each write and sync of LMDB in the attempt. */
export async function lmdbStops(ground: Ground, scenario: Scenario): Promise<Stop[]> {
  await putBack(ground, scenario);
  const counts = path.join(ground.root, 'counts');
  const paths = databases(ground).flatMap((file) => ['-P', file]);
  await ground.run(scenario.attempt(ground), {}, ['strace', '-f', '-c', '-qq', '-o', counts, ...paths]);
  const stops: Stop[] = [];
  for (const line of fs.readFileSync(counts, 'utf8').split('\n')) {
    const fields = line.trim().split(/\s+/);
    const call = LMDB_CALLS.find((name) => name === fields.at(-1));
    if (call === undefined) continue;
    for (let n = 1; n <= Number(fields[3]); n++) {
      const inject = ['-e', `trace=${call}`, '-e', `inject=${call}:signal=SIGKILL:when=${n}`];
      stops.push({
        name: `LMDB ${call} ${n}`,
        wrap: ['strace', '-f', '-qq', '-o', '/dev/null', ...paths, ...inject],
      });
    }
  }
  return stops;
}
