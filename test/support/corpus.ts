/** The corpus of real and broken mail that lies beside the project (`../shared/corpus`), when it is there. */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { crlfForm, type ImapValue } from '../../src/engine/message/parse.js';

export const corpusDirectory =
  process.env.MAILHAUL_CORPUS ?? fileURLToPath(new URL('../../../shared/corpus', import.meta.url));

/** Why the corpus cannot be used, or undefined. */
export function corpusMissing(): string | undefined {
  return existsSync(join(corpusDirectory, 'consensus.jsonl')) ? undefined : `no corpus at ${corpusDirectory}`;
}

/** What Dovecot and Cyrus agree on for one message; a field is missing where they do not. */
export interface Consensus {
  readonly sha256: string;
  readonly file: string;
  readonly size: number;
  readonly envelope?: ImapValue;
  readonly bodystructure?: ImapValue;
}

export function readConsensus(): Consensus[] {
  return readFileSync(join(corpusDirectory, 'consensus.jsonl'), 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Consensus);
}

/** Paths of all messages, relative to the corpus, sorted. */
export function corpusFiles(): string[] {
  return readdirSync(corpusDirectory, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.eml'))
    .sort();
}

/** A message in CRLF form. */
export function readCorpusMessage(file: string): Uint8Array {
  return crlfForm(readFileSync(join(corpusDirectory, file)));
}

export function sha256(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}

/** Case folded where the comparison does not care (corpus README.md): types, parameter names, encodings, languages. */
export function foldStructure(value: ImapValue): ImapValue {
  if (!Array.isArray(value) || value.length === 0) return value;
  if (Array.isArray(value[0])) {
    const parts = value.findIndex((item) => !Array.isArray(item));
    const [subtype, parameters, disposition, language, ...rest] = value.slice(parts);
    return [
      ...value.slice(0, parts).map(foldStructure),
      upper(subtype!),
      foldNames(parameters!),
      foldDisposition(disposition!),
      foldLanguage(language!),
      ...rest,
    ];
  }
  const isMessage = upper(value[0]!) === 'MESSAGE' && Array.isArray(value[8]);
  const isText = upper(value[0]!) === 'TEXT';
  const size = isMessage ? [value[6]!, value[7]!, foldStructure(value[8]!), value[9]!] : value.slice(6, isText ? 8 : 7);
  const [md5, disposition, language, ...rest] = value.slice(6 + size.length);
  return [
    upper(value[0]!),
    upper(value[1]!),
    foldNames(value[2]!),
    value[3]!,
    value[4]!,
    upper(value[5]!),
    ...size,
    md5!,
    foldDisposition(disposition!),
    foldLanguage(language!),
    ...rest,
  ];
}

function upper(value: ImapValue): ImapValue {
  return typeof value === 'string' ? value.replace(/[a-z]/g, (letter) => letter.toUpperCase()) : value;
}

function foldNames(value: ImapValue): ImapValue {
  return Array.isArray(value) ? value.map((item, i) => (i % 2 === 0 ? upper(item) : item)) : value;
}

function foldDisposition(value: ImapValue): ImapValue {
  return Array.isArray(value) ? [upper(value[0]!), ...value.slice(1).map(foldNames)] : value;
}

function foldLanguage(value: ImapValue): ImapValue {
  return Array.isArray(value) ? value.map(upper) : upper(value);
}
