/**
 * One connection to an LDAP server: requests out, responses in order, with limits on time and memory.
 *
 * Rules: every wait has a limit (connect, TLS handshake, and each response: a server must bring the next whole
 * message within the time-out); a reader that is slow stops the socket instead of filling memory; a certificate
 * is always checked, name included; bytes that came in clear text before a StartTLS handshake are refused, they
 * would be taken for protected ones (the injection of CVE-2011-0411 and its kin).
 */
import { isIP, connect as netConnect, type Socket } from 'node:net';
import { type TLSSocket, connect as tlsConnect } from 'node:tls';
import { ExtendedRequest, UnbindRequest } from 'ldapts';
import { hasErrno, MailhaulError, messageOf } from '../errors.js';
import { escapeLogText } from '../log/log.js';
import { decodeResponse, frameLength, type LdapResponse, type LdapResult, protocolError } from './ldap-messages.js';

export interface LdapServer {
  readonly host: string;
  readonly port: number;
  readonly security: 'none' | 'starttls' | 'ldaps';
  /** PEM certificates to trust instead of the system's. */
  readonly ca: Buffer | undefined;
  /** Milliseconds. */
  readonly timeout: number;
}

/** A request that ldapts encodes. */
export interface LdapRequest {
  readonly messageId: number;
  write(): Buffer;
}

export interface LdapConnection {
  /** A fresh message id. */
  nextId(): number;
  /** Sends a request; yields its responses, the LdapResult last. Only one request at a time. */
  request(message: LdapRequest): AsyncGenerator<LdapResponse, void>;
  /** Ends the connection, politely or not; never throws. */
  close(): void;
}

/** Responses that wait for the reader before the socket is stopped. */
const QUEUE_LIMIT = 1000;
const START_TLS = '1.3.6.1.4.1.1466.20037';

/** Connects, with TLS as asked. Throws DIR_CONNECT, DIR_TLS, DIR_TIMEOUT, DIR_PROTOCOL; the signal's reason. */
export async function connectLdap(server: LdapServer, signal?: AbortSignal): Promise<LdapConnection> {
  signal?.throwIfAborted();
  const plain = netConnect({ host: server.host, port: server.port });
  // Without this listener an error after the one that rejected would end the process.
  plain.on('error', () => {});
  const abort = () => plain.destroy();
  signal?.addEventListener('abort', abort, { once: true });
  try {
    await established(plain, 'connect', server);
    const secure = server.security === 'ldaps' ? await handshake(plain, server) : undefined;
    const connection = new Connection(secure ?? plain, server);
    if (server.security === 'starttls') await startTls(connection, plain, server);
    return connection;
  } catch (error) {
    plain.destroy();
    signal?.throwIfAborted();
    throw error;
  } finally {
    signal?.removeEventListener('abort', abort);
  }
}

/** Resolves at `event`; rejects at an error, a close or after the time-out. */
function established(socket: Socket, event: 'connect' | 'secureConnect', server: LdapServer): Promise<void> {
  const where = `${server.host}:${server.port}`;
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => fail(timedOut(server, where)), server.timeout);
    const done = () => {
      clearTimeout(timer);
      socket.off(event, succeed).off('error', broken).off('close', closed);
    };
    const succeed = () => {
      done();
      resolve();
    };
    const fail = (error: MailhaulError) => {
      done();
      socket.destroy();
      reject(error);
    };
    const broken = (cause: Error) => fail(event === 'connect' ? cannotConnect(where, cause) : tlsFailed(where, cause));
    const closed = () => broken(new Error('the connection was closed'));
    socket.once(event, succeed).once('error', broken).once('close', closed);
  });
}

async function handshake(plain: Socket, server: LdapServer): Promise<TLSSocket> {
  const secure = tlsConnect({
    socket: plain,
    // The certificate must be for this name or address; an address is not a server name indication.
    host: server.host,
    ...(isIP(server.host) === 0 ? { servername: server.host } : {}),
    ...(server.ca === undefined ? {} : { ca: server.ca }),
    rejectUnauthorized: true,
    minVersion: 'TLSv1.2',
  });
  secure.on('error', () => {});
  await established(secure, 'secureConnect', server);
  return secure;
}

async function startTls(connection: Connection, plain: Socket, server: LdapServer): Promise<void> {
  for await (const response of connection.request(
    new ExtendedRequest({ messageId: connection.nextId(), oid: START_TLS }),
  )) {
    if (response.kind !== 'result') throw protocolError('an entry in answer to StartTLS');
    if (response.code !== 0) {
      throw new MailhaulError('DIR_TLS', `The directory server refuses StartTLS (${resultText(response)}).`, {
        where: `${server.host}:${server.port}`,
        hint: 'Configure a certificate on it, or use ldaps://.',
      });
    }
  }
  connection.detach();
  connection.attach(await handshake(plain, server));
}

/** `49 invalidCredentials: …` for a message. */
export function resultText(result: LdapResult): string {
  const text = escapeLogText(result.text.slice(0, 500));
  return `result ${result.code}${text === '' ? '' : `: ${text}`}`;
}

function cannotConnect(where: string, cause: Error): MailhaulError {
  return new MailhaulError('DIR_CONNECT', `The directory server cannot be reached: ${reasonOf(cause)}.`, {
    where,
    hint: 'Check the URL and that the server runs; nothing was changed.',
    cause,
  });
}

