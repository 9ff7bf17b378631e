/**
 * A real slapd for tests: temporary directory, free loopback ports, the mail schema of the product, its own CA.
 *
 *     const slapd = await startSlapd({ ldif, tls: true });
 *     … slapd.url, slapd.tlsUrl, slapd.caFile, slapd.rootDn, slapd.passwordFile …
 *     await slapd.stop();
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export interface SlapdOptions {
  /** Content of the directory, loaded with slapadd. It must hold the suffix entry; see `suffixLdif`. */
  readonly ldif: string;
  /** `o=airius.com` unless given. */
  readonly suffix?: string;
  /** Makes a CA and a certificate for 127.0.0.1 and localhost; StartTLS on `url`, LDAPS on `tlsUrl`. */
  readonly tls?: boolean;
  /** More lines for the database section of slapd.conf (limits, access …). */
  readonly config?: string;
}

export interface Slapd {
  /** `ldap://127.0.0.1:port` */
  readonly url: string;
  /** `ldaps://127.0.0.1:port`; undefined without `tls`. */
  readonly tlsUrl: string | undefined;
  readonly port: number;
  readonly suffix: string;
  readonly rootDn: string;
  readonly password: string;
  /** Holds the password of `rootDn`, mode 0600. */
  readonly passwordFile: string;
  /** The CA of the certificate; undefined without `tls`. */
  readonly caFile: string | undefined;
  /** For more files of a test; removed by `stop`. */
  readonly directory: string;
  /** SIGKILL, as a crash; resolves when it has ended. */
  kill(): Promise<void>;
  /** Ends slapd and removes its directory. */
  stop(): Promise<void>;
}

export const SUFFIX = 'o=airius.com';

/** Why slapd cannot be started here; undefined when it can. */
export function slapdMissing(): string | undefined {
  if (slapdPath('slapd') === undefined || slapdPath('slapadd') === undefined) {
    return 'slapd is not installed (apt-get install slapd)';
  }
  if (!existsSync('/etc/ldap/schema/inetorgperson.schema')) return 'the schema files of slapd are not installed';
  return undefined;
}

function slapdPath(name: string): string | undefined {
  return ['/usr/sbin', '/usr/lib/openldap', '/usr/local/libexec', '/usr/local/sbin', '/sbin']
    .map((directory) => join(directory, name))
    .find(existsSync);
}

/** The entry that a suffix needs. */
export function suffixLdif(suffix = SUFFIX): string {
  const value = suffix.slice(suffix.indexOf('=') + 1);
  return `dn: ${suffix}\nobjectClass: organization\no: ${value}\n\n`;
}

export interface UserEntry {
  readonly uid: string;
  readonly mailHost: string;
  /** Below the suffix, such as `ou=People`; none unless given. */
  readonly parent?: string;
  readonly storePath?: string;
  readonly quota?: string;
  readonly delivery?: string;
  readonly objectClass?: 'mailRecipient' | 'nsMessagingServerUser';
}

/** One user as LDIF; every value in base64, so that it may hold anything. */
export function userLdif(user: UserEntry, suffix = SUFFIX): string {
  const base = user.parent === undefined ? suffix : `${user.parent},${suffix}`;
  // RFC 4514 2.4, the characters that need it.
  const rdn = user.uid.replace(/[\\,+"<>;=#\u0000-\u001f]|^ | $/g, (character) =>
    Buffer.from(character).reduce((text, byte) => `${text}\\${byte.toString(16).padStart(2, '0')}`, ''),
  );
  const line = (name: string, value: string) => `${name}:: ${Buffer.from(value).toString('base64')}\n`;
  return [
    line('dn', `uid=${rdn},${base}`),
    'objectClass: inetOrgPerson\n',
    `objectClass: ${user.objectClass ?? 'mailRecipient'}\n`,
    line('uid', user.uid),
    line('cn', `Name of ${user.uid}`),
    line('sn', 'Name'),
    line('mail', `${user.uid}@airius.com`),
    line('mailHost', user.mailHost),
    line('mailDeliveryOption', user.delivery ?? 'mailbox'),
    user.storePath === undefined ? '' : line('mailMessageStore', user.storePath),
    user.quota === undefined ? '' : line('mailQuota', user.quota),
    '\n',
  ].join('');
}

/** Starts slapd and waits until it answers. The caller stops it. */
export async function startSlapd(options: SlapdOptions): Promise<Slapd> {
  const missing = slapdMissing();
  if (missing !== undefined) throw new Error(missing);
  const directory = mkdtempSync(join(tmpdir(), 'mailhaul-slapd-'));
  try {
    return await launch(directory, options);
  } catch (error) {
    rmSync(directory, { recursive: true, force: true });
    throw error;
  }
}

async function launch(directory: string, options: SlapdOptions): Promise<Slapd> {
  const suffix = options.suffix ?? SUFFIX;
  const rootDn = `cn=Directory Manager,${suffix}`;
  const password = 'correct horse battery staple';
  const passwordFile = join(directory, 'password');
  writeFileSync(passwordFile, `${password}\n`, { mode: 0o600 });
  const caFile = options.tls ? makeCertificates(directory) : undefined;
  mkdirSync(join(directory, 'db'));
  writeFileSync(join(directory, 'mail.schema'), MAIL_SCHEMA);
  const conf = join(directory, 'slapd.conf');
  writeFileSync(conf, slapdConf(directory, suffix, rootDn, password, options));

  const ldif = join(directory, 'content.ldif');
  writeFileSync(ldif, options.ldif);
  run(slapdPath('slapadd') as string, ['-q', '-f', conf, '-b', suffix, '-l', ldif]);

  const [port, tlsPort] = [await freePort(), await freePort()];
  const urls = [`ldap://127.0.0.1:${port}/`, ...(options.tls ? [`ldaps://127.0.0.1:${tlsPort}/`] : [])];
  // -d keeps it in the foreground: the process that we start is the one that we end.
  const child = spawn(slapdPath('slapd') as string, ['-d', '0', '-f', conf, '-h', urls.join(' ')], { stdio: 'ignore' });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const stop = async () => {
    child.kill('SIGTERM');
    const inTime = await Promise.race([ended.then(() => true), sleep(5000, false, { ref: false })]);
    if (!inTime) child.kill('SIGKILL');
    await ended;
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    await answers(port, child);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    url: `ldap://127.0.0.1:${port}`,
    tlsUrl: options.tls ? `ldaps://127.0.0.1:${tlsPort}` : undefined,
    port,
    suffix,
    rootDn,
    password,
    passwordFile,
    caFile,
    directory,
    kill: () => {
      child.kill('SIGKILL');
      return ended;
    },
    stop,
  };
}

function run(command: string, args: string[]): void {
  const result = spawnSync(command, args, { encoding: 'utf8' });
  if (result.status !== 0) throw new Error(`${command} failed: ${result.stderr || result.error?.message}`);
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

async function answers(port: number, child: ChildProcess): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    if (child.exitCode !== null) throw new Error(`slapd ended with ${child.exitCode}`);
    const up = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1');
      socket.once('connect', () => resolve(socket.destroy() !== undefined));
      socket.once('error', () => resolve(false));
    });
    if (up) return;
    await sleep(50);
  }
  throw new Error('slapd does not answer');
}

