/**
 * Makes messages as they lay on servers of the late nineties and later: every common MIME shape, several charsets,
 * encoded headers, mailing lists, delivery reports, and some that break the rules. Always CRLF; a store with
 * bare LF makes its own form of them.
 */
import type { Random } from './random.js';
import { encodedWord, europeanWords, type Pool, type Pools, takeLines, words } from './text.js';

export interface MailContext {
  readonly pools: Pools;
  readonly hostName: string;
  /** The mailbox owner's uid. */
  readonly uid: string;
  /** Internal date, seconds since 1970 UTC. */
  readonly date: number;
  /** Unique in the installation; becomes the Message-ID. */
  readonly serial: string;
  /** Size to aim at, in bytes; the result is within a line of it, and never below the fixed parts. */
  readonly size: number;
}

/** A message without its filler: `before` and `after` lie around the lines taken from `filler`. */
interface Draft {
  /** MIME header fields of the message. */
  readonly mime: string;
  readonly before?: string;
  readonly filler: Pool;
  readonly after?: string;
  /** Replaces the usual header fields. */
  readonly header?: string;
}

type Shape = (random: Random, context: MailContext) => Draft;

const NAMES = 'Alice Bob Carol Dave Erin Frank Grace Heidi Ivan Judy Mallory Niaj Olivia Peggy Rupert Sybil'.split(' ');
const DOMAINS = ['example.com', 'example.net', 'example.org', 'sales.example.com', 'lists.example.org'];
const ZONES = ['+0000', '-0000', '+0000 (GMT)', 'GMT'];
const MAILERS = [
  'Mozilla 4.7 [en] (WinNT; I)',
  'Mozilla 4.05 [de] (Win95; I)',
  'Microsoft Outlook Express 5.00.2314.1300',
  'QUALCOMM Windows Eudora Pro Version 4.0',
  'ELM [version 2.4 PL25]',
];
const ATTACHMENTS = ['report.doc', 'budget 1999.xls', 'photo.jpg', 'slides.ppt', 'archive.zip', 'README'];

/** Shapes with their weights, in percent. */
const SHAPES: readonly (readonly [number, Shape])[] = [
  [26, plain],
  [7, (_random, { pools }) => text('iso-8859-1', '8bit', pools.latin1)],
  [10, (_random, { pools }) => text('UTF-8', 'quoted-printable', pools.quotedPrintable)],
  [4, (_random, { pools }) => text('utf-8', 'base64', pools.base64Text)],
  [3, (_random, { pools }) => text('koi8-r', '8bit', pools.koi8)],
  [2, (_random, { pools }) => text('ISO-2022-JP', '7bit', pools.iso2022jp)],
  [3, (_random, { pools }) => text('utf-8', '8bit', pools.utf8)],
  [16, alternative],
  [14, mixed],
  [4, related],
  [4, forwarded],
  [1, digest],
  [2, deliveryReport],
  [1, signed],
  [1, uuencoded],
  [1, unclosed],
  [1, odd],
];

export function makeMail(random: Random, context: MailContext): Buffer {
  let draw = random.int(0, 99);
  const shape = SHAPES.find(([weight]) => {
    draw -= weight;
    return draw < 0;
  });
  const draft = (shape?.[1] ?? plain)(random, context);
  const header = draft.header ?? headerOf(random, context);
  const start = Buffer.from(`${header}${draft.mime}\r\n${draft.before ?? ''}`, 'latin1');
  const end = Buffer.from(draft.after ?? '', 'latin1');
  const room = context.size - start.length - end.length;
  const fill = room > 0 ? takeLines(draft.filler, random, room) : Buffer.alloc(0);
  return Buffer.concat([start, fill, end]);
}

function plain(random: Random, { pools }: MailContext): Draft {
  const mime = random.chance(0.3) ? '' : 'MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n';
  return { mime, filler: pools.ascii };
}

function text(charset: string, encoding: string, filler: Pool): Draft {
  const type = `Content-Type: text/plain; charset="${charset}"; format=flowed`;
  return { mime: `MIME-Version: 1.0\r\n${type}\r\nContent-Transfer-Encoding: ${encoding}\r\n`, filler };
}

function boundaryOf(random: Random): string {
  return random.chance(0.5)
    ? `------------${hex(random, 12).toUpperCase()}`
    : `----=_NextPart_000_${hex(random, 4)}_01BE${hex(random, 4).toUpperCase()}.${hex(random, 8).toUpperCase()}`;
}

function multipart(subtype: string, boundary: string, parameters = ''): string {
  return `MIME-Version: 1.0\r\nContent-Type: multipart/${subtype};${parameters}\r\n boundary="${boundary}"\r\n`;
}