/** The message, or those of all addresses that were tried (Node wraps them without one of its own). */
function reasonOf(cause: Error): string {
  const errors: unknown[] = cause instanceof AggregateError ? cause.errors : [cause];
  return errors.map((error) => messageOf(error)).join(', ');
}

function tlsFailed(where: string, cause: Error): MailhaulError {
  const untrusted = hasErrno(
    cause,
    'SELF_SIGNED_CERT_IN_CHAIN',
    'DEPTH_ZERO_SELF_SIGNED_CERT',
    'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    'UNABLE_TO_GET_ISSUER_CERT',
    'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  );
  return new MailhaulError('DIR_TLS', `The directory server could not prove who it is: ${cause.message}.`, {
    where,
    hint: untrusted ? 'Name the file with its CA certificate.' : 'Check the certificate and the host name in the URL.',
    cause,
  });
}

function timedOut(server: LdapServer, where: string): MailhaulError {
  return new MailhaulError('DIR_TIMEOUT', `The directory server did not answer within ${server.timeout / 1000} s.`, {
    where,
    hint: 'Run the command again when it does; nothing was changed.',
  });
}

class Connection implements LdapConnection {
  readonly #server: LdapServer;
  #socket: Socket;
  #id = 0;
  /** Bytes of a message that is not complete. */
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  /** Bytes of that message; 0 when its head is not complete either. */
  #wanted = 0;
  #queue: LdapResponse[] = [];
  #failure: MailhaulError | undefined;
  /** Wakes the reader. */
  #wake: (() => void) | undefined;

  constructor(socket: Socket, server: LdapServer) {
    this.#server = server;
    this.#socket = socket;
    this.attach(socket);
  }

  attach(socket: Socket): void {
    this.#socket = socket;
    socket.on('data', this.#onData).on('error', this.#onError).on('close', this.#onClose);
  }

  /** Before TLS: lets go of the plain socket, which must have said nothing beyond its last response. */
  detach(): void {
    this.#socket.off('data', this.#onData).off('error', this.#onError).off('close', this.#onClose);
    if (this.#pendingBytes > 0 || this.#queue.length > 0) {
      throw new MailhaulError('DIR_TLS', 'Clear text came after the answer to StartTLS; somebody may be in the line.', {
        where: this.#where,
      });
    }
  }

  get #where(): string {
    return `${this.#server.host}:${this.#server.port}`;
  }

  nextId(): number {
    this.#id += 1;
    return this.#id;
  }

  async *request(message: LdapRequest): AsyncGenerator<LdapResponse, void> {
    if (this.#failure !== undefined) throw this.#failure;
    this.#socket.write(message.write());
    for (;;) {
      const response = await this.#next();
      if (response.id === 0 && response.kind === 'result') {
        throw this.#lost(`it announced that it ends the connection (${resultText(response)})`);
      }
      if (response.id !== message.messageId) throw protocolError(`an answer to request ${response.id}`);
      yield response;
      if (response.kind === 'result') return;
    }
  }

  close(): void {
    if (!this.#socket.destroyed && this.#failure === undefined) {
      this.#failure = this.#lost('it was closed');
      // The socket may be stopped; unbind is a courtesy, so nobody waits for it.
      this.#socket.end(new UnbindRequest({ messageId: this.nextId() }).write());
    }
    this.#socket.destroySoon();
    this.#wake?.();
  }

  async #next(): Promise<LdapResponse> {
    const response = this.#queue.shift();
    if (response !== undefined) {
      if (this.#queue.length === 0 && this.#socket.isPaused()) this.#socket.resume();
      return response;
    }
    if (this.#failure !== undefined) throw this.#failure;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => this.#fail(timedOut(this.#server, this.#where)), this.#server.timeout);
      this.#wake = () => {
        clearTimeout(timer);
        this.#wake = undefined;
        resolve();
      };
    });
    return this.#next();
  }

  #lost(why: string): MailhaulError {
    return new MailhaulError('DIR_LOST', `The directory server was lost: ${why}.`, {
      where: this.#where,
      hint: 'Its list is not complete, so nothing of it was used. Run the command again.',
    });
  }

  #fail(error: MailhaulError): void {
    this.#failure ??= error;
    this.#socket.destroy();
    this.#wake?.();
  }

  readonly #onError = (error: Error) => this.#fail(this.#lost(error.message));
  readonly #onClose = () => this.#fail(this.#lost('it closed the connection'));

  readonly #onData = (chunk: Buffer) => {
    if (this.#failure !== undefined) return;
    this.#pending.push(chunk);
    this.#pendingBytes += chunk.length;
    if (this.#wanted > this.#pendingBytes) return;
    try {
      this.#takeMessages();
    } catch (error) {
      this.#fail(error instanceof MailhaulError ? error : protocolError(String(error)));
      return;
    }
    if (this.#queue.length > QUEUE_LIMIT) this.#socket.pause();
    if (this.#queue.length > 0) this.#wake?.();
  };

  #takeMessages(): void {
    let data = this.#pending.length === 1 ? (this.#pending[0] as Buffer) : Buffer.concat(this.#pending);
    for (;;) {
      this.#wanted = frameLength(data);
      if (this.#wanted === 0 || this.#wanted > data.length) break;
      this.#queue.push(decodeResponse(data.subarray(0, this.#wanted)));
      data = data.subarray(this.#wanted);
    }
    this.#pending = data.length === 0 ? [] : [data];
    this.#pendingBytes = data.length;
  }
}