/** A CA, and a certificate of it for 127.0.0.1 and localhost; returns the CA's file. */
export function makeCertificates(directory: string): string {
  const file = (name: string) => join(directory, name);
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  writeFileSync(file('san.ext'), 'subjectAltName=IP:127.0.0.1,DNS:localhost\n');
  run('openssl', [
    ...['req', '-x509', ...newKey, '-keyout', file('ca.key'), '-out', file('ca.pem')],
    ...['-days', '30', '-subj', '/CN=Test CA'],
  ]);
  run('openssl', [
    ...['req', ...newKey, '-keyout', file('server.key'), '-out', file('server.csr'), '-subj', '/CN=localhost'],
  ]);
  run('openssl', [
    ...['x509', '-req', '-in', file('server.csr'), '-CA', file('ca.pem'), '-CAkey', file('ca.key')],
    ...['-CAcreateserial', '-out', file('server.pem'), '-days', '30', '-extfile', file('san.ext')],
  ]);
  return file('ca.pem');
}

function slapdConf(directory: string, suffix: string, rootDn: string, password: string, options: SlapdOptions): string {
  const tls = options.tls
    ? [`TLSCertificateFile ${directory}/server.pem`, `TLSCertificateKeyFile ${directory}/server.key`]
    : [];
  return [
    'include /etc/ldap/schema/core.schema',
    'include /etc/ldap/schema/cosine.schema',
    'include /etc/ldap/schema/inetorgperson.schema',
    `include ${directory}/mail.schema`,
    'modulepath /usr/lib/ldap',
    'moduleload back_mdb',
    `pidfile ${directory}/slapd.pid`,
    ...tls,
    'database mdb',
    `suffix "${suffix}"`,
    `rootdn "${rootDn}"`,
    `rootpw "${password}"`,
    `directory ${directory}/db`,
    // A sparse file.
    'maxsize 1073741824',
    'dbnosync',
    'index objectClass,mailHost,uid eq',
    options.config ?? '',
    '',
  ].join('\n');
}

/** The mail part of the product's schema, as far as a migration looks at it (facts.md 8). */
const MAIL_SCHEMA = `
objectidentifier nsAttribute 2.16.840.1.113730.3.1
objectidentifier directoryString 1.3.6.1.4.1.1466.115.121.1.15
objectidentifier ia5String 1.3.6.1.4.1.1466.115.121.1.26
attributetype ( nsAttribute:18 NAME 'mailHost'
  EQUALITY caseIgnoreMatch SYNTAX directoryString SINGLE-VALUE )
attributetype ( nsAttribute:19 NAME 'mailMessageStore'
  EQUALITY caseExactIA5Match SYNTAX ia5String SINGLE-VALUE )
attributetype ( nsAttribute:16 NAME 'mailDeliveryOption'
  EQUALITY caseIgnoreMatch SYNTAX directoryString )
attributetype ( nsAttribute:21 NAME 'mailQuota'
  EQUALITY caseIgnoreMatch SYNTAX directoryString SINGLE-VALUE )
attributetype ( nsAttribute:13 NAME 'mailAlternateAddress'
  EQUALITY caseIgnoreIA5Match SYNTAX ia5String )
attributetype ( nsAttribute:17 NAME 'mailForwardingAddress'
  EQUALITY caseIgnoreIA5Match SYNTAX ia5String )
objectclass ( 2.16.840.1.113730.3.2.3 NAME 'mailRecipient' SUP top AUXILIARY
  MAY ( cn $ mail $ uid $ mailHost $ mailMessageStore $ mailDeliveryOption $ mailQuota
    $ mailAlternateAddress $ mailForwardingAddress ) )
objectclass ( 2.16.840.113730.3.2.37 NAME 'nsMessagingServerUser' SUP top AUXILIARY
  MAY ( cn $ mail $ uid $ mailHost $ mailMessageStore $ mailDeliveryOption $ mailQuota ) )
`;
