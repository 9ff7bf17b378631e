import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { asAccount, checkIdentity } from '../../src/config/privileges.js';
import { INSIDE } from '../support/process.js';
import { ACCOUNT, codeOf, needRoot } from '../upgrade/small-store.js';

describe('the server account', () => {
  it('is an account that this process is or can become', () => {
    checkIdentity({ uid: process.geteuid?.() ?? 0, gid: 0 }, 'self');
    if (process.geteuid?.() !== 0)
      expect(codeOf(() => checkIdentity({ uid: 0, gid: 0 }, 'root'))).toBe('CONF_ACCOUNT_OTHER');
  });

  it('limits what is done as it, for as long as it is done', (ctx) => {
    needRoot(ctx);
    const directory = fs.mkdtempSync(join(tmpdir(), 'mailhaul-priv-'));
    try {
      fs.writeFileSync(join(directory, 'secret'), 'x', { mode: 0o600 });
      fs.chmodSync(directory, 0o755);
      expect(() => asAccount(ACCOUNT, () => fs.readFileSync(join(directory, 'secret')))).toThrow(/EACCES/);
      expect(fs.readFileSync(join(directory, 'secret'), 'utf8')).toBe('x');
      expect([process.geteuid?.(), process.getegid?.()]).toEqual([0, 0]);
    } finally {
      fs.rmSync(directory, { recursive: true });
    }
  });

  it('is taken for good: ids, groups, and held directories still work', (ctx) => {
    needRoot(ctx);
    const directory = fs.mkdtempSync(join(tmpdir(), 'mailhaul-priv-'));
    try {
      fs.chownSync(directory, ACCOUNT.uid, ACCOUNT.gid);
      const script = `
        import { becomeAccount, createFile, openRoot } from ${INSIDE};
        const dir = openRoot(process.argv[2]);
        becomeAccount(JSON.parse(process.argv[3]));
        createFile(dir, 'made');
        let again = 'no';
        try { process.setuid(0); again = 'yes'; } catch {}
        console.log(JSON.stringify([process.getuid(), process.geteuid(), process.getgid(), process.getgroups(), again]));`;
      const file = join(directory, 'become.mjs');
      fs.writeFileSync(file, script);
      const { uid, gid } = ACCOUNT;
      const child = spawnSync(process.execPath, [file, directory, JSON.stringify({ uid, gid, groups: [gid] })], {
        encoding: 'utf8',
      });
      expect(child.stdout.trim(), child.stderr).toBe(JSON.stringify([uid, uid, gid, [gid], 'no']));
      expect(fs.statSync(join(directory, 'made')).uid).toBe(uid);
    } finally {
      fs.rmSync(directory, { recursive: true });
    }
  });
});
