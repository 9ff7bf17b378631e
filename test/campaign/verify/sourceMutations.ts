/**
 * Changes of the 3.x side. Left out, because they are no error: an original that is gone, or another file with the same
 * content; a size in a line, which the file rules; a line of which another one has the uid or the file.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { Random } from '../../support/generate/random.js';
import { addFile, flip, type Ground, type Mutation, type Mutator, owned, reference, rewrite } from './ground.js';

export const SOURCE_MUTATORS: Readonly<Record<string, Mutator>> = {
  'original byte': (ground, random) => {
    if (ground.originals.length === 0) return undefined;
    const file = random.pick(ground.originals);
    if (fs.statSync(file).size === 0) return undefined;
    return rewrite(file, (content) => flip(content, random), 'a byte', reference(ground));
  },
  'original added': (ground, random) =>
    addFile(path.join(random.pick(ground.sourceFolders), 'later'), 'Subject: x\r\n'),
  'folder added': (ground, random) => {
    const folder = path.join(random.pick(ground.sourceFolders), 'Later');
    fs.mkdirSync(folder, { mode: 0o700 });
    owned(folder);
    return { what: `new folder ${folder}`, undo: () => fs.rmdirSync(folder) };
  },
  'uid in .mailbox': (ground, random) => changeField(ground, random, 1, (text) => String(Number(text) + 100_000)),
  'date in .mailbox': (ground, random) => changeField(ground, random, 2, (text) => String(Number(text) + 1)),
  'flags in .mailbox': (ground, random) =>
    changeField(ground, random, 3, (text) => {
      const [letters = '', ...keywords] = text.replace('-', '').split(',');
      const changed = letters.includes('F') ? letters.replace('F', '') : `F${letters}`;
      return [changed, ...keywords].join(',') || '-';
    }),
  '.acl': (ground, random) => appendLine(path.join(random.pick(ground.sourceFolders), '.acl'), 'somebody lr', ground),
  '.subscriptions': (ground, random) => {
    const folder = random.pick(ground.sourceFolders.filter((name) => path.basename(name) === 'INBOX'));
    return appendLine(path.join(path.dirname(folder), '.subscriptions'), 'Not/Before', ground);
  },
};

function appendLine(file: string, line: string, ground: Ground): Mutation | undefined {
  if (!fs.existsSync(file)) return addFile(file, `${line}\n`);
  const change = (content: Buffer): Buffer => {
    const end = content.length === 0 || content.at(-1) === 0x0a ? '' : '\n';
    return Buffer.concat([content, Buffer.from(`${end}${line}\n`)]);
  };
  return rewrite(file, change, 'a line more', reference(ground));
}

const LINE = /^(\d+) (\d+) (-|[SAFDTR]*(?:,[^ ]+)*) (\d+) ([^./][^/]*)$/;

/** A field of a line that says something: the header is there, and no other line has its uid or its file. */
function changeField(
  ground: Ground,
  random: Random,
  field: 1 | 2 | 3,
  change: (text: string) => string,
): Mutation | undefined {
  const file = path.join(random.pick(ground.sourceFolders), '.mailbox');
  const lines = fs.readFileSync(file, 'latin1').split('\n');
  const header = /^NSMB 3 \d+ (\d+)$/.exec(lines[0] ?? '');
  if (header === null) return undefined;
  const parsed = lines.map((line) => LINE.exec(line));
  const only = (at: 1 | 5, i: number): boolean =>
    parsed.filter((other) => other?.[at] === parsed[i]?.[at]).length === 1 && parsed[i] !== null;
  const candidates = [...lines.keys()].filter((i) => only(1, i) && only(5, i));
  if (candidates.length === 0) return undefined;
  const chosen = random.pick(candidates);
  // A line without a file is nobody's.
  if (ground.originals.length > 0 && !ground.originals.includes(path.join(path.dirname(file), parsed[chosen]![5]!))) {
    return undefined;
  }
  const parts = parsed[chosen]!.slice(1);
  parts[field - 1] = change(parts[field - 1]!);
  const edit = (): Buffer => Buffer.from(lines.with(chosen, parts.join(' ')).join('\n'), 'latin1');
  return rewrite(file, edit, `line ${chosen}, now ${parts.join(' ')},`, reference(ground));
}
