/**
 * Blanks around a piece of a line. Files of 3.x are looked at as bytes (ISO-8859-1), and there `trim()` is wrong: it
 * takes A0 for a no-break space, which is the last byte of many a UTF-8 character (`à` is C3 A0).
 */

/** Without the ASCII blanks (tab, LF, VT, FF, CR, space) in front and at the end. */
export function trimBlanks(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isBlank(text.charCodeAt(start))) start += 1;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end -= 1;
  return text.slice(start, end);
}

function isBlank(code: number): boolean {
  return code === 0x20 || (code >= 0x09 && code <= 0x0d);
}
