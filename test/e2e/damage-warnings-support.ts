/**
 * Rows of the Damage table that only warn, as a suite: all in one store, with each engine, whose exit codes stay 0.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { engineOptions } from '../support/site.js';
import { inbox, look, mailboxOf, makeRows, ofUser, type Row, type Seen, seconds, userOf } from './damage-support.js';
import { type HandSite, messagesResult, type Result } from './hand-site.js';

/** Every row is a test, and a folder of the same store. */
export function describeWarnings(title: string, rows: readonly Row[]): void {
  describe.each(engineOptions())(`${title}, %s`, (engine) => {
    let site: HandSite;
    let folders: Result;
    let messages: Result;
    let seen: Seen;
    const times: [number, number] = [0, 0];
    beforeAll(() => {
      site = makeRows(rows);
      times[0] = seconds();
      folders = site.folders();
      times[1] = seconds();
      messages = site.messages(engine);
      seen = look(site);
    });
    afterAll(() => site?.remove());

    it('leaves the exit code 0', () => {
      expect(folders.status, folders.stderr + folders.stdout).toBe(0);
      expect(messages.status, messages.stderr + messages.stdout).toBe(0);
      expect(messagesResult(messages)).toMatchObject({
        folders: { done: rows.length, failed: 0 },
        messages: { failed: 0 },
        errors: [],
      });
    });

    it.each(rows.map((row, index) => [row.row, row, index] as const))('%s', (_, row, index) => {
      const mailbox = mailboxOf(seen, index);
      const found = seen.messages.filter((message) => message.mailbox === mailbox.name);
      expect(mailbox).toMatchObject({ state: 'NON-TRANSITION', messages: found.length });
      row.check({
        mailbox,
        messages: found,
        log: ofUser(seen.log, userOf(index)),
        directory: inbox(site, index),
        started: times[0],
        ended: times[1],
      });
    });

    it('is proved equal by --verify', () => {
      const verified = site.run('upgrade', '--verify');
      expect(verified.status, verified.stderr + verified.stdout).toBe(0);
    });
  });
}
