/**
 * Adding messages to a published folder: a retry of what failed. The mailbox is locked throughout (additions-open.ts).
 *
 *     <mailbox>/.retry/    a mailbox directory of its own, in which the engine migrates the new messages
 *     <mailbox>/           gets their files by rename; then
 *       no service has been here    a new store.idx of both indexes, by rename
 *       a service has been here     entries in the journal, once the files are durable (additions-append.ts)
 *
 * A message that is published already is not looked at in 3.x, and neither its file nor its index entry changes.
 * Killed anywhere, a message is in the mailbox or it is not, `.retry` tells which (store/mailbox/retry.ts), and the
 * next run adds those that are not.
 *
 * The folder is published, so its index must be whole at every moment, also after a power loss (4x-store.md, promise 4):
 * files and names are synced one by one before the index that lists them, and that index before it replaces the old
 * one. The group's syncfs (publish.ts) comes too late for that; it is early enough for entries in the journal.
 */
import * as fs from 'node:fs';
import type { EngineOutput, IndexSummary } from '../engine/types.js';
import { closeDir, createOver, type Dir, ensureDir, type Ownership, openDir, rename, sync } from '../fs/dir.js';
import { openFile } from '../fs/file.js';
import { loadDigest } from '../store/digest.js';
import { fileSink } from '../store/index/io.js';
import { openMailboxIndex } from '../store/index/mailboxIndex.js';
import { type IndexReader, openIndex } from '../store/index/reader.js';
import type { IndexRecord } from '../store/index/record.js';
import { IndexBuilder } from '../store/index/writer.js';
import { hashDirectory, INDEX_FILE, messageFile, RETRY_DIRECTORY } from '../store/layout.js';
import { NEW_INDEX } from '../store/mailbox/retry.js';
import { pickRows } from './rows.js';
import { inputOf, type OpenMove, ownerOf, type StepTools, type Transfer } from './steps.js';

/** `addMessages`, ready to use in this thread. */
export async function loadAdditions(): Promise<Transfer> {
  await loadDigest();
  return addMessages;
}

/**
 * Migrates the rows of the plan that are to be added. In the output a message that was there before has no method and
 * no error, and `summary` is that of the whole folder, as it is before entries come into the journal.
 */
function addMessages(tools: StepTools, task: OpenMove, target: Dir): EngineOutput {
  const { messages } = task.plan;
  const rows = [...(task.additions?.rows ?? [])];
  if (rows.length === 0) return { ...nothing(messages.count), summary: currentSummary(target) };
  const owner = ownerOf(tools.context);
  const scratch = ensureDir(target, RETRY_DIRECTORY, owner);
  try {
    const added = tools.engine.migrate({
      ...inputOf(tools, task, scratch),
      messages: pickRows(messages, messages, rows),
      publishWithFailures: true,
      resumed: true,
    });
    const output = spread(added, rows, messages.count);
    if (added.summary === null) return output;
    if (added.summary.messages === 0) return { ...output, summary: currentSummary(target) };
    return { ...output, summary: withIndex(scratch, (index) => take(task, target, scratch, index, owner)) };
  } finally {
    closeDir(scratch);
  }
}

function nothing(count: number): EngineOutput {
  return {
    methods: new Uint8Array(count),
    errors: new Uint8Array(count),
    errnos: new Int32Array(count),
    summary: null,
    bytes: 0,
    halt: null,
    stopped: false,
    times: { read: 0, parse: 0, place: 0, index: 0 },
  };
}

function withIndex<T>(mailbox: Dir, use: (index: IndexReader) => T): T {
  const fd = openFile(mailbox, INDEX_FILE);
  try {
    return use(openIndex(fd));
  } finally {
    fs.closeSync(fd);
  }
}

/** Columns of the rows `rows` as columns of `count` rows; the others hold 0. */
function spread(output: EngineOutput, rows: readonly number[], count: number): EngineOutput {
  const methods = new Uint8Array(count);
  const errors = new Uint8Array(count);
  const errnos = new Int32Array(count);
  rows.forEach((row, k) => {
    methods[row] = output.methods[k] ?? 0;
    errors[row] = output.errors[k] ?? 0;
    errnos[row] = output.errnos[k] ?? 0;
  });
  return { ...output, methods, errors, errnos };
}

