/** The message parser of the portable engine; native/src/mime is its twin and gives the same bytes. */
export { crlfForm } from './crlf.js';
export { type CacheEntry, decodeCacheEntry, type PartRecord } from './decode.js';
export { parseMessage } from './entry.js';
export { type ImapValue, parseImapValue } from './imapvalue.js';
export { KIND, MAX_LEVELS, MAX_PARTS } from './structure.js';
