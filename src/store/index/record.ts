/** The 80-byte record of one message in store.idx (docs/formats/store-idx.md, "Record"). */
import { DIGEST_BYTES } from '../digest.js';
import { RECORD_BYTES, readI64, readU64, viewOf, write64 } from './format.js';

/** What is known of a message beside its keywords and its cache entry. */
export interface MessageFacts {
  readonly uid: number;
  /** FLAG bits. */
  readonly flags: number;
  /** Seconds since 1970 UTC. */
  readonly internalDate: number;
  /** Bytes of the stored (CRLF) form. */
  readonly size: number;
  /** Bytes of the header, with the blank line that ends it. */
  readonly headerBytes: number;
  /** XXH3-128 of the stored bytes, 16 bytes. */
  readonly digest: Uint8Array;
}

/** Where a message's cache entry and keywords are in the index. */
export interface RecordPlace {
  /** Of the cache entry, from the start of the cache section. */
  readonly cacheOffset: number;
  readonly cacheBytes: number;
  readonly cacheCheck: number;
  /** The message's keywords are keywordRefs[keywordFirst … keywordFirst + keywordCount]. */
  readonly keywordFirst: number;
  readonly keywordCount: number;
}

export type IndexRecord = MessageFacts & RecordPlace;

/** Writes a record at `at` of `bytes`, which holds zeros there; without a place its fields stay 0. */
export function encodeRecord(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  facts: MessageFacts,
  place?: RecordPlace,
): void {
  view.setUint32(at, facts.uid, true);
  view.setUint32(at + 4, facts.flags, true);
  write64(view, at + 8, facts.internalDate);
  write64(view, at + 16, facts.size);
  write64(view, at + 24, facts.headerBytes);
  bytes.set(facts.digest, at + 32);
  if (place === undefined) return;
  write64(view, at + 48, place.cacheOffset);
  view.setUint32(at + 56, place.cacheBytes, true);
  view.setUint32(at + 60, place.cacheCheck, true);
  view.setUint32(at + 64, place.keywordFirst, true);
  view.setUint32(at + 68, place.keywordCount, true);
}

/** Reads the record at `at`; the caller knows that 80 bytes are there. Nothing is judged. */
export function decodeRecord(bytes: Uint8Array, view: DataView, at: number): IndexRecord {
  return {
    uid: view.getUint32(at, true),
    flags: view.getUint32(at + 4, true),
    internalDate: readI64(view, at + 8),
    size: readU64(view, at + 16),
    headerBytes: readU64(view, at + 24),
    digest: bytes.slice(at + 32, at + 32 + DIGEST_BYTES),
    cacheOffset: readU64(view, at + 48),
    cacheBytes: view.getUint32(at + 56, true),
    cacheCheck: view.getUint32(at + 60, true),
    keywordFirst: view.getUint32(at + 64, true),
    keywordCount: view.getUint32(at + 68, true),
  };
}

/** A record of its own, without a place: as the journal holds it. */
export function placelessRecord(facts: MessageFacts): Uint8Array {
  const bytes = new Uint8Array(RECORD_BYTES);
  encodeRecord(bytes, viewOf(bytes), 0, facts);
  return bytes;
}
