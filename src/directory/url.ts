/** What of a directory URL may be shown. */

/**
 * The URL without user and password. A password that is not encoded may hold any character, slashes and `@` too, so
 * everything up to the last `@` goes; a base that holds one is shortened with it.
 */
export function withoutPassword(url: string): string {
  return url.replace(/\/\/.*@/s, '//…@');
}
