/** Command line of the generator: `npx tsx test/support/generate.ts --help`. */
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { DAMAGE, type DamageKind, DEFAULTS, type GenerateOptions, generateInstallation } from './generate/index.js';

export * from './generate/index.js';

const HELP = `usage: npx tsx test/support/generate.ts --root <dir> [options]

Makes a Netscape Messaging Server 3.x installation in <dir>, the same bytes for the same seed and options.

  --seed <text>             (${DEFAULTS.seed})
  --users <n>               users with a mailbox (${DEFAULTS.users})
  --folders <n>             folders of each user, INBOX included (${DEFAULTS.folders})
  --messages <n>            messages in all (${DEFAULTS.messages})
  --spread even|natural|giant  the same number in every folder, most in a few, or half in one (${DEFAULTS.spread})
  --size <bytes>            size of a message: exact to a line, or the median (${DEFAULTS.size})
  --sizes fixed|lognormal|mail  lognormal has a tail of large messages, mail one of 1 to 20 MiB (${DEFAULTS.sizes})
  --attachments <share>     with mail: messages of that tail (${DEFAULTS.attachments})
  --gaps <share>            messages that were deleted: their uids are missing (a few)
  --stores <n>              store paths <dir>/disk<i>/mail<i> (${DEFAULTS.storePaths})
  --store-path <path>       a store path, repeatable, instead of --stores; the first is MailboxDirectory
  --single-copy <share>     messages that are a hard link to one of another folder (${DEFAULTS.singleCopy})
  --recipients <n>          the same folder of <n> users holds the same messages, one inode each (${DEFAULTS.recipients})
  --bare-lf <share>         message files with bare LF (${DEFAULTS.bareLf})
  --damage <share>          folders that get one kind of damage each, in turn (${DEFAULTS.damage})
  --damage-kind <kind>      only this kind, repeatable: ${DAMAGE.map(({ kind }) => kind).join(', ')}
  --hostile-names <share>   folders with 8-bit, wildcard, control or look-alike names (${DEFAULTS.hostileNames})
  --nested <share>          folders inside other folders (${DEFAULTS.nested})
  --keywords <share>        messages with keywords (${DEFAULTS.keywords})
  --empty-users <n>         users without a mailbox directory (${DEFAULTS.emptyUsers})
  --bad-entries <n>         directory entries that must be skipped (${DEFAULTS.badEntries})
  --from-eml <dir>          take the messages from the .eml files below <dir>, each once
  --cycle                   with --from-eml: again and again, up to --messages
  --owner <account>         owner of the files (root: mail, others: themselves)
  --version-3x <version>    Version in NscpMail.conf (${DEFAULTS.version})
  --host-name <fqdn>        (${DEFAULTS.hostName})
  --ldap-url <url>          LdapUrl in NscpMail.conf
  --no-manifest             do not write manifest.jsonl
`;

function main(): void {
  const text = { type: 'string' } as const;
  const many = { type: 'string', multiple: true } as const;
  const flag = { type: 'boolean' } as const;
  const { values } = parseArgs({
    options: {
      root: text,
      seed: text,
      users: text,
      folders: text,
      messages: text,
      spread: text,
      size: text,
      sizes: text,
      attachments: text,
      gaps: text,
      recipients: text,
      stores: text,
      'store-path': many,
      'single-copy': text,
      'bare-lf': text,
      damage: text,
      'damage-kind': many,
      'hostile-names': text,
      nested: text,
      keywords: text,
      'empty-users': text,
      'bad-entries': text,
      'from-eml': text,
      cycle: flag,
      owner: text,
      'version-3x': text,
      'host-name': text,
      'ldap-url': text,
      'no-manifest': flag,
      help: flag,
    },
  });
  if (values.help || values.root === undefined) {
    process.stdout.write(HELP);
    process.exitCode = values.help ? 0 : 2;
    return;
  }
  const number = (value: string | undefined, otherwise: number): number => {
    const parsed = value === undefined ? otherwise : Number(value);
    if (!Number.isFinite(parsed)) throw new Error(`${value} is not a number`);
    return parsed;
  };
  const oneOf = <T extends string>(value: string | undefined, choices: readonly T[], otherwise: T): T => {
    const found = choices.find((choice) => choice === value);
    if (value !== undefined && found === undefined) throw new Error(`${value} is none of ${choices.join(', ')}`);
    return found ?? otherwise;
  };
  const kinds: readonly DamageKind[] = DAMAGE.map(({ kind }) => kind);
  const options: Partial<GenerateOptions> & { root: string } = {
    root: values.root,
    seed: values.seed ?? DEFAULTS.seed,
    users: number(values.users, DEFAULTS.users),
    folders: number(values.folders, DEFAULTS.folders),
    messages: number(values.messages, DEFAULTS.messages),
    spread: oneOf(values.spread, ['even', 'natural', 'giant'], DEFAULTS.spread),
    size: number(values.size, DEFAULTS.size),
    sizes: oneOf(values.sizes, ['fixed', 'lognormal', 'mail'], DEFAULTS.sizes),
    attachments: number(values.attachments, DEFAULTS.attachments),
    gaps: values.gaps === undefined ? DEFAULTS.gaps : number(values.gaps, 0),
    recipients: number(values.recipients, DEFAULTS.recipients),
    storePaths: values['store-path'] ?? number(values.stores, 3),
    singleCopy: number(values['single-copy'], DEFAULTS.singleCopy),
    bareLf: number(values['bare-lf'], DEFAULTS.bareLf),
    damage: number(values.damage, DEFAULTS.damage),
    damageKinds: (values['damage-kind'] ?? kinds).map((kind) => oneOf(kind, kinds, 'empty-file')),
    hostileNames: number(values['hostile-names'], DEFAULTS.hostileNames),
    nested: number(values.nested, DEFAULTS.nested),
    keywords: number(values.keywords, DEFAULTS.keywords),
    emptyUsers: number(values['empty-users'], DEFAULTS.emptyUsers),
    badEntries: number(values['bad-entries'], DEFAULTS.badEntries),
    fromEml: values['from-eml'] ?? null,
    emlMode: values.cycle ? 'cycle' : 'once',
    owner: values.owner ?? null,
    version: values['version-3x'] ?? DEFAULTS.version,
    hostName: values['host-name'] ?? DEFAULTS.hostName,
    ldapUrl: values['ldap-url'] ?? null,
    manifest: !values['no-manifest'],
  };
  process.stdout.write(`${JSON.stringify(generateInstallation(options), undefined, 2)}\n`);
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  try {
    main();
  } catch (error) {
    process.stderr.write(`generate: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 2;
  }
}
