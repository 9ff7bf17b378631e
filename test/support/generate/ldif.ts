/** The user directory as an LDIF file (RFC 2849): folded lines, base64 where needed, comments. */

export interface LdifValue {
  readonly name: string;
  readonly value: string | Buffer;
}

const COLUMNS = 76;

/** One entry with the blank line that ends it. */
export function ldifEntry(dn: string, values: readonly LdifValue[]): string {
  return `${[line('dn', dn), ...values.map(({ name, value }) => line(name, value))].join('\n')}\n\n`;
}

function line(name: string, value: string | Buffer): string {
  const bytes = typeof value === 'string' ? Buffer.from(value, 'utf8') : value;
  return fold(isSafe(bytes) ? `${name}: ${bytes.toString('latin1')}` : `${name}:: ${bytes.toString('base64')}`);
}

/** SAFE-STRING of RFC 2849, and no trailing space, which editors lose. */
function isSafe(bytes: Buffer): boolean {
  const first = bytes[0];
  if (first === 0x20 || first === 0x3a || first === 0x3c || bytes.at(-1) === 0x20) return false;
  return bytes.every((byte) => byte < 0x80 && byte !== 0 && byte !== 0x0a && byte !== 0x0d);
}

function fold(text: string): string {
  if (text.length <= COLUMNS) return text;
  const pieces = [text.slice(0, COLUMNS)];
  for (let at = COLUMNS; at < text.length; at += COLUMNS - 1) pieces.push(` ${text.slice(at, at + COLUMNS - 1)}`);
  return pieces.join('\n');
}
