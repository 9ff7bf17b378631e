/** Servers that are no good: raw TCP servers that answer what a test tells them to. */
import { createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { decodeResponse, frameLength } from '../../src/directory/ldap-messages.js';
import { type DirectoryOptions, openDirectory } from '../../src/directory/open.js';
import { MailhaulError } from '../../src/errors.js';
import { allItems, failureOf, HOST, problemsOf, usersOf } from './support.js';

/** One BER element; lengths as short as they can be. */
function ber(tag: number, ...content: (Buffer | string)[]): Buffer {
  const body = Buffer.concat(content.map((part) => Buffer.from(part)));
  if (body.length < 128) return Buffer.concat([Buffer.from([tag, body.length]), body]);
  const head = Buffer.from([tag, 0x84, 0, 0, 0, 0]);
  head.writeUInt32BE(body.length, 2);
  return Buffer.concat([head, body]);
}
const octets = (value: Buffer | string) => ber(0x04, value);
const integer = (tag: number, value: number) => ber(tag, Buffer.from([value >> 8, value & 255]));
const message = (id: number, ...parts: Buffer[]) => ber(0x30, integer(2, id), ...parts);

const entry = (id: number, uid: string) => {
  const attribute = (name: string, value: string) => ber(0x30, octets(name), ber(0x31, octets(value)));
  return message(id, ber(0x64, octets(`uid=${uid},o=x`), ber(0x30, attribute('UID', uid), attribute('photo', 'x'))));
};
const outcome = (tag: number, id: number, code: number, text = '', cookie?: string) => {
  const result = ber(tag, integer(0x0a, code), octets(''), octets(text));
  if (cookie === undefined) return message(id, result);
  const value = octets(ber(0x30, integer(2, 0), octets(cookie)));
  return message(id, result, ber(0xa0, ber(0x30, octets('1.2.840.113556.1.4.319'), value)));
};
const done = (id: number, code = 0, text = '', cookie?: string) => outcome(0x65, id, code, text, cookie);

let server: Server | undefined;
const sockets = new Set<Socket>();
afterEach(() => {
  for (const socket of sockets) socket.destroy();
  server?.close();
});

/** Starts a server that answers the n-th message of a client (1-based) with `answer`. */
async function serve(answer: (socket: Socket, n: number) => void): Promise<DirectoryOptions> {
  server = createServer((socket) => {
    sockets.add(socket);
    let n = 0;
    socket.on('error', () => {}).on('data', () => answer(socket, ++n));
  });
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  return { location: `ldap://127.0.0.1:${port}`, hostName: HOST, baseDn: 'o=x', timeoutSeconds: 0.5 };
}

describe('a server', () => {
  it('that accepts and says nothing is DIR_TIMEOUT', async () => {
    const options = await serve(() => {});
    const start = performance.now();
    expect(await failureOf(options)).toMatchObject({ error: { code: 'DIR_TIMEOUT', exit: 3 }, items: 0 });
    expect(performance.now() - start).toBeLessThan(5000);
  });

  it('that says nothing in a TLS handshake is DIR_TIMEOUT', async () => {
    const options = await serve(() => {});
    const location = options.location.replace('ldap:', 'ldaps:');
    expect(await failureOf({ ...options, location })).toMatchObject({ error: { code: 'DIR_TIMEOUT' } });
  });

  it('that says nothing after it agreed to StartTLS is DIR_TIMEOUT', async () => {
    const options = await serve((socket, n) => {
      if (n === 1) socket.write(outcome(0x78, 1, 0));
    });
    expect(await failureOf({ ...options, startTls: true })).toMatchObject({ error: { code: 'DIR_TIMEOUT' } });
  });

  it('that stops within a page is DIR_TIMEOUT, before the first user', async () => {
    const options = await serve((socket) => socket.write(entry(1, 'bob')));
    expect(await failureOf(options)).toMatchObject({ error: { code: 'DIR_TIMEOUT' }, items: 0 });
  });

  it('that sends one message byte by byte, for ever, is DIR_TIMEOUT', async () => {
    const options = await serve((socket) => {
      const bytes = entry(1, 'b'.repeat(5000));
      let at = 0;
      const timer = setInterval(() => socket.write(bytes.subarray(at, ++at)), 20);
      socket.on('close', () => clearInterval(timer));
    });
    expect(await failureOf(options)).toMatchObject({ error: { code: 'DIR_TIMEOUT' }, items: 0 });
  });

  it('that is slow but comes on is waited for', async () => {
    const options = await serve((socket) => {
      let n = 0;
      const timer = setInterval(() => {
        n += 1;
        socket.write(n <= 6 ? entry(1, `u${n}`) : done(1));
        if (n > 6) clearInterval(timer);
      }, 200);
    });
    expect(usersOf(await allItems(openDirectory(options)))).toHaveLength(6);
  });

  it('that is not there is DIR_CONNECT', async () => {
    const options = await serve(() => {});
    await new Promise((resolve) => server?.close(resolve));
    expect(await failureOf(options)).toMatchObject({ error: { code: 'DIR_CONNECT', exit: 3 }, items: 0 });
  });

  it('that is not there under any of its addresses says why', async () => {
    const options = await serve(() => {});
    await new Promise((resolve) => server?.close(resolve));
    const location = options.location.replace('127.0.0.1', 'localhost');
    expect((await failureOf({ ...options, location })).error.message).toMatch(/ECONNREFUSED.*127\.0\.0\.1/);
  });

  it('whose name does not exist cannot be reached', async () => {
    const options = { location: 'ldap://no-such-host.invalid', hostName: HOST, timeoutSeconds: 5 };
    // A machine without a resolver may wait instead of answering.
    expect((await failureOf(options)).error.code).toMatch(/^DIR_(CONNECT|TIMEOUT)$/);
  });

  it('that closes within a page is DIR_LOST', async () => {
    const options = await serve((socket) => socket.end(entry(1, 'bob')));
    expect(await failureOf(options)).toMatchObject({ error: { code: 'DIR_LOST' }, items: 0 });
  });

  it('that announces its end is DIR_LOST, with its reason', async () => {
    const options = await serve((socket) => socket.write(outcome(0x78, 0, 52, 'going down')));
    const { error } = await failureOf(options);
    expect(error.code).toBe('DIR_LOST');
    expect(error.message).toMatch(/going down/);
  });

  it('that knows no paging is read to its end all the same', async () => {
    const options = await serve((socket) => socket.write(Buffer.concat([entry(1, 'bob'), entry(1, 'eve'), done(1)])));
    expect(usersOf(await allItems(openDirectory(options))).map((user) => user.uid)).toEqual(['bob', 'eve']);
  });

  it('whose page is empty but not the last is asked for the next', async () => {
    const options = await serve((socket, n) => {
      if (n === 1) socket.write(Buffer.concat([entry(1, 'bob'), done(1, 0, '', 'more')]));
      if (n === 2) socket.write(done(2, 0, '', 'still more'));
      if (n === 3) socket.write(Buffer.concat([entry(3, 'eve'), done(3, 0, '', '')]));
    });
    expect(usersOf(await allItems(openDirectory(options))).map((user) => user.uid)).toEqual(['bob', 'eve']);
  });

  it('that forgets paging in the middle is DIR_PARTIAL', async () => {
    const options = await serve((socket, n) =>
      socket.write(n === 1 ? Buffer.concat([entry(1, 'bob'), done(1, 0, '', 'more')]) : done(2)),
    );
    expect(await failureOf(options)).toMatchObject({ error: { code: 'DIR_PARTIAL' }, items: 0 });
  });

  it.each([
    [3, 'DIR_SIZE_LIMIT'],
    [4, 'DIR_SIZE_LIMIT'],
    [11, 'DIR_SIZE_LIMIT'],
    [10, 'DIR_REFERRAL'],
    [51, 'DIR_LOST'],
    [52, 'DIR_LOST'],
    [50, 'DIR_SEARCH'],
    [80, 'DIR_SEARCH'],
  ])('that ends a page with result %i is %s', async (code, expected) => {
    const options = await serve((socket) => socket.write(Buffer.concat([entry(1, 'bob'), done(1, code, 'no\nmore')])));
    const { error, items } = await failureOf(options);
    expect([error.code, error.exit, items]).toEqual([expected, 3, 0]);
    expect(error.message).not.toMatch(/\n/);
  });

  it('that refers to others is read, and that is reported', async () => {
    const reference = message(1, ber(0x73, octets('ldap://other/o=x'), octets('ldap://third/o=x')));
    const options = await serve((socket) => socket.write(Buffer.concat([reference, entry(1, 'bob'), done(1)])));
    const items = await allItems(openDirectory(options));
    expect(problemsOf(items)).toEqual(['DIR_REFERRAL']);
    expect(usersOf(items)).toHaveLength(1);
  });

  it('that refuses StartTLS is DIR_TLS; nothing is asked in clear text', async () => {
    let messages = 0;
    const options = await serve((socket, n) => {
      messages = n;
      socket.write(outcome(0x78, n, 2, 'no'));
    });
    expect(await failureOf({ ...options, startTls: true })).toMatchObject({ error: { code: 'DIR_TLS' } });
    expect(messages).toBe(1);
  });

  it('that slips clear text in before StartTLS is DIR_TLS', async () => {
    const forged = outcome(0x61, 2, 0);
    for (const extra of [forged, forged.subarray(0, 5)]) {
      const options = await serve((socket) => socket.write(Buffer.concat([outcome(0x78, 1, 0), extra])));
      const { error } = await failureOf({ ...options, startTls: true });
      expect(error.code).toBe('DIR_TLS');
      expect(error.message).toMatch(/[Cc]lear text/);
    }
  });

  it.each([
    ['a greeting of another protocol', Buffer.from('220 mail ESMTP\r\n')],
    ['a length without end', Buffer.from([0x30, 0x80, 0, 0])],
    ['a length of a gigabyte', Buffer.from([0x30, 0x84, 0x40, 0, 0, 0])],
    ['a length of nine bytes', Buffer.from([0x30, 0x89, 1, 1, 1, 1, 1, 1, 1, 1, 1])],
    ['inner lengths that lie', ber(0x30, integer(2, 1), Buffer.from([0x64, 6, 4, 0, 0x30, 0x20, 0x30, 0]))],
    ['an answer to another request', entry(7, 'bob')],
    ['an operation of the future', message(1, ber(0x7e, octets('x')))],
  ])('that sends %s is DIR_PROTOCOL', async (_, bytes) => {
    const options = await serve((socket) => socket.write(bytes));
    expect(await failureOf(options)).toMatchObject({ error: { code: 'DIR_PROTOCOL', exit: 3 }, items: 0 });
  });
});

describe('the decoder', () => {
  it('takes a message in pieces of any size', async () => {
    const all = Buffer.concat([entry(1, 'bob'), entry(1, 'e'.repeat(300)), done(1, 0, '', '')]);
    for (const size of [1, 2, 3, 7, 1000]) {
      const options = await serve((socket) => {
        socket.setNoDelay(true);
        for (let at = 0; at < all.length; at += size) socket.write(all.subarray(at, at + size));
      });
      expect(usersOf(await allItems(openDirectory({ ...options, timeoutSeconds: 5 })))).toHaveLength(2);
    }
  });

  it('throws nothing but a MailhaulError, and always ends, on any bytes', () => {
    const valid = [entry(1, 'bob'), done(1, 0, 'text', 'cookie'), outcome(0x61, 1, 49, 'x')];
    let x = 42;
    const next = (below: number) => {
      x ^= x << 13;
      x ^= x >>> 17;
      x ^= x << 5;
      return (x >>> 0) % below;
    };
    let decoded = 0;
    for (let round = 0; round < 100_000; round++) {
      const bytes = Buffer.from(valid[next(valid.length)] as Buffer);
      for (let i = 1 + next(3); i > 0; i--) bytes[next(bytes.length)] = next(256);
      try {
        const length = frameLength(bytes);
        if (length === 0 || length > bytes.length) continue;
        decodeResponse(bytes.subarray(0, length));
        decoded += 1;
      } catch (error) {
        if (!(error instanceof MailhaulError)) throw error;
      }
    }
    expect(decoded).toBeGreaterThan(1000);
  });
});