function currentSummary(mailbox: Dir): IndexSummary {
  const index = openMailboxIndex(mailbox);
  try {
    return index.summary();
  } finally {
    index.close();
  }
}

/** Moves the new message files to their places; then, where no service has been, writes the index of old and new. */
function take(task: OpenMove, target: Dir, scratch: Dir, added: IndexReader, owner: Ownership): IndexSummary {
  moveFiles(scratch, target, added, owner);
  if (task.additions?.append === true) return currentSummary(target);
  syncMoved(scratch, target, added);
  return withIndex(target, (published) => {
    const fd = createOver(target, NEW_INDEX, owner);
    let summary: IndexSummary;
    try {
      summary = writeBoth(fd, task, published, added);
      sync(fd);
    } finally {
      fs.closeSync(fd);
    }
    rename(target, NEW_INDEX, target, INDEX_FILE);
    return summary;
  });
}

function moveFiles(scratch: Dir, target: Dir, added: IndexReader, owner: Ownership): void {
  for (const [name, files] of filesByDirectory(added)) {
    withDir(openDir(scratch, name), (from) =>
      withDir(ensureDir(target, name, owner), (to) => {
        for (const file of files) rename(from, file, to, file);
      }),
    );
  }
}

/** Makes durable what `moveFiles` moved, and the index in `.retry` that tells what was brought in. */
function syncMoved(scratch: Dir, target: Dir, added: IndexReader): void {
  for (const [name, files] of filesByDirectory(added)) {
    withDir(openDir(target, name), (directory) => {
      for (const file of files) syncFile(directory, file);
      sync(directory.fd);
    });
  }
  syncFile(scratch, INDEX_FILE);
  sync(scratch.fd);
  // The names of `.retry` and of new hash directories.
  sync(target.fd);
}

function syncFile(dir: Dir, name: string): void {
  const fd = openFile(dir, name);
  try {
    sync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

/** Message files of an index by their hash directory. */
function filesByDirectory(index: IndexReader): Map<string, string[]> {
  const byDirectory = new Map<string, string[]>();
  for (const { uid } of index.records()) {
    const name = hashDirectory(uid);
    const files = byDirectory.get(name);
    if (files === undefined) byDirectory.set(name, [messageFile(uid)]);
    else files.push(messageFile(uid));
  }
  return byDirectory;
}

function withDir<T>(dir: Dir, use: (dir: Dir) => T): T {
  try {
    return use(dir);
  } finally {
    closeDir(dir);
  }
}

/** Writes both indexes as one, ascending uid, with the keyword table of the published one in front. */
function writeBoth(fd: number, task: OpenMove, published: IndexReader, added: IndexReader): IndexSummary {
  const keywords = [...published.keywords()];
  const places = new Map(keywords.map((keyword, place) => [keyword.toLowerCase(), place]));
  const placeOf = (keyword: string): number => {
    const known = places.get(keyword.toLowerCase());
    if (known !== undefined) return known;
    places.set(keyword.toLowerCase(), keywords.length);
    return keywords.push(keyword) - 1;
  };
  const { uidvalidity } = published.header;
  const uidnext = Math.max(published.header.uidnext, task.plan.uidnext);
  const frame = { uidvalidity, uidnext, generation: 0, keywords, admin: task.admin };
  const builder = new IndexBuilder(fileSink(fd), frame, published.count + added.count);
  const addOld = (record: IndexRecord): void =>
    builder.add(record, published.keywordRefs(record), published.cache(record));
  const addNew = (record: IndexRecord): void => {
    const refs = added.keywordsOf(record).map(placeOf);
    builder.add(
      record,
      refs.sort((a, b) => a - b),
      added.cache(record),
    );
  };
  let i = 0;
  for (const record of added.records()) {
    for (; i < published.count && published.record(i).uid < record.uid; i++) addOld(published.record(i));
    addNew(record);
  }
  for (; i < published.count; i++) addOld(published.record(i));
  return builder.finish();
}
