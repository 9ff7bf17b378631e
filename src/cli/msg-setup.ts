#!/usr/bin/env node
/**
 * `msg-setup`: makes a 4.x instance without questions; every answer is a flag (commands.md). Running it again
 * changes nothing.
 */
import { EXIT, type ExitCode } from '../errors.js';
import { type SetupReport, setUpInstance } from '../upgrade/setup.js';
import {
  type CommonFlags,
  instanceOf,
  makeCommand,
  runCommand,
  standardOutput,
  startIfMain,
  visible,
} from './common.js';

interface Flags extends CommonFlags {
  readonly from?: string;
  readonly hostName?: string;
  readonly serverUser?: string;
  readonly serverGroup?: string;
  readonly ldapUrl?: string;
  readonly ldapBaseDn?: string;
  readonly ldapBindDn?: string;
  readonly ldapBindPasswordFile?: string;
  readonly dryRun?: boolean;
}

function makeProgram() {
  return makeCommand('msg-setup', 'Makes a 4.x instance, with the settings of a 3.x one when there is one.')
    .option('--from <dir>', 'the 3.x instance directory to take the settings from; recorded for upgrade')
    .option('--host-name <fqdn>', 'name of this server: mailHost of its users (default: as in 3.x)')
    .option('--server-user <name>', 'account that owns the store (default: as in 3.x)')
    .option('--server-group <name>', 'its group (default: as in 3.x)')
    .option('--ldap-url <url>', 'the user directory (default: as in 3.x)')
    .option('--ldap-base-dn <dn>', 'where its search begins')
    .option('--ldap-bind-dn <dn>', 'who asks it')
    .option('--ldap-bind-password-file <file>', 'file whose first line is the password')
    .option('--dry-run', 'check and show, write nothing')
    .addHelpText(
      'after',
      `
  msg-setup --instance /usr/netscape/server4/msg-tango --from /usr/netscape/suitespot/msg-tango
  msg-setup --instance /srv/mail/msg-new --host-name mail.example.com --server-user mailsrv --server-group mail`,
    );
}

async function perform(flags: Flags): Promise<ExitCode> {
  const report = await setUpInstance({
    instance: instanceOf(flags),
    from: flags.from,
    hostName: flags.hostName,
    serverUser: flags.serverUser,
    serverGroup: flags.serverGroup,
    ldapUrl: flags.ldapUrl,
    ldapBaseDn: flags.ldapBaseDn,
    ldapBindDn: flags.ldapBindDn,
    ldapBindPasswordFile: flags.ldapBindPasswordFile,
    dryRun: flags.dryRun,
  });
  if (flags.json === true) standardOutput.json(report);
  else standardOutput.write(`${setupText(report)}\n`);
  return EXIT.ok;
}

function setupText(report: SetupReport): string {
  const options = Object.entries(report.options);
  const before = report.found === '4.x' ? 'was there' : report.dryRun ? 'would be made' : 'was made';
  const source =
    report.from === null ? [] : [`Settings of the 3.x instance ${report.from}, version ${report.version}.`];
  return [
    ...source,
    `The 4.x instance ${report.instance} ${before}; its account is ${report.serverUser}, group ${report.serverGroup}.`,
    options.length === 0 ? 'No option is new.' : `${report.dryRun ? 'Options it would get' : 'New options'}:`,
    ...options.map(([option, value]) => `  ${option}|${visible(value)}`),
    ...report.warnings.map((warning) => `warning: ${visible(warning)}`),
  ].join('\n');
}

export function main(argv: readonly string[]): Promise<ExitCode> {
  return runCommand<Flags>(makeProgram(), argv, perform);
}

await startIfMain(import.meta.url, 'msg-setup', main);
