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
