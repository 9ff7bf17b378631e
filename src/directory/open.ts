/** Opens the directory that a URL or a file name stands for. */
import * as fs from 'node:fs';
import { resolve } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { describeError, hasErrno, MailhaulError } from '../errors.js';
import { statOpen, statOpenExactly } from '../fs/descriptor.js';
import { openNamedFile } from '../fs/named.js';
import { ldapDirectory } from './ldap.js';
import type { LdapServer } from './ldap-connection.js';
import { readLdif } from './ldif.js';
import type { SourceItem, UserDirectory } from './types.js';
import { uniqueUsers } from './unique.js';
import { withoutPassword } from './url.js';

export interface DirectoryOptions {
  /** `ldap://host[:port][/base][????StartTLS]`, `ldaps://…`, or the path of an LDIF file. */
  readonly location: string;
  /** HostName of the 3.x server: the `mailHost` of its users. */
  readonly hostName: string;
  /** Where the search begins; a base in the URL goes before it. */
  readonly baseDn?: string | undefined;
  /** Needs `passwordFile`. Without it the bind is anonymous. */
  readonly bindDn?: string | undefined;
  /** Its first line is the password; others must not be able to read it. */
  readonly passwordFile?: string | undefined;
  /** StartTLS on an ldap:// connection; the URL's extension says the same. */
  readonly startTls?: boolean | undefined;
  /** PEM file of the CA certificates to trust instead of the system's. */
  readonly caFile?: string | undefined;
  /** Entries a page, 500 unless given. */
  readonly pageSize?: number | undefined;
  /** For connecting and for each answer, 30 unless given. */
  readonly timeoutSeconds?: number | undefined;
}

const PASSWORD_LIMIT = 65536;
const CA_LIMIT = 16 << 20;

/**
 * Checks what it was given and returns the directory; the server is asked, and the LDIF file read, by
 * `users()`. Throws MailhaulError: DIR_URL, DIR_OPTIONS (exit 2), DIR_BIND, DIR_FILE, DIR_PASSWORD_FILE (exit 3).
 */
export function openDirectory(options: DirectoryOptions): UserDirectory {
  const { location, hostName } = options;
  if (hostName === '') throw badOptions('The host name of the 3.x server is empty.');
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(location)) return ldifDirectory(resolve(location), hostName);

  const url = parseLdapUrl(location);
  const startTls = options.startTls === true || url.startTls;
  if (startTls && url.secure) throw badOptions('StartTLS goes with ldap://; ldaps:// is protected from the beginning.');
  const pageSize = options.pageSize ?? 500;
  if (!Number.isInteger(pageSize) || pageSize < 1 || pageSize > 100_000) {
    throw badOptions('The page size is 1 to 100000 entries.');
  }
  const timeout = (options.timeoutSeconds ?? 30) * 1000;
  if (!(timeout >= 1 && timeout <= 86_400_000)) throw badOptions('The time-out is at most a day, and above 0.');
  const server: LdapServer = {
    host: url.host,
    port: url.port,
    security: url.secure ? 'ldaps' : startTls ? 'starttls' : 'none',
    ca: options.caFile === undefined ? undefined : readSmallFile(options.caFile, CA_LIMIT, 'DIR_FILE').content,
    timeout,
  };
  const bind = bindAccount(options.bindDn, options.passwordFile);
  return ldapDirectory({ server, baseDn: url.baseDn ?? options.baseDn ?? '', bind, hostName, pageSize });
}

function badOptions(message: string): MailhaulError {
  return new MailhaulError('DIR_OPTIONS', message, { exit: 2 });
}

interface LdapUrl {
  readonly secure: boolean;
  readonly startTls: boolean;
  readonly host: string;
  readonly port: number;
  readonly baseDn: string | undefined;
}

/** By name, as OpenLDAP's tools took it, or by OID (RFC 4511 4.14.1); `!` makes it critical, which it is anyway. */
const START_TLS_EXTENSION = /^!?(starttls|x-starttls|1\.3\.6\.1\.4\.1\.1466\.20037)$/i;

