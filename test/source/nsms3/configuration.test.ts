import * as fs from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { MailhaulError } from '../../../src/errors.js';
import { parseConfiguration, readConfiguration } from '../../../src/source/nsms3/configuration.js';
import { mangle, random, type TestFolder, testFolder } from './folder.js';

const REQUIRED = ['Version: 3.6', 'HostName: mail.example.com', 'MailboxDirectory: /mail/mailbox-3.x'];
const parse = (...lines: string[]) => parseConfiguration(Buffer.from([...lines, ''].join('\n')), 'NscpMail.conf');
const parseMore = (...lines: string[]) => parse(...REQUIRED, ...lines);

function codeOf(body: () => unknown): string {
  try {
    body();
  } catch (error) {
    if (error instanceof MailhaulError) return error.code;
    throw error;
  }
  return 'nothing was thrown';
}

describe('a whole configuration', () => {
  test('every key is read', () => {
    const configuration = parse(
      '# 3.x',
      ...REQUIRED,
      'PostOfficeDirectory: /mail/queue/',
      'LdapUrl: ldap://ldap.example.com:389',
      'LdapBaseDN: o=Airius.com',
      'LdapBindDN: cn=Directory Manager',
      'LdapBindPasswordFile: /etc/pw',
      'ServerUser: mail',
      'ServerGroup: staff',
      'Postmaster: postmaster@example.com',
      'SmtpPort: 25',
      'ImapPort: 143',
      'PopPort: 110',
      'HttpPort: 80',
      'QuotaDefault: 20000000',
      'MaxQueueTime: 120',
      'LogLevel: Notice',
      'AllowBareLF: yes',
      'SingleCopy: No',
    );
    expect(configuration).toEqual({
      version: '3.6',
      hostName: 'mail.example.com',
      mailboxDirectory: '/mail/mailbox-3.x',
      postOfficeDirectory: '/mail/queue',
      directory: {
        url: 'ldap://ldap.example.com:389',
        baseDn: 'o=Airius.com',
        bindDn: 'cn=Directory Manager',
        bindPasswordFile: '/etc/pw',
      },
      serverUser: 'mail',
      serverGroup: 'staff',
      settings: {
        postmaster: 'postmaster@example.com',
        smtpPort: 25,
        imapPort: 143,
        popPort: 110,
        httpPort: 80,
        quotaDefault: 20000000,
        maxQueueTime: '120',
        logLevel: 'Notice',
        allowBareLf: true,
        singleCopy: false,
      },
      unknown: [],
      warnings: [],
    });
  });

  test('the defaults', () => {
    const configuration = parseMore();
    expect([configuration.serverUser, configuration.serverGroup]).toEqual(['mailsrv', 'nobody']);
    expect(configuration.postOfficeDirectory).toBeNull();
    expect(Object.values(configuration.directory)).toEqual([null, null, null, null]);
    expect(new Set(Object.values(configuration.settings))).toEqual(new Set([null]));
  });

  test('keys have no case, blanks around them do not count, CR LF and a byte order mark do no harm', () => {
    const text = `\ufeffVERSION :3.5\r\n  hostname:  a.b  \r\nmailboxDIRECTORY: /m//box/ \r\n`;
    const configuration = parseConfiguration(Buffer.from(text), 'x');
    expect([configuration.version, configuration.hostName, configuration.mailboxDirectory]).toEqual([
      '3.5',
      'a.b',
      '/m/box',
    ]);
  });

  test('a value that ends with the byte A0 keeps it: blanks are those of ASCII', () => {
    const { mailboxDirectory, directory, unknown } = parse(
      REQUIRED[0]!,
      REQUIRED[1]!,
      'MailboxDirectory: /mail/citt\u00e0 \t',
      'LdapBaseDN:o=Universit\u00e0',
      'X-Place: citt\u00e0\r',
    );
    expect([mailboxDirectory, directory.baseDn, unknown[0]?.value]).toEqual([
      '/mail/citt\u00e0',
      'o=Universit\u00e0',
      'citt\u00e0',
    ]);
  });

  test('a no-break space beside a key is no blank', () => {
    const text = Buffer.from(`${REQUIRED.join('\n')}\nServerUser\xa0: mail\n\xa0ServerGroup: staff\n`, 'latin1');
    const { serverUser, serverGroup, warnings } = parseConfiguration(text, 'x');
    expect([serverUser, serverGroup, warnings.map(({ code }) => code)]).toEqual([
      'mailsrv',
      'nobody',
      ['CONF_LINE', 'CONF_LINE'],
    ]);
  });

  test('unknown keys are kept with their line and reported', () => {
    const configuration = parseMore('X-Site: a: b', '');
    expect(configuration.unknown).toEqual([{ key: 'X-Site', value: 'a: b', line: 4 }]);
    expect(configuration.warnings.map((w) => [w.code, w.where])).toEqual([['CONF_UNKNOWN_KEY', 'line 4']]);
  });

  test('an unknown key of any length makes a short warning', () => {
    const [warning] = parseMore(`${'X'.repeat(4000)}: b`, '').warnings;
    expect(warning).toMatchObject({ code: 'CONF_UNKNOWN_KEY' });
    expect(warning?.message.length).toBeLessThan(300);
  });

  test('a line without a key is reported, not fatal', () => {
    expect(parseMore('what is this', ': 5').warnings.map((w) => w.code)).toEqual(['CONF_LINE', 'CONF_LINE']);
  });

  test.each([
    'LdapBindPassword hunter2',
    'Password=hunter2',
    'Password=hunter2: x',
    'Password hunter2: x',
    'hunter2',
    ': hunter2',
    'hunter2\u001bx: y',
  ])('the line %j may hold a secret: its number is shown, and nothing of it', (line) => {
    const { unknown, warnings } = parseMore(line);
    expect([unknown, warnings]).toEqual([
      [],
      [{ code: 'CONF_LINE', where: 'line 4', message: 'The line is not "Key: value": it is ignored and not kept.' }],
    ]);
  });

  test.each([
    ['SmtpPort 25', 'SmtpPort'],
    ['hostName=a.b: c', 'hostName'],
  ])('of the line %j the key is shown, which is one of 3.x', (line, key) => {
    expect(parseMore(line).warnings.map(({ message }) => message)).toEqual([
      `The line is not "Key: value": it is ignored and not kept; it begins with ${key}.`,
    ]);
  });

  test('comments and unknown values may be in any encoding; what a value loses is told', () => {
    const latin1 = Buffer.from(`# caf\xe9\nX-Y: \xe9\nX-Z: ok\n${REQUIRED.join('\n')}\n`, 'latin1');
    const { unknown, warnings } = parseConfiguration(latin1, 'x');
    expect(unknown).toEqual([
      { key: 'X-Y', value: '\ufffd', line: 2 },
      { key: 'X-Z', value: 'ok', line: 3 },
    ]);
    expect(warnings.map(({ message }) => message.includes('not UTF-8'))).toEqual([true, false]);
  });

  test('an empty value is the same as no line', () => {
    expect(parseMore('PostOfficeDirectory:', 'ServerUser: ').serverUser).toBe('mailsrv');
  });

  test('the same line twice does no harm', () => {
    expect(parseMore('Version: 3.6').version).toBe('3.6');
  });

  test.each([
    ['9007199254740991', []],
    ['9007199254740992', ['CONF_SETTING']],
    ['9223372036854775807', ['CONF_SETTING']],
  ])('QuotaDefault %s is not more than 4.x can hold', (text, codes) => {
    const { settings, warnings } = parseMore(`QuotaDefault: ${text}`);
    expect([settings.quotaDefault, warnings.map(({ code }) => code)]).toEqual([2 ** 53 - 1, codes]);
  });

  test.each([
    'SmtpPort: 0',
    'SmtpPort: 65536',
    'ImapPort: x',
    'QuotaDefault: -1',
    'AllowBareLF: maybe',
    'LogLevel: loud',
  ])('the setting %j stays at its default, with a warning', (line) => {
    const configuration = parseMore(line);
    expect(new Set(Object.values(configuration.settings))).toEqual(new Set([null]));
    expect(configuration.warnings.map((w) => w.code)).toEqual(['CONF_SETTING']);
  });
});

