/** The program of probe.ts. Prints the table that it reads, so that its last line says where it ended. */
import { writeSync } from 'node:fs';
import { MailhaulError } from '../../errors.js';
import { closeDir, openRoot } from '../../fs/dir.js';
import { MAILBOX_DATABASE_FILE, MAILBOX_TABLES } from '../../store/database.js';
import { openEnvironment } from '../../store/environment.js';
import { MAPPING_DATABASE_FILE, MAPPING_TABLES } from '../mapping/database.js';

/** Address space; more than either database may have. */
const MAP_SIZE = 128 * 2 ** 30;

async function readAll(directory: string, file: string, tables: readonly string[]): Promise<void> {
  const dir = openRoot(directory);
  try {
    writeSync(1, `${dir.path}/${file}\n`);
    const environment = await openEnvironment(dir, file, { owner, readOnly: true, mapSize: MAP_SIZE, tables });
    for (const name of tables) {
      writeSync(1, `${dir.path}/${file}, ${name}\n`);
      for (const { value } of environment.table(name).scan(new Uint8Array(0))) value.at(-1);
    }
    await environment.close();
  } finally {
    closeDir(dir);
  }
}

const [mboxlist = '', workDir = '', uid = '', gid = ''] = process.argv.slice(2);
const owner = { uid: Number(uid), gid: Number(gid) };
try {
  await readAll(mboxlist, MAILBOX_DATABASE_FILE, MAILBOX_TABLES);
  await readAll(workDir, MAPPING_DATABASE_FILE, MAPPING_TABLES);
} catch (error) {
  // What openEnvironment finds by itself it will say again, where it belongs.
  if (!(error instanceof MailhaulError)) {
    writeSync(1, `${String(error)}\n`);
    process.exit(1);
  }
}