/** RFC 4516, as far as it names a server and a base. Throws DIR_URL (exit 2). */
export function parseLdapUrl(text: string): LdapUrl {
  const bad = (why: string) =>
    new MailhaulError('DIR_URL', `The directory URL ${why}.`, {
      // A password in a URL must not reach a log.
      where: withoutPassword(text).slice(0, 300),
      hint: 'Write ldap://host:port/base, with ????StartTLS or as ldaps://, or the name of an LDIF file.',
      exit: 2,
    });
  const match = /^(ldaps?):\/\/(\[[0-9a-f:.]+\]|[^/:?#@\s[\]]*)(?::(\d{1,5}))?(?:\/([^?#]*)(\?[^#]*)?)?$/i.exec(text);
  if (match === null) throw bad('cannot be read');
  const [, scheme = '', host = '', port, path = '', rest = ''] = match;
  const secure = scheme.toLowerCase() === 'ldaps';
  const number = port === undefined ? (secure ? 636 : 389) : Number(port);
  if (number < 1 || number > 65535) throw bad('has a port that does not exist');
  // ?attributes?scope?filter?extensions: what is searched, and how, is not the URL's to say.
  const [, , scope = '', filter = '', extensions = ''] = rest.split('?');
  if ((scope !== '' && scope.toLowerCase() !== 'sub') || filter !== '') {
    throw bad('asks for another search than that of all users below its base');
  }
  const startTls = START_TLS_EXTENSION.test(extensions);
  if (extensions !== '' && !startTls) throw bad('has an extension other than StartTLS');
  let baseDn: string;
  try {
    baseDn = decodeURIComponent(path);
  } catch {
    throw bad('has a base that cannot be decoded');
  }
  return {
    secure,
    startTls,
    host: host === '' ? 'localhost' : host.replace(/^\[|\]$/g, ''),
    port: number,
    baseDn: baseDn === '' ? undefined : baseDn,
  };
}

function bindAccount(
  dn: string | undefined,
  passwordFile: string | undefined,
): { dn: string; password: string } | undefined {
  const incomplete = (why: string) =>
    new MailhaulError('DIR_BIND', why, { hint: 'Set LdapBindDN and LdapBindPasswordFile, or neither.' });
  if (dn === undefined || dn === '') {
    if (passwordFile !== undefined) throw incomplete('There is a password file but no bind DN.');
    return undefined;
  }
  if (passwordFile === undefined) throw incomplete('There is a bind DN but no password file.');
  const { content, mode } = readSmallFile(passwordFile, PASSWORD_LIMIT, 'DIR_PASSWORD_FILE');
  const refuse = (why: string, hint: string) =>
    new MailhaulError('DIR_PASSWORD_FILE', `The password file ${why}.`, { where: passwordFile, hint });
  if ((mode & 0o007) !== 0)
    throw refuse('can be read or changed by everybody', 'chmod 600 it, and change the password.');
  const password = content.toString('utf8').split(/\r?\n/, 1)[0] ?? '';
  // A bind with an empty password is anonymous, and succeeds (RFC 4513 5.1.2).
  if (password === '') throw refuse('is empty', 'Write the password on its first line.');
  return { dn, password };
}

function openNamed(path: string, code: string): number {
  try {
    return openNamedFile(path);
  } catch (cause) {
    const why = hasErrno(cause, 'ENOENT', 'ENOTDIR') ? 'does not exist' : `cannot be opened: ${describeError(cause)}`;
    throw new MailhaulError(code, `The file ${why}.`, { where: path, cause });
  }
}

function readSmallFile(path: string, limit: number, code: string): { content: Buffer; mode: number } {
  const fd = openNamed(path, code);
  try {
    const { size, mode } = statOpen(fd);
    if (size > limit) throw new MailhaulError(code, `The file is larger than ${limit} bytes.`, { where: path });
    return { content: fs.readFileSync(fd), mode };
  } finally {
    fs.closeSync(fd);
  }
}

function ldifDirectory(path: string, hostName: string): UserDirectory {
  // Opened now, so that a wrong name is known before anything else happens.
  const fd = openNamed(path, 'DIR_FILE');
  let closed = false;
  return {
    description: path,
    users: (signal) => uniqueUsers(readFileOf(fd, path, hostName, signal), signal),
    async close() {
      if (!closed) fs.closeSync(fd);
      closed = true;
    },
  };
}

/** Items between two turns of the event loop. */
const ITEMS_A_TURN = 1000;

async function* readFileOf(
  fd: number,
  path: string,
  hostName: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<SourceItem> {
  const before = statOpenExactly(fd);
  let count = 0;
  try {
    for (const item of readLdif(fd, hostName)) {
      yield item;
      count += 1;
      if (count % ITEMS_A_TURN === 0) {
        await nextTurn();
        signal?.throwIfAborted();
      }
    }
  } catch (cause) {
    if (cause instanceof MailhaulError || signal?.aborted) throw cause;
    throw new MailhaulError('DIR_FILE', `The LDIF file cannot be read to its end: ${String(cause)}.`, {
      where: path,
      cause,
    });
  }
  const after = statOpenExactly(fd);
  if (after.size !== before.size || after.mtimeNs !== before.mtimeNs) {
    throw new MailhaulError('DIR_PARTIAL', 'The LDIF file changed while it was read.', {
      where: path,
      hint: 'Let the export end first.',
    });
  }
}