function alternative(random: Random, { pools }: MailContext): Draft {
  const boundary = boundaryOf(random);
  const first = takeLines(pools.quotedPrintable, random, 400).toString('latin1');
  return {
    mime: multipart('alternative', boundary),
    before:
      `This is a multi-part message in MIME format.\r\n--${boundary}\r\n` +
      `Content-Type: text/plain; charset=UTF-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n${first}\r\n` +
      `--${boundary}\r\nContent-Type: text/html; charset=us-ascii\r\nContent-Transfer-Encoding: 7bit\r\n\r\n<html><body>\r\n`,
    filler: pools.html,
    after: `</body></html>\r\n--${boundary}--\r\n`,
  };
}

function mixed(random: Random, { pools }: MailContext): Draft {
  const boundary = boundaryOf(random);
  const name = random.pick(ATTACHMENTS);
  const disposition = random.chance(0.2)
    ? `filename*=UTF-8''${encodeURIComponent(europeanWords(random, 2))}.pdf`
    : random.chance(0.2)
      ? `filename="${encodedWord(random, `${europeanWords(random, 1)}.doc`)}"`
      : `filename="${name}"`;
  return {
    mime: multipart('mixed', boundary),
    before:
      `--${boundary}\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n` +
      `${takeLines(pools.ascii, random, 300).toString('latin1')}\r\n--${boundary}\r\n` +
      `Content-Type: application/octet-stream; name="${name}"\r\nContent-Transfer-Encoding: base64\r\n` +
      `Content-Description: ${words(random, 2)}\r\nContent-Disposition: attachment; ${disposition}\r\n\r\n`,
    filler: pools.base64,
    after: `\r\n--${boundary}--\r\n`,
  };
}

function related(random: Random, { pools }: MailContext): Draft {
  const [outer, inner] = [boundaryOf(random), boundaryOf(random)];
  const id = `<part1.${hex(random, 8)}@example.com>`;
  return {
    mime: multipart('related', outer, ' type="multipart/alternative";'),
    before:
      `--${outer}\r\nContent-Type: multipart/alternative; boundary="${inner}"\r\n\r\n` +
      `--${inner}\r\nContent-Type: text/plain\r\n\r\n${takeLines(pools.ascii, random, 200).toString('latin1')}` +
      `--${inner}\r\nContent-Type: text/html; charset=iso-8859-1\r\nContent-Transfer-Encoding: 8bit\r\n` +
      `Content-Language: de, en\r\n\r\n<img src="cid:${id.slice(1, -1)}">\r\n--${inner}--\r\n\r\n` +
      `--${outer}\r\nContent-Type: image/gif; name=logo.gif\r\nContent-ID: ${id}\r\n` +
      `Content-Location: http://www.example.com/logo.gif\r\nContent-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==\r\n` +
      'Content-Disposition: inline\r\nContent-Transfer-Encoding: base64\r\n\r\n',
    filler: pools.base64,
    after: `--${outer}--\r\n`,
  };
}

function forwarded(random: Random, context: MailContext): Draft {
  const boundary = boundaryOf(random);
  const inner = headerOf(random, { ...context, serial: `${context.serial}.inner`, date: context.date - 3600 });
  return {
    mime: multipart('mixed', boundary),
    before:
      `--${boundary}\r\n\r\n${words(random, 8)}\r\n--${boundary}\r\nContent-Type: message/rfc822\r\n` +
      `Content-Disposition: inline\r\n\r\n${inner}Content-Type: text/plain; charset=us-ascii\r\n\r\n`,
    filler: context.pools.ascii,
    after: `--${boundary}--\r\n`,
  };
}

function digest(random: Random, context: MailContext): Draft {
  const boundary = boundaryOf(random);
  const item = (number: number) =>
    `--${boundary}\r\n\r\n${headerOf(random, { ...context, serial: `${context.serial}.${number}` })}\r\n` +
    `${takeLines(context.pools.ascii, random, 300).toString('latin1')}\r\n`;
  return {
    mime: multipart('digest', boundary),
    before: `${item(1)}${item(2)}--${boundary}\r\n\r\nSubject: last of the digest\r\n\r\n`,
    filler: context.pools.ascii,
    after: `--${boundary}--\r\n`,
  };
}

function deliveryReport(random: Random, context: MailContext): Draft {
  const boundary = boundaryOf(random);
  const recipient = `${random.pick(NAMES).toLowerCase()}@${random.pick(DOMAINS)}`;
  return {
    mime: multipart('report', boundary, ' report-type=delivery-status;'),
    before:
      `--${boundary}\r\nContent-Type: text/plain\r\n\r\nYour message could not be delivered to ${recipient}.\r\n\r\n` +
      `--${boundary}\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; ${context.hostName}\r\n\r\n` +
      `Final-Recipient: rfc822; ${recipient}\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n` +
      `--${boundary}\r\nContent-Type: text/rfc822-headers\r\n\r\n`,
    filler: context.pools.ascii,
    after: `\r\n--${boundary}--\r\n`,
  };
}

