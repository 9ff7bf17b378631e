/**
 * Modified UTF-7 (RFC 3501 5.1.3): mailbox names in printable ASCII.
 *
 * Printable ASCII stands for itself, `&` is `&-`; everything else is `&`, the UTF-16 code units in base64 with `,`
 * for `/` and no padding, and `-`. One text has exactly one form: neighbours share a shift, and what can be ASCII is.
 */

/** Encodes any string of valid UTF-16. */
export function encodeUtf7(text: string): string {
  if (ITSELF.test(text)) return text;
  let out = '';
  let at = 0;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code >= 0x20 && code <= 0x7e) {
      out += code === 0x26 ? '&-' : text[at];
      at++;
      continue;
    }
    const start = at;
    while (at < text.length && !isDirect(text.charCodeAt(at))) at++;
    out += `&${base64(text.slice(start, at))}-`;
  }
  return out;
}

/** Printable ASCII without `&`: nearly every name. */
const ITSELF = /^[ -%'-~]*$/;

function isDirect(code: number): boolean {
  return code >= 0x20 && code <= 0x7e;
}

function base64(units: string): string {
  const bytes = Buffer.from(units, 'utf16le').swap16();
  return bytes.toString('base64').replace(/=+$/, '').replaceAll('/', ',');
}

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