describe('version', () => {
  test.each(['3.01', '3.010', '3.1', '3.5', '3.5.1', '3.54', '3.56', '3.6', '3.61', '3.62'])(
    '%s can be migrated',
    (version) => {
      expect(parse(`Version: ${version}`, ...REQUIRED.slice(1)).version).toBe(version);
    },
  );

  test.each(['3.0', '3.00', '3.005', '3', '2.02', '1.1', '4.0', '4.15', '3.7', '30.1', 'three', '3.x', '-3.5'])(
    '%s is refused',
    (version) => {
      expect(codeOf(() => parse(`Version: ${version}`, ...REQUIRED.slice(1)))).toBe('CONF_VERSION');
    },
  );
});

describe('refused', () => {
  test.each([0, 1, 2])('without required key %i', (missing) => {
    expect(codeOf(() => parse(...REQUIRED.filter((_, i) => i !== missing)))).toBe('CONF_REQUIRED');
  });

  test.each(['mail', './mail', '../m', '/a/../b', '/a/./b', 'C:/mail'])('MailboxDirectory %s', (path) => {
    expect(codeOf(() => parse(REQUIRED[0]!, REQUIRED[1]!, `MailboxDirectory: ${path}`))).toBe('CONF_PATH');
  });

  test('a relative PostOfficeDirectory', () => {
    expect(codeOf(() => parseMore('PostOfficeDirectory: queue'))).toBe('CONF_PATH');
  });

  test.each(['a b', '*', '-x.y', 'a)(uid=*'])('HostName %s', (host) => {
    expect(codeOf(() => parse(REQUIRED[0]!, `HostName: ${host}`, REQUIRED[2]!))).toBe('CONF_VALUE');
  });

  test('a second, different value of a key', () => {
    expect(codeOf(() => parseMore('MailboxDirectory: /other'))).toBe('CONF_DUPLICATE');
  });

  test('control characters and bytes that are not UTF-8 in a value that counts', () => {
    expect(codeOf(() => parseMore('ServerUser: a\0b'))).toBe('CONF_VALUE');
    const latin1 = Buffer.from(`${REQUIRED.join('\n')}\nServerUser: caf\xe9\n`, 'latin1');
    expect(codeOf(() => parseConfiguration(latin1, 'x'))).toBe('CONF_VALUE');
  });

  test('the error names file and line', () => {
    expect(() => parseMore('PostOfficeDirectory: queue')).toThrow(
      expect.objectContaining({ where: 'NscpMail.conf, line 4', exit: 3 }),
    );
  });
});

