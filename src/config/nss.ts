/**
 * Users and groups of this machine. Accounts may come from LDAP, NIS or files, so NSS is asked: by the addon, or,
 * without one, by getent(1), which costs three processes; where that is missing, the local files answer.
 */
import { spawnSync } from 'node:child_process';
import type { AccountIds } from '../fs/addon.js';
import { closeDir, openRoot } from '../fs/dir.js';
import { readFile } from '../fs/file.js';

/** What `accountIds` of the addon answers, without the addon. Both names must be plausible (account.ts). */
export function accountIdsByCommand(user: string, group: string): AccountIds {
  const uid = lookupId('passwd', user);
  const gid = lookupId('group', group);
  return {
    ...(uid === undefined ? {} : { uid }),
    ...(gid === undefined ? {} : { gid }),
    groups: uid === undefined || gid === undefined ? [] : [gid, ...groupsOf(user).filter((id) => id !== gid)],
  };
}

/** Lines of an NSS database: one entry, or all of the local file when getent is missing. */
function lines(database: 'passwd' | 'group' | 'initgroups', key: string): string[] {
  const asked = spawnSync('getent', [database, key], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  if (asked.error === undefined && (asked.status === 0 || asked.status === 2)) return asked.stdout.split('\n');
  return database === 'initgroups' ? [] : localLines(database);
}

function localLines(database: 'passwd' | 'group'): string[] {
  const etc = openRoot('/etc');
  try {
    return (readFile(etc, database)?.toString('utf8') ?? '').split('\n');
  } finally {
    closeDir(etc);
  }
}

/** Third field of the entry with exactly this name (getent also answers to numbers). */
function lookupId(database: 'passwd' | 'group', name: string): number | undefined {
  for (const line of lines(database, name)) {
    const fields = line.split(':');
    if (fields[0] === name && /^\d{1,10}$/.test(fields[2] ?? '')) return Number(fields[2]);
  }
  return undefined;
}

function groupsOf(user: string): number[] {
  // "user   4 24 27"
  const answer = lines('initgroups', user)[0]?.trim().split(/\s+/) ?? [];
  if (answer[0] === user)
    return answer
      .slice(1)
      .filter((id) => /^\d{1,10}$/.test(id))
      .map(Number);
  return localLines('group').flatMap((line) => {
    const fields = line.split(':');
    return (fields[3] ?? '').split(',').includes(user) && /^\d{1,10}$/.test(fields[2] ?? '') ? [Number(fields[2])] : [];
  });
}
