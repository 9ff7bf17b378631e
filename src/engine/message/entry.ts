/** The cache entry of a message (docs/formats/store-idx.md, "Cache entry"): all four parts of it. */
import { addressScratch } from './addresses.js';
import { writeBodyStructure } from './bodystructure.js';
import { writeEnvelope } from './envelope.js';
import { KIND, type MessageTree, type Part, parseTree } from './structure.js';
import { Writer } from './writer.js';

const HEAD_BYTES = 16;

/**
 * Parses a message in CRLF form. Any bytes are accepted; time is linear in the size, and the depth of recursion is
 * bounded (structure.ts). `headerBytes` includes the blank line that ends the header.
 */
export function parseMessage(message: Uint8Array): { headerBytes: number; cache: Uint8Array } {
  const tree = parseTree(message);
  const out = new Writer();
  out.bytes(new Uint8Array(HEAD_BYTES));
  const scratch = addressScratch();
  let start = out.length;
  const close = (section: number): void => {
    out.u32At(section * 4, out.length - start);
    start = out.length;
  };
  writeEnvelope(message, tree.root.fields, out, scratch);
  close(0);
  writeBodyStructure(message, tree.root, out, scratch);
  close(1);
  writeParts(tree, out);
  close(2);
  writeFields(message, tree, out);
  close(3);
  return { headerBytes: tree.root.bodyStart, cache: out.copy() };
}

function writeParts(tree: MessageTree, out: Writer): void {
  out.leb128(tree.parts);
  let before = 0;
  const write = (part: Part): void => {
    out.leb128(part.kind);
    out.leb128(part.children.length);
    out.leb128(part.headerStart - before);
    before = part.headerStart;
    out.leb128(part.bodyStart - part.headerStart);
    out.leb128(part.bodyEnd - part.bodyStart);
    out.leb128(part.lines);
    if (part.kind !== KIND.leaf) for (const child of part.children) write(child);
  };
  write(tree.root);
}

function writeFields(message: Uint8Array, tree: MessageTree, out: Writer): void {
  for (const field of tree.cached) out.bytes(message, field.start, field.end);
  if (tree.cachedCut) out.byte(0);
}