function signed(random: Random, { pools }: MailContext): Draft {
  const boundary = boundaryOf(random);
  const type = ' protocol="application/pkcs7-signature"; micalg=sha1;';
  return {
    mime: multipart('signed', boundary, type),
    before: `--${boundary}\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n`,
    filler: pools.ascii,
    after:
      `\r\n--${boundary}\r\nContent-Type: application/pkcs7-signature; name="smime.p7s"\r\n` +
      `Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename="smime.p7s"\r\n\r\n` +
      `${takeLines(pools.base64, random, 600).toString('latin1')}--${boundary}--\r\n`,
  };
}

function uuencoded(_random: Random, { pools }: MailContext): Draft {
  return { mime: '', before: 'begin 644 data.bin\r\n', filler: pools.uuencoded, after: '`\r\nend\r\n' };
}

/** A multipart that was cut: its boundary is never closed. */
function unclosed(random: Random, { pools }: MailContext): Draft {
  const boundary = boundaryOf(random);
  return {
    mime: multipart('mixed', boundary),
    before: `--${boundary}\r\nContent-Type: text/plain; charset=\r\n\r\n`,
    filler: pools.ascii,
  };
}

/** Headers that break the rules: 8-bit bytes, no colon, empty addresses, an impossible date, comments, groups. */
function odd(random: Random, { pools, serial }: MailContext): Draft {
  return {
    header:
      `From: J\xfcrgen M\xfcller <jm@example.com\r\nTo: undisclosed-recipients:;\r\nDate: Thu, 99 Foo 1999 25:61:61\r\n` +
      `Cc: "a \\"quoted\\" name" (with (nested) comment) <x@[10.0.0.1]>, , list: a@b, c@d;\r\n` +
      `Subject:\r\nthis line has no colon\r\nMessage-Id: <${serial}@>\r\nX-Empty:\r\n`,
    mime: random.chance(0.5) ? 'Content-Type: text\r\n' : '',
    filler: pools.latin1,
  };
}

/** Trace, address, date and list fields; ends after the last field's CRLF. */
function headerOf(random: Random, { hostName, uid, date, serial }: MailContext): string {
  const sender = random.pick(NAMES);
  const domain = random.pick(DOMAINS);
  const from = `${sender.toLowerCase()}@${domain}`;
  const when = dateOf(random, date);
  const name = random.chance(0.15) ? encodedWord(random, `${sender} ${europeanWords(random, 1)}`) : `${sender} Doe`;
  const subject = random.chance(0.2) ? encodedWord(random, europeanWords(random, 3)) : words(random, random.int(1, 7));
  let header =
    `Return-Path: <${from}>\r\n` +
    `Received: from relay.${domain} ([192.0.2.${random.int(1, 254)}]) by ${hostName}\r\n` +
    `          (Netscape Messaging Server 3.6) with ESMTP id AAA${hex(random, 4).toUpperCase()}\r\n` +
    `          for <${uid}@example.com>; ${when}\r\n` +
    `Message-ID: <${serial}@${domain}>\r\nDate: ${when}\r\n` +
    `From: ${random.chance(0.2) ? `${from} (${sender})` : `${name} <${from}>`}\r\n`;
  if (random.chance(0.5)) header += `X-Mailer: ${random.pick(MAILERS)}\r\n`;
  if (random.chance(0.1)) header += `X-Priority: ${random.int(1, 5)}\r\n`;
  header += `To: ${uid}@example.com`;
  if (random.chance(0.3))
    header += `,\r\n\t"${random.pick(NAMES)}, Jr." <${random.pick(NAMES)}@${random.pick(DOMAINS)}>`;
  header += '\r\n';
  if (random.chance(0.2))
    header += `Cc: staff@example.com, ${random.pick(NAMES)} <x${random.int(1, 99)}@example.net>\r\n`;
  if (random.chance(0.35)) {
    const parent = `<${hex(random, 8)}.${hex(random, 8)}@${domain}>`;
    header += `In-Reply-To: ${parent}\r\nReferences: <${hex(random, 8)}@${domain}>\r\n ${parent}\r\nSubject: Re: ${subject}\r\n`;
  } else header += `Subject: ${subject}\r\n`;
  if (random.chance(0.25)) {
    header +=
      'Sender: owner-staff@lists.example.org\r\nReply-To: staff@lists.example.org\r\nPrecedence: list\r\n' +
      'List-Id: Staff <staff.lists.example.org>\r\nList-Unsubscribe: <mailto:staff-request@lists.example.org>\r\n';
  }
  return header;
}

/** RFC 822 date in UTC, with one of the spellings of the zone. */
function dateOf(random: Random, seconds: number): string {
  return new Date(seconds * 1000).toUTCString().replace(/GMT$/, random.pick(ZONES));
}

function hex(random: Random, digits: number): string {
  let out = '';
  while (out.length < digits) out += random.int(0, 0xffff).toString(16).padStart(4, '0');
  return out.slice(0, digits);
}
