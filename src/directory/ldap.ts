/**
 * The users of a server in an LDAP directory.
 *
 * One search over the subtree, in pages (RFC 2696). The control is not critical: servers as old as the product
 * do not know it and send everything at once, which is streamed just the same. The list counts as complete only
 * when the last result is success and its cookie is empty; a size or time limit, a lost server or a missing
 * cookie is an error, never a shorter list. References to other servers are reported, not followed.
 */
import { AndFilter, BindRequest, EqualityFilter, OrFilter, PagedResultsControl, SearchRequest } from 'ldapts';
import { MailhaulError } from '../errors.js';
import { escapeLogText } from '../log/log.js';
import { connectLdap, type LdapConnection, type LdapServer, resultText } from './ldap-connection.js';
import { type LdapResult, protocolError } from './ldap-messages.js';
import type { SourceItem, UserDirectory } from './types.js';
import { uniqueUsers } from './unique.js';
import { problem, USER_ATTRIBUTES, USER_CLASSES, validateEntry } from './validate.js';

export interface LdapOptions {
  readonly server: LdapServer;
  readonly baseDn: string;
  /** Undefined: anonymous. */
  readonly bind: { readonly dn: string; readonly password: string } | undefined;
  /** `mailHost` of this server's users. */
  readonly hostName: string;
  /** Entries a page. */
  readonly pageSize: number;
}

/** Pages without an entry but with a cookie, one after the other, before the server counts as broken. */
const EMPTY_PAGES = 10_000;

export function ldapDirectory(options: LdapOptions): UserDirectory {
  const { server } = options;
  const open = new Set<LdapConnection>();
  const scheme = server.security === 'ldaps' ? 'ldaps' : 'ldap';
  return {
    description: `${scheme}://${server.host}:${server.port}/${options.baseDn}`,
    users: (signal) => uniqueUsers(readDirectory(options, open, signal), signal),
    async close() {
      for (const connection of open) connection.close();
    },
  };
}

async function* readDirectory(
  options: LdapOptions,
  open: Set<LdapConnection>,
  signal: AbortSignal | undefined,
): AsyncGenerator<SourceItem> {
  const connection = await connectLdap(options.server, signal);
  open.add(connection);
  const abort = () => connection.close();
  signal?.addEventListener('abort', abort, { once: true });
  try {
    if (options.bind !== undefined) await bind(connection, options.bind, options.server);
    yield* search(connection, options);
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  } finally {
    signal?.removeEventListener('abort', abort);
    open.delete(connection);
    connection.close();
  }
}

async function bind(
  connection: LdapConnection,
  account: { readonly dn: string; readonly password: string },
  server: LdapServer,
): Promise<void> {
  const request = new BindRequest({ messageId: connection.nextId(), dn: account.dn, password: account.password });
  for await (const response of connection.request(request)) {
    if (response.kind !== 'result') throw protocolError('an entry in answer to a bind');
    if (response.code === 0) continue;
    const why = response.code === 49 ? 'name or password are wrong' : resultText(response);
    throw new MailhaulError('DIR_BIND', `The directory server did not accept the bind: ${why}.`, {
      where: `${escapeLogText(account.dn)} at ${server.host}:${server.port}`,
      hint:
        response.code === 8 || response.code === 13
          ? 'It wants a protected connection: use ldaps:// or StartTLS.'
          : 'Check the bind DN and its password file.',
    });
  }
}

async function* search(connection: LdapConnection, options: LdapOptions): AsyncGenerator<SourceItem> {
  let cookie: Buffer = Buffer.alloc(0);
  let entries = 0;
  let paging = false;
  for (let emptyPages = 0; emptyPages < EMPTY_PAGES; ) {
    let found = 0;
    let last: LdapResult | undefined;
    for await (const response of connection.request(searchRequest(connection.nextId(), options, cookie))) {
      if (response.kind === 'result') {
        last = response;
      } else if (response.kind === 'entry') {
        found += 1;
        yield validateEntry(response.entry);
      } else {
        yield reference(response.urls);
      }
    }
    entries += found;
    if (last === undefined) throw protocolError('a search without a result');
    if (last.code !== 0) throw searchFailed(last, options, entries);
    if (paging && last.cookie === undefined) throw incomplete(entries);
    if (last.cookie === undefined || last.cookie.length === 0) return;
    paging = true;
    cookie = Buffer.from(last.cookie);
    emptyPages = found === 0 ? emptyPages + 1 : 0;
  }
  throw protocolError('empty pages without end');
}