describe('on disk', () => {
  let instance: TestFolder;
  beforeEach(() => {
    instance = testFolder();
  });
  afterEach(() => instance.remove());

  test('is read below the instance', () => {
    fs.mkdirSync(`${instance.path}/config`);
    instance.write('config/NscpMail.conf', REQUIRED.join('\n'));
    expect(readConfiguration(instance.dir).version).toBe('3.6');
  });

  test('a directory without a configuration is no instance', () => {
    expect(codeOf(() => readConfiguration(instance.dir))).toBe('CONF_UNREADABLE');
    fs.mkdirSync(`${instance.path}/config`);
    expect(codeOf(() => readConfiguration(instance.dir))).toBe('CONF_MISSING_FILE');
  });

  test('a link in its place is not followed, a huge file is not read', () => {
    fs.mkdirSync(`${instance.path}/config`);
    fs.symlinkSync('/etc/passwd', `${instance.path}/config/NscpMail.conf`);
    expect(codeOf(() => readConfiguration(instance.dir))).toBe('CONF_UNREADABLE');
    fs.rmSync(`${instance.path}/config/NscpMail.conf`);
    instance.write('config/NscpMail.conf', '');
    fs.truncateSync(`${instance.path}/config/NscpMail.conf`, 2 ** 31);
    expect(codeOf(() => readConfiguration(instance.dir))).toBe('CONF_UNREADABLE');
  });
});

test('5,000 mangled configurations: read, or refused with a code', () => {
  const next = random(42);
  const seed = Buffer.from(
    `${REQUIRED.join('\n')}\nServerUser: mail\nSmtpPort: 25\nX: y\n# z\nLdapBaseDN: o=\xe9\n`,
    'latin1',
  );
  const seen = new Set<string>();
  for (let round = 0; round < 5000; round++) {
    const bytes =
      next(2) === 0 ? mangle(next, seed) : Buffer.concat([Buffer.from(`${REQUIRED.join('\n')}\n`), mangle(next, seed)]);
    seen.add(codeOf(() => parseConfiguration(bytes, 'x')));
  }
  expect([...seen].every((code) => code === 'nothing was thrown' || code.startsWith('CONF_'))).toBe(true);
  expect(seen.size).toBeGreaterThan(4);
});
