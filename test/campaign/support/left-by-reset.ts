/** What `upgrade --reset` leaves behind, in a form to compare. */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { Site } from './kept-site.js';

/**
 * Both stores after a reset: every name below the 3.x store paths, the partitions and the instance, with content,
 * time, mode, owner and the names that share its inode. What a run writes anew each time is left out.
 */
export function leftByReset(site: Site): string[] {
  const roots = [
    ...site.stores,
    ...site.partitions,
    path.join(site.instance, 'store'),
    path.join(site.instance, 'lock'),
  ];
  const lines: string[] = [];
  for (const root of new Set(roots)) {
    const files: { name: string; stats: fs.BigIntStats }[] = [];
    const visit = (directory: string): void => {
      for (const entry of fs.readdirSync(Buffer.from(directory, 'latin1'), { encoding: 'buffer' })) {
        const name = `${directory}/${entry.toString('latin1')}`;
        const stats = fs.lstatSync(Buffer.from(name, 'latin1'), { bigint: true });
        files.push({ name, stats });
        if (stats.isDirectory()) visit(name);
      }
    };
    visit(root);
    const byInode = new Map<bigint, string[]>();
    for (const { name, stats } of files) byInode.set(stats.ino, [...(byInode.get(stats.ino) ?? []), name].sort());
    for (const { name, stats } of files) {
      // A lock file is made by whichever run locks the folder first.
      if (name.endsWith('/.lock')) continue;
      const owner = `${(stats.mode & 0o7777n).toString(8)} ${stats.uid}`;
      const content = stats.isFile() ? fs.readFileSync(Buffer.from(name, 'latin1')) : undefined;
      const digest = content === undefined ? '' : createHash('sha256').update(content).digest('hex');
      const time = stats.isFile() && !path.basename(name).startsWith('.') ? String(stats.mtimeNs) : '';
      const shared = stats.isFile() ? (byInode.get(stats.ino) ?? []).join(' = ') : '';
      lines.push(`${name} ${owner} ${digest} ${time} [${shared}]`);
    }
  }
  return lines.sort();
}
