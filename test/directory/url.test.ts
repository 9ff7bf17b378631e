/** What of a directory URL is shown. */
import { describe, expect, it } from 'vitest';
import { openDirectory } from '../../src/directory/open.js';
import { withoutPassword } from '../../src/directory/url.js';
import { HOST } from './support.js';

describe('a directory URL that is shown', () => {
  it.each([
    ['ldap://ldap.example.com:389/o=x', 'ldap://ldap.example.com:389/o=x'],
    ['ldap://user:pw@ldap.example.com/o=x', 'ldap://…@ldap.example.com/o=x'],
    ['ldap://user:p/w@ldap.example.com/o=x', 'ldap://…@ldap.example.com/o=x'],
    ['ldap://user:p@/\nw@ldap.example.com/', 'ldap://…@ldap.example.com/'],
  ])('of %j is %j', (url, shown) => {
    expect(withoutPassword(url)).toBe(shown);
  });

  it('has no password in an error either, whatever the password holds', () => {
    const open = (): unknown => openDirectory({ location: 'ldap://user:se/cr@et@ldap.example.com/', hostName: HOST });
    expect(open).toThrow(expect.objectContaining({ code: 'DIR_URL', where: 'ldap://…@ldap.example.com/' }));
  });
});
