/**
 * The two implementations of digest, CRLF form and parser: TypeScript (of the portable engine) and C++ (of the native
 * one). An index does not say which wrote it, so each message is given to both, and both must answer with what the
 * index holds: whichever engine wrote, the other one has checked. Without the addon only the first is there.
 */
import { crlfForm, parseMessage } from '../../engine/message/parse.js';
import { loadAddon } from '../../fs/addon.js';
import { digest, loadDigest } from '../../store/digest.js';

export interface Implementation {
  readonly name: 'portable' | 'native';
  /** XXH3-128 in canonical byte order. */
  digest(data: Uint8Array): Uint8Array;
  /** The same array when it is in CRLF form already. */
  crlfForm(data: Uint8Array): Uint8Array;
  /** Cache entry of store.idx. */
  parseMessage(message: Uint8Array): { headerBytes: number; cache: Uint8Array };
}

export async function implementations(): Promise<Implementation[]> {
  await loadDigest();
  const portable: Implementation = { name: 'portable', digest, crlfForm, parseMessage };
  const addon = loadAddon();
  if (addon === undefined) return [portable];
  return [
    portable,
    {
      name: 'native',
      digest: (data) => addon.digest(data),
      crlfForm: (data) => addon.crlfForm(data),
      parseMessage: (message) => addon.parseMessage(message),
    },
  ];
}
