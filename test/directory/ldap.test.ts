/** The LDAP directory against a real slapd. */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { escapeFilterValue, filterText } from '../../src/directory/ldap.js';
import { openDirectory } from '../../src/directory/open.js';
import { makeCertificates, type Slapd, slapdMissing, startSlapd, suffixLdif, userLdif } from '../support/slapd.js';
import { allItems, failureOf, HOST, problemsOf, usersOf } from './support.js';

const missing = slapdMissing();
if (missing !== undefined) console.log(`test/directory/ldap: skipped: ${missing}`);

/** A server that passes bytes on to slapd until `onBytes`, told how many came back, ends it. */
async function proxy(
  port: number,
  onBytes: (bytes: number, client: Socket) => void,
): Promise<Server & { url: string }> {
  const server = createServer((client) => {
    const upstream = connect(port, '127.0.0.1');
    let bytes = 0;
    client
      .on('error', () => {})
      .on('data', (chunk) => upstream.write(chunk))
      .on('close', () => upstream.destroy());
    upstream.on('error', () => {}).on('close', () => client.destroy());
    upstream.on('data', (chunk) => {
      client.write(chunk);
      bytes += chunk.length;
      onBytes(bytes, client);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return Object.assign(server, { url: `ldap://127.0.0.1:${address.port}` });
}

describe.skipIf(missing !== undefined)('a small directory', () => {
  const strangeHost = 'a*b)(c\\d|&!=';
  let slapd: Slapd;
  beforeAll(async () => {
    const ou = (name: string) => `dn: ou=${name},o=airius.com\nobjectClass: organizationalUnit\nou: ${name}\n\n`;
    const ldif = [
      suffixLdif(),
      ou('People'),
      ou('More'),
      userLdif({ uid: 'Bob', mailHost: HOST.toUpperCase(), storePath: '/disk2//mail/', quota: '1000' }),
      userLdif({ uid: 'new', mailHost: HOST, objectClass: 'nsMessagingServerUser', parent: 'ou=People' }),
      userLdif({ uid: 'far', mailHost: 'mail2.airius.com' }),
      userLdif({ uid: 'program', mailHost: HOST, delivery: 'program' }),
      userLdif({ uid: 'strange', mailHost: strangeHost }),
      userLdif({ uid: 'twin', mailHost: HOST, parent: 'ou=People' }),
      userLdif({ uid: 'TWIN', mailHost: HOST, parent: 'ou=More' }),
      userLdif({ uid: '../etc', mailHost: HOST }),
      userLdif({ uid: 'x\nGeneral Error: forged', mailHost: HOST }),
      userLdif({ uid: 'badpath', mailHost: HOST, storePath: '/a/../b' }),
      userLdif({ uid: 'badquota', mailHost: HOST, quota: 'lots' }),
      `dn: ou=Elsewhere,o=airius.com\nobjectClass: referral\nobjectClass: extensibleObject\nou: Elsewhere\nref: ldap://192.0.2.1/ou=Elsewhere\n\n`,
    ];
    // No anonymous reading.
    slapd = await startSlapd({ ldif: ldif.join(''), tls: true, config: 'access to * by anonymous auth by * none' });
  });
  afterAll(async () => await slapd?.stop());

  const options = (more: object = {}) => ({
    ...{ location: slapd.url, hostName: HOST, baseDn: slapd.suffix, timeoutSeconds: 10 },
    ...{ bindDn: slapd.rootDn, passwordFile: slapd.passwordFile },
    ...more,
  });
  const uids = async (more: object = {}) => usersOf(await allItems(openDirectory(options(more)))).map((u) => u.uid);

  it('yields the users of this server', async () => {
    const users = usersOf(await allItems(openDirectory(options())));
    expect(users).toMatchObject([
      { uid: 'Bob', storePath: '/disk2/mail', quota: 1000, mail: 'Bob@airius.com', cn: 'Name of Bob' },
      { uid: 'new', storePath: null, quota: null, dn: 'uid=new,ou=People,o=airius.com' },
    ]);
  });

  it('reports and skips every entry that breaks a rule, and a part on another server', async () => {
    const items = await allItems(openDirectory(options()));
    expect(problemsOf(items).map((text) => text.split(' ')[0])).toEqual([
      ...[
        'DIR_DUPLICATE_UID',
        'DIR_DUPLICATE_UID',
        'DIR_UID',
        'DIR_UID',
        'DIR_STORE_PATH',
        'DIR_QUOTA',
        'DIR_REFERRAL',
      ],
    ]);
    for (const item of items) {
      if (item.kind === 'problem') expect(item.message).not.toMatch(/[\u0000-\u001f]/);
    }
  });

  it.each([1, 2, 3, 100])('yields the same in pages of %i', async (pageSize) => {
    expect(await uids({ pageSize })).toEqual(['Bob', 'new']);
  });

  it('finds a host name of filter syntax, and only that', async () => {
    expect(await uids({ hostName: strangeHost })).toEqual(['strange']);
    expect(await uids({ hostName: '*' })).toEqual([]);
    expect(await uids({ hostName: '*)(uid=*' })).toEqual([]);
  });

  it('takes the base from the URL first', async () => {
    expect(await uids({ location: `${slapd.url}/ou=People,o=airius.com`, baseDn: 'o=nowhere' })).toEqual([
      'new',
      'twin',
    ]);
    expect(await uids({ location: `${slapd.url}/ou%3DPeople%2Co=airius.com`, baseDn: undefined })).toEqual([
      'new',
      'twin',
    ]);
  });

  it('says when the base does not exist', async () => {
    expect(await failureOf(options({ baseDn: 'o=nowhere' }))).toMatchObject({ error: { code: 'DIR_SEARCH', exit: 3 } });
    expect(await failureOf(options({ baseDn: 'not a dn' }))).toMatchObject({ error: { code: 'DIR_SEARCH', exit: 3 } });
  });

  it('speaks StartTLS and LDAPS with a CA file', async () => {
    expect(await uids({ startTls: true, caFile: slapd.caFile })).toEqual(['Bob', 'new']);
    expect(await uids({ location: slapd.tlsUrl, caFile: slapd.caFile })).toEqual(['Bob', 'new']);
    expect(await uids({ location: `${slapd.url}/o=airius.com????StartTLS`, caFile: slapd.caFile })).toEqual([
      'Bob',
      'new',
    ]);
    const byName = slapd.tlsUrl?.replace('127.0.0.1', 'localhost');
    expect(await uids({ location: byName, caFile: slapd.caFile })).toEqual(['Bob', 'new']);
  });

  it('refuses a certificate of an unknown or another CA', async () => {
    const other = join(slapd.directory, 'other');
    mkdirSync(other, { recursive: true });
    const wrong = makeCertificates(other);
    for (const secure of [{ startTls: true }, { location: `${slapd.url}/????StartTLS` }, { location: slapd.tlsUrl }]) {
      for (const caFile of [undefined, wrong]) {
        expect(await failureOf(options({ ...secure, caFile })), JSON.stringify({ secure, caFile })).toMatchObject({
          error: { code: 'DIR_TLS', exit: 3 },
          items: 0,
        });
      }
    }
  });

  it('refuses a certificate for another name', async () => {
    // 127.0.0.2 reaches the same machine; slapd listens on 127.0.0.1, so a proxy stands there.
    const port = Number(slapd.tlsUrl?.split(':').at(-1));
    const server = createServer((client) => {
      const upstream = connect(port, '127.0.0.1');
      client
        .on('error', () => {})
        .pipe(upstream)
        .on('error', () => {})
        .pipe(client);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.2', resolve));
    const address = server.address() as { port: number };
    const failure = await failureOf(options({ location: `ldaps://127.0.0.2:${address.port}`, caFile: slapd.caFile }));
    server.close();
    expect(failure.error).toMatchObject({ code: 'DIR_TLS' });
    expect(failure.error.message).toMatch(/127\.0\.0\.2/);
  });

  it('says that name or password are wrong, without the password', async () => {
    const passwordFile = join(slapd.directory, 'wrong-password');
    writeFileSync(passwordFile, 'sesame-secret\n', { mode: 0o600 });
    const { error } = await failureOf(options({ passwordFile }));
    expect(error).toMatchObject({ code: 'DIR_BIND', exit: 3 });
    expect(JSON.stringify([error.message, error.where, error.hint])).not.toMatch(/sesame/);
    expect(await failureOf(options({ bindDn: 'cn=nobody,o=airius.com' }))).toMatchObject({
      error: { code: 'DIR_BIND' },
    });
  });

  it.each([0o604, 0o602, 0o666])('refuses a password file of mode %o', (mode) => {
    const passwordFile = join(slapd.directory, 'open-password');
    writeFileSync(passwordFile, slapd.password);
    chmodSync(passwordFile, mode);
    expect(() => openDirectory(options({ passwordFile }))).toThrow(
      expect.objectContaining({ code: 'DIR_PASSWORD_FILE' }),
    );
  });

  it('refuses an empty password, which would bind as nobody', () => {
    const passwordFile = join(slapd.directory, 'empty-password');
    writeFileSync(passwordFile, '\nsecond line\n', { mode: 0o600 });
    expect(() => openDirectory(options({ passwordFile }))).toThrow(
      expect.objectContaining({ code: 'DIR_PASSWORD_FILE' }),
    );
  });

  it('is an error, not an empty list, when anonymous may not read', async () => {
    const failure = failureOf(options({ bindDn: undefined, passwordFile: undefined }));
    expect(await failure).toMatchObject({ error: { code: 'DIR_SEARCH' }, items: 0 });
  });

  it.each([{ bindDn: undefined }, { passwordFile: undefined }])(
    'wants bind DN and password file both: %j',
    (change) => {
      expect(() => openDirectory(options(change))).toThrow(expect.objectContaining({ code: 'DIR_BIND', exit: 3 }));
    },
  );

  it.each([
    ['DIR_URL', { location: 'http://127.0.0.1/' }],
    ['DIR_URL', { location: 'ldap://127.0.0.1:0/' }],
    ['DIR_URL', { location: 'ldap://user:pw@127.0.0.1/' }],
    ['DIR_URL', { location: 'ldap://127.0.0.1/o=x??one' }],
    ['DIR_URL', { location: 'ldap://127.0.0.1/o=x???(uid=*)' }],
    ['DIR_URL', { location: 'ldap://127.0.0.1/%zz' }],
    ['DIR_OPTIONS', { location: 'ldaps://127.0.0.1/', startTls: true }],
    ['DIR_URL', { location: 'ldap://127.0.0.1/o=x????bindname=cn=x' }],
    ['DIR_OPTIONS', { location: 'ldaps://127.0.0.1/????StartTLS' }],
    ['DIR_OPTIONS', { pageSize: 0 }],
    ['DIR_OPTIONS', { hostName: '' }],
  ])('is %s, exit 2, for %j', (code, change) => {
    expect(() => openDirectory(options(change))).toThrow(expect.objectContaining({ code, exit: 2 }));
  });
});

describe.skipIf(missing !== undefined)('ten thousand users', () => {
  const COUNT = 10_000;
  let slapd: Slapd;
  beforeAll(async () => {
    const users = Array.from({ length: COUNT }, (_, i) =>
      userLdif({ uid: `user${i}`, mailHost: HOST, storePath: `/disk${i % 4}/mail` }),
    );
    const limited =
      'dn: cn=limited,o=airius.com\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\n' +
      'cn: limited\nuserPassword: limited\n\n';
    // Everybody pages through all of it, 600 entries at most in one page; the limited account gets 1500 in all.
    const config =
      'limits dn.exact="cn=limited,o=airius.com" size.prtotal=1500\n' +
      'limits anonymous size.soft=600 size.hard=600 size.prtotal=unlimited';
    slapd = await startSlapd({ ldif: suffixLdif() + limited + users.join(''), config });
  });
  afterAll(async () => await slapd?.stop());
  const options = (more: object = {}) => ({ location: slapd.url, hostName: HOST, baseDn: slapd.suffix, ...more });

  it('are all found, in bounded memory', async () => {
    const before = process.memoryUsage();
    let peak = 0;
    const directory = openDirectory(options());
    const seen = new Set<string>();
    for await (const item of directory.users()) {
      if (item.kind === 'user') seen.add(item.uid);
      if (seen.size % 100 === 0) {
        const now = process.memoryUsage();
        peak = Math.max(peak, now.heapUsed + now.external - before.heapUsed - before.external);
      }
    }
    await directory.close();
    expect(seen.size).toBe(COUNT);
    console.log(`test/directory/ldap: ${COUNT} users in pages of 500, at most ${(peak / 1e6).toFixed(1)} MB more`);
    expect(peak).toBeLessThan(100e6);
  });

  it('are DIR_SIZE_LIMIT where the server stops early', async () => {
    const passwordFile = join(slapd.directory, 'limited');
    writeFileSync(passwordFile, 'limited\n', { mode: 0o600 });
    expect(await failureOf(options({ bindDn: 'cn=limited,o=airius.com', passwordFile }))).toMatchObject({
      error: { code: 'DIR_SIZE_LIMIT', exit: 3 },
      items: 0,
    });
  });

  it('are DIR_LOST, before the first user, when the connection ends half-way', async () => {
    const server = await proxy(slapd.port, (bytes, client) => {
      if (bytes > 300_000) client.resetAndDestroy();
    });
    expect(await failureOf(options({ location: server.url }))).toMatchObject({ error: { code: 'DIR_LOST' }, items: 0 });
    server.close();
  });

  it('are left at once when the run is aborted', async () => {
    const abort = new AbortController();
    const server = await proxy(slapd.port, (bytes) => {
      if (bytes > 300_000) abort.abort(new Error('stop'));
    });
    const reading = allItems(openDirectory(options({ location: server.url })), abort.signal);
    await expect(reading).rejects.toThrow('stop');
    server.close();
  });

  // The last: it ends the server.
  it('are DIR_LOST when the server is killed half-way', async () => {
    let ended: Promise<void> | undefined;
    const server = await proxy(slapd.port, (bytes) => {
      if (bytes > 300_000) ended = slapd.kill();
    });
    expect(await failureOf(options({ location: server.url }))).toMatchObject({ error: { code: 'DIR_LOST' }, items: 0 });
    server.close();
    // While it dies, its socket still takes connections.
    await ended;
    expect(await failureOf(options())).toMatchObject({ error: { code: 'DIR_CONNECT' }, items: 0 });
  });
});

describe('the filter as text', () => {
  it('escapes values (RFC 4515)', () => {
    expect(escapeFilterValue('a*b(c)d\\e\0f')).toBe('a\\2ab\\28c\\29d\\5ce\\00f');
    expect(filterText('h*')).toBe(
      '(|(&(objectClass=mailRecipient)(mailHost=h\\2a)(mailDeliveryOption=mailbox))' +
        '(&(objectClass=nsMessagingServerUser)(mailHost=h\\2a)(mailDeliveryOption=mailbox)))',
    );
  });
});
