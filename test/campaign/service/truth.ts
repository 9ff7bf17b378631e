/**
 * What must be: the messages of every 3.x folder, as the generator's manifest has them, which was written before any
 * code of the product ran. Of the product only the names are taken: which mailbox a folder became.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { closeDir, openRoot } from '../../../src/fs/dir.js';
import { openMappingDatabase } from '../../../src/upgrade/mapping/database.js';
import { linesOf } from '../../support/generate/compare.js';
import type { Ground } from '../kill/ground.js';

export interface Folder {
  readonly mailbox: string;
  /** Id in the mapping. */
  readonly id: number;
  /** Path of the 3.x directory; latin1, so that any byte survives. */
  readonly directory: string;
  /** uid null: the migrator's choice. SHA-256 of the CRLF form. */
  readonly messages: readonly { readonly uid: number | null; readonly sha256: string }[];
}

/** Contents with the number of their messages. */
export type Counts = Map<string, number>;

export function addTo(counts: Counts, content: string, by = 1): void {
  counts.set(content, (counts.get(content) ?? 0) + by);
}

interface ManifestLine {
  readonly type: string;
  readonly user: string;
  readonly folder: string;
  readonly uid: number | null;
  readonly sha256: string;
  readonly outcome: string;
}

/** Of a store whose folders are made (`-s`). Throws when mapping and manifest have different folders. */
export async function readTruth(ground: Ground): Promise<Folder[]> {
  const messages = new Map<string, { uid: number | null; sha256: string }[]>();
  const keyOf = (user: string, folder: string): string => `${user} ${folder}`;
  for await (const line of linesOf(fs.createReadStream(ground.manifest))) {
    const { type, user, folder, uid, sha256, outcome } = JSON.parse(line) as ManifestLine;
    if (type === 'folder') messages.set(keyOf(user, folder), []);
    if (type !== 'message' || outcome === 'nothing') continue;
    if (outcome !== 'migrated') throw new Error(`the ground has a message that must not be: ${line}`);
    messages.get(keyOf(user, folder))?.push({ uid, sha256 });
  }
  const dir = openRoot(ground.storePaths[0] ?? '');
  const mapping = await openMappingDatabase(dir, undefined, { readOnly: true });
  try {
    const folders = Array.from(mapping.folders(), ({ id, uid, mailbox, path: names, missing }): Folder => {
      const raw = names.map((name) => Buffer.from(name).toString('latin1'));
      const key = keyOf(uid, Buffer.from(raw.join('/'), 'latin1').toString('base64'));
      const found = messages.get(key);
      messages.delete(key);
      if (found === undefined && !missing) throw new Error(`${mailbox} is no folder of the manifest`);
      const directory = path.join(mapping.user(uid)?.storePath ?? '', uid, ...raw);
      return { mailbox, id, directory, messages: found ?? [] };
    });
    if (messages.size > 0) throw new Error(`${messages.size} folders of the manifest have no mailbox`);
    return folders;
  } finally {
    await mapping.close();
    closeDir(dir);
  }
}
