/** The way back from `encodeUtf7`, to prove that it loses nothing: the product only encodes. */
import { encodeUtf7 } from '../../src/store/utf7.js';

/** Decodes; undefined when `name` is not what `encodeUtf7` writes for any text. */
export function decodeUtf7(name: string): string | undefined {
  let out = '';
  let at = 0;
  while (at < name.length) {
    const char = name[at]!;
    if (char !== '&') {
      out += char;
      at++;
      continue;
    }
    const end = name.indexOf('-', at);
    if (end === -1) return undefined;
    const bytes = Buffer.from(name.slice(at + 1, end).replaceAll(',', '/'), 'base64');
    if (bytes.length % 2 !== 0) return undefined;
    out += end === at + 1 ? '&' : bytes.swap16().toString('utf16le');
    at = end + 1;
  }
  return encodeUtf7(out) === name ? out : undefined;
}
