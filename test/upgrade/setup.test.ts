import * as fs from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { detectInstallation, openInstance } from '../../src/config/instance.js';
import { setUpInstance } from '../../src/upgrade/setup.js';
import { runCli } from '../support/process.js';
import { ACCOUNT, codeOf, codeOfAsync, HOST, run, type SmallStore, smallStore, snapshot } from './small-store.js';

describe('set-up', () => {
  let store: SmallStore;
  beforeEach(() => {
    store = smallStore();
    store.configure({
      SmtpPort: '2525',
      LdapUrl: 'ldap://ldap.example.com/',
      LdapBaseDN: 'o=example',
      LdapBindDN: 'cn=a',
    });
    store.configure({ LdapBindPasswordFile: '/etc/secret', LogLevel: 'debug', AllowBareLF: 'yes' });
    store.finish();
  });
  afterEach(() => store.remove());
  const account = { serverUser: ACCOUNT.user, serverGroup: ACCOUNT.group };

  it('tells none, 3.x and 4.x apart', async () => {
    expect(detectInstallation(join(store.root, 'none'))).toBe('none');
    expect(detectInstallation(store.root)).toBe('none');
    expect(detectInstallation(store.from)).toBe('3.x');
    await setUpInstance({ instance: store.instance, from: store.from });
    expect(detectInstallation(store.instance)).toBe('4.x');
  });

  it('makes an instance with the settings of 3.x', async () => {
    const report = await setUpInstance({ instance: store.instance, from: store.from });
    expect(report).toMatchObject({ found: 'none', created: true, version: '3.6', hostName: HOST, ...account });
    expect(report.options).toMatchObject({
      'local.hostname': HOST,
      'local.upgrade.from': store.from,
      'service.smtp.port': '2525',
      'local.ugldapurl': 'ldap://ldap.example.com/',
      'local.ugldapbasedn': 'o=example',
      'local.ugldapbinddn': 'cn=a',
      'local.ugldapbindpasswordfile': '/etc/secret',
      'logfile.default.loglevel': 'Debug',
      'service.smtp.allowbarelf': 'yes',
      'store.defaultpartition': 'primary',
    });
    const instance = openInstance(store.instance);
    expect(instance.account).toMatchObject({ uid: ACCOUNT.uid, gid: ACCOUNT.gid });
    expect(instance.partitionPath('primary')).toBe(join(store.instance, 'store/partition/primary'));
    instance.close();
  });

  it('says which unknown 3.x keys no option can keep', async () => {
    store.configure({ Kept: 'x', 'Odd..Key': 'x', Bell: 'a\x07b' });
    store.finish();
    const { options, warnings } = await setUpInstance({ instance: store.instance, from: store.from });
    expect(Object.keys(options).filter((option) => option.includes('.unknown.'))).toEqual([
      'local.upgrade.unknown.kept',
    ]);
    expect(warnings.filter((text) => text.includes('cannot be kept'))).toEqual([
      expect.stringMatching(/^NscpMail\.conf, lines \d+, \d+: /),
    ]);
  });

  it('keeps all values of an unknown key that comes several times, and says which no option can keep', async () => {
    fs.appendFileSync(join(store.from, 'config/NscpMail.conf'), 'Site: a b\nOther: 1\nSITE: c\nsite: \nSite: \x07\n');
    const { warnings } = await setUpInstance({ instance: store.instance, from: store.from });
    const instance = openInstance(store.instance);
    expect(instance.config.get('local.upgrade.unknown.site')).toBe('a b\tc');
    instance.close();
    const text = fs.readFileSync(join(store.from, 'config/NscpMail.conf'), 'utf8');
    const lines = text.split('\n').flatMap((line, i) => (/^site: $|\x07/.test(line) ? [i + 1] : []));
    expect(warnings.filter((warning) => warning.includes('cannot be kept'))).toEqual([
      expect.stringMatching(`lines ${lines.join(', ')}: `),
    ]);
  });

  it('joins the values of an unknown key as far as one option can hold them; the rest is told', async () => {
    fs.appendFileSync(join(store.from, 'config/NscpMail.conf'), 'X: a\n'.repeat(150_000));
    const { options, warnings } = await setUpInstance({ instance: store.instance, from: store.from, dryRun: true });
    expect(options).toMatchObject({ 'local.upgrade.unknown.x': '…' });
    expect(warnings.some((warning) => warning.includes('cannot be kept'))).toBe(true);
  });

  it('shows the names of unknown 3.x keys, not what may be secrets in them or in the URL', async () => {
    store.configure({ LdapBindPassword: 'hush1', LdapUrl: 'ldap://cn=a:hu/sh2@x@ldap.example.com/' });
    store.finish();
    for (const dryRun of [true, false]) {
      const report = await setUpInstance({ instance: store.instance, from: store.from, dryRun });
      expect(report.options).toMatchObject({
        'local.upgrade.unknown.ldapbindpassword': '…',
        'local.ugldapurl': 'ldap://…@ldap.example.com/',
      });
      expect(JSON.stringify(report)).not.toMatch(/hush1|sh2/);
    }
    const instance = openInstance(store.instance);
    expect(instance.config.get('local.upgrade.unknown.ldapbindpassword')).toBe('hush1');
    instance.close();
  });

  it('gives an instance that was made without 3.x its settings by upgrade -s; what is set stays', async () => {
    await setUpInstance({ instance: store.instance, hostName: HOST, ...account });
    const instance = openInstance(store.instance);
    await instance.config.set('local.ugldapbinddn', 'cn=mine');
    await instance.config.set('service.smtp.allowbarelf', null);
    await run(store);
    const value = (option: string) => instance.config.get(option);
    expect([value('service.smtp.port'), value('local.ugldapbasedn')]).toEqual(['2525', 'o=example']);
    expect([value('local.ugldapbinddn'), value('service.smtp.allowbarelf')]).toEqual(['cn=mine', undefined]);
    instance.close();
    const log = fs.readFileSync(join(store.instance, 'log/default/default'), 'utf8');
    expect(log).toMatch(/options of 3\.x that configdb had not: local\.ugldapurl, .*service\.smtp\.port/);
  });

  it('run again changes nothing, and keeps options that somebody changed or cleared', async () => {
    await setUpInstance({ instance: store.instance, from: store.from });
    const instance = openInstance(store.instance);
    await instance.config.set('service.smtp.port', '25');
    await instance.config.set('local.ugldapbinddn', null);
    instance.close();
    const before = snapshot(store.root);
    const report = await setUpInstance({ instance: store.instance, from: store.from });
    expect(report).toMatchObject({ found: '4.x', created: false, options: {} });
    expect(snapshot(store.root)).toEqual(before);
  });

  it('completes what a killed run left', async () => {
    await setUpInstance({ instance: store.instance, from: store.from });
    fs.rmSync(join(store.instance, 'config/configdb'));
    fs.rmSync(join(store.instance, 'queue'), { recursive: true });
    expect(detectInstallation(store.instance)).toBe('none');
    await setUpInstance({ instance: store.instance, from: store.from });
    expect(fs.existsSync(join(store.instance, 'queue/deferred'))).toBe(true);
  });

  it('makes a fresh one from flags alone; a flag beats 3.x', async () => {
    const report = await setUpInstance({ instance: store.instance, hostName: 'new.example.com', ...account });
    expect(report).toMatchObject({ created: true, from: null, version: null, hostName: 'new.example.com' });
    const other = join(store.root, 'server4/msg-other');
    const mixed = await setUpInstance({ instance: other, from: store.from, ldapUrl: 'ldaps://x/' });
    expect(mixed.options['local.ugldapurl']).toBe('ldaps://x/');
  });

  it('refuses what it cannot do, and makes nothing', async () => {
    const before = snapshot(store.root);
    expect(await codeOfAsync(() => setUpInstance({ instance: store.instance, ...account }))).toBe('SETUP_HOST_NAME');
    expect(await codeOfAsync(() => setUpInstance({ instance: store.instance, hostName: HOST }))).toBe(
      'SETUP_SERVER_USER',
    );
    expect(await codeOfAsync(() => setUpInstance({ instance: store.from, hostName: HOST, ...account }))).toBe(
      'SETUP_IS_3X',
    );
    const nobody = { hostName: HOST, serverUser: 'no-such-user', serverGroup: ACCOUNT.group };
    expect(await codeOfAsync(() => setUpInstance({ instance: store.instance, ...nobody }))).toBe('CONF_ACCOUNT');
    expect(codeOf(() => openInstance(store.instance))).toBe('INSTANCE_MISSING');
    const planned = await setUpInstance({ instance: store.instance, from: store.from, dryRun: true });
    expect(planned.options).toMatchObject({ 'local.hostname': HOST, 'service.smtp.port': '2525' });
    expect(snapshot(store.root)).toEqual(before);
  });

  it('is the command msg-setup, with its exit codes', () => {
    const command = (...flags: string[]) => runCli('msg-setup', ...flags);
    const made = command('--instance', store.instance, '--from', store.from, '--json');
    expect([made.status, made.stderr]).toEqual([0, '']);
    expect(JSON.parse(made.stdout)).toMatchObject({ created: true, instance: store.instance });
    expect(command('--instance', join(store.root, 'x')).status).toBe(2);
    expect(command('--instance', store.from).status).toBe(3);
    expect(command('--no-such-flag').status).toBe(2);
  });
});
