/**
 * `upgrade -s` on a real slapd: ten thousand users, found page by page in bounded memory, and a slapd that dies
 * half-way.
 */
import { once } from 'node:events';
import * as fs from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Slapd, slapdMissing, startSlapd, suffixLdif, userLdif } from '../support/slapd.js';
import { HOST } from '../upgrade/small-store.js';
import { type HandSite, handSite, usersOf } from './hand-site.js';

let site: HandSite;
afterEach(() => site.remove());

const missing = slapdMissing();
if (missing !== undefined) console.log(`skipped: e2e/directory-slapd: ${missing}`);

/** Kilobytes; the highest that VmHWM (whole process) and RssAnon (its own memory) were while the command ran. */
interface Peak {
  whole: number;
  own: number;
}

async function measured(
  made: HandSite,
  ...args: string[]
): Promise<{ status: number | null; output: string; peak: Peak }> {
  const child = made.start('upgrade', '-s', '--json', '--from', made.store.from, ...args);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
  }
  const peak: Peak = { whole: 0, own: 0 };
  const timer = setInterval(() => {
    try {
      const text = fs.readFileSync(`/proc/${child.pid}/status`, 'latin1');
      const value = (name: string) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(text)?.[1] ?? 0);
      peak.whole = Math.max(peak.whole, value('VmHWM'));
      peak.own = Math.max(peak.own, value('RssAnon'));
    } catch {
      // It has just ended.
    }
  }, 5);
  const [status] = (await once(child, 'close')) as [number | null];
  clearInterval(timer);
  return { status, output, peak };
}

describe.skipIf(missing !== undefined)('ten thousand users in a real slapd', () => {
  const COUNT = 10_000;
  /** Of its own memory, more than for one user: 64 MB for the collector, 20 for each of two threads, 1 KB for each user. */
  const BOUND_KB = (64 + 2 * 20) * 1024 + COUNT;
  let slapd: Slapd;
  let few: Slapd;
  beforeAll(async () => {
    const ldif = (count: number) =>
      suffixLdif() +
      Array.from({ length: count }, (_, i) => userLdif({ uid: `user${i}`, mailHost: HOST })).join('') +
      userLdif({ uid: 'elsewhere', mailHost: 'other.example.com' });
    // A client that does not page gets no more than 600.
    slapd = await startSlapd({
      ldif: ldif(COUNT),
      config: 'limits anonymous size.soft=600 size.hard=600 size.prtotal=unlimited',
    });
    few = await startSlapd({ ldif: ldif(1) });
  });
  afterAll(async () => {
    await slapd?.stop();
    await few?.stop();
  });

  it('are all found by -s in pages of 500, in bounded memory', async () => {
    const small = handSite();
    site = small;
    small.store.finish();
    const base = await measured(small, '--directory', `${few.url}/${few.suffix}`);
    expect(base.status, base.output).toBe(0);
    small.remove();

    site = handSite();
    site.store.finish();
    const { status, output, peak } = await measured(
      site,
      '--directory',
      `${slapd.url}/${slapd.suffix}`,
      '--page-size',
      '500',
    );
    expect(status, output.slice(0, 1000)).toBe(0);
    expect(usersOf(site)).toHaveLength(COUNT);
    expect(new Set(usersOf(site)).size).toBe(COUNT);
    const more = peak.own - base.peak.own;
    console.log(
      `e2e/directory-slapd: ${COUNT} users, pages of 500: own memory ${Math.round(peak.own / 1024)} MB ` +
        `(one user: ${Math.round(base.peak.own / 1024)} MB), process ${Math.round(peak.whole / 1024)} MB; ` +
        `bound ${Math.round(BOUND_KB / 1024)} MB more than one user`,
    );
    expect(more).toBeLessThan(BOUND_KB);
  });

  // The last: it ends the server.
  it('and a slapd that is killed half-way: exit 3, nothing half written', async () => {
    site = handSite();
    site.store.finish();
    const before = fs.readdirSync(site.store.root, { recursive: true }).sort();
    const proxy = await killingProxy(slapd);
    const result = await measured(site, '--directory', `${proxy.url}/${slapd.suffix}`);
    proxy.server.close();
    expect([result.status, result.output]).toEqual([3, expect.stringMatching(/DIR_LOST/)]);
    expect(proxy.bytes()).toBeGreaterThan(300_000);
    expect(fs.readdirSync(site.store.root, { recursive: true }).sort()).toEqual(before);
  });
});

/** Hands everything on to slapd, and kills it once 300,000 bytes of its answers have passed: within the 10,000. */
async function killingProxy(slapd: Slapd): Promise<{ url: string; server: Server; bytes: () => number }> {
  let bytes = 0;
  const server = createServer((client) => {
    const upstream = connect(slapd.port, '127.0.0.1');
    client.pipe(upstream);
    upstream.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > 300_000) slapd.kill();
      client.write(chunk);
    });
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      from.on('error', () => to.destroy());
      from.on('close', () => to.destroy());
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  return { url: `ldap://127.0.0.1:${port}`, server, bytes: () => bytes };
}