/**
 * `(|(&(objectClass=mailRecipient)(mailHost=H)(mailDeliveryOption=mailbox))(&(objectClass=nsMessagingServerUser)…))`
 * as a tree: values go out as octet strings, so no value can become filter syntax.
 */
function searchRequest(messageId: number, options: LdapOptions, cookie: Buffer): SearchRequest {
  const equals = (attribute: string, value: string) => new EqualityFilter({ attribute, value });
  const branches = USER_CLASSES.map(
    (name) =>
      new AndFilter({
        filters: [
          equals('objectClass', name),
          equals('mailHost', options.hostName),
          equals('mailDeliveryOption', 'mailbox'),
        ],
      }),
  );
  return new SearchRequest({
    messageId,
    baseDN: options.baseDn,
    scope: 'sub',
    derefAliases: 'never',
    // Limits are the server's; ours would only be one more way to a short list.
    sizeLimit: 0,
    timeLimit: 0,
    filter: new OrFilter({ filters: branches }),
    attributes: [...USER_ATTRIBUTES],
    controls: [new PagedResultsControl({ value: { size: options.pageSize, cookie } })],
  });
}

/** The same filter as text (RFC 4515), for messages. */
export function filterText(hostName: string): string {
  const host = escapeFilterValue(hostName);
  const branches = USER_CLASSES.map((name) => `(&(objectClass=${name})(mailHost=${host})(mailDeliveryOption=mailbox))`);
  return `(|${branches.join('')})`;
}

/** RFC 4515 3: `*`, `(`, `)`, `\` and NUL, and here every other control byte, as `\` and two hex digits. */
export function escapeFilterValue(value: string): string {
  return value.replace(
    /[*()\\\u0000-\u001f\u007f]/g,
    (character) => `\\${character.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
}

function reference(urls: readonly string[]): SourceItem {
  const shown = escapeLogText(urls.join(' ').slice(0, 1000));
  const message = `A part of the directory is on another server and was not read, so its users are missing here: ${shown}.`;
  return problem(null, 'DIR_REFERRAL', '', message);
}

function incomplete(entries: number): MailhaulError {
  return new MailhaulError('DIR_PARTIAL', `The directory server stopped paging after ${entries} entries.`, {
    hint: 'Its list is not complete, so nothing of it was used. Run the command again.',
  });
}

function searchFailed(result: LdapResult, options: LdapOptions, entries: number): MailhaulError {
  const where = `${options.server.host}:${options.server.port}, base ${JSON.stringify(options.baseDn)}`;
  const said = resultText(result);
  switch (result.code) {
    case 3: // timeLimitExceeded
    case 4: // sizeLimitExceeded
    case 11: // adminLimitExceeded
      return new MailhaulError(
        'DIR_SIZE_LIMIT',
        `The directory server stops after ${entries} entries (${said}); its list is not complete, so nothing was used.`,
        { where, hint: 'Bind as an account without limits, or raise them, or export an LDIF file.' },
      );
    case 10: // referral
      return new MailhaulError('DIR_REFERRAL', `The directory is on another server (${said}).`, {
        where,
        hint: `Name that one: ${escapeLogText(result.referrals.join(' ').slice(0, 500))}`,
      });
    case 32: // noSuchObject
      return new MailhaulError('DIR_SEARCH', `The directory has no entry at this base DN (${said}).`, {
        where,
        hint: 'Correct the base DN (LdapBaseDN), or bind as an account that may read it.',
      });
    case 51: // busy
    case 52: // unavailable
      return new MailhaulError('DIR_LOST', `The directory server cannot answer now (${said}).`, {
        where,
        hint: 'Run the command again later; nothing was used.',
      });
    default:
      return new MailhaulError('DIR_SEARCH', `The directory server refused the search (${said}).`, {
        where,
        hint: `The filter was ${escapeLogText(filterText(options.hostName))}.`,
      });
  }
}
