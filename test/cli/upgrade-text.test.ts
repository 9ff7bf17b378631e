import { describe, expect, it } from 'vitest';
import { messagesText } from '../../src/cli/upgrade-text.js';
import { emptyReport, type MessagesReport } from '../../src/upgrade/report.js';

function withFailures(): MessagesReport {
  const report = emptyReport('native');
  report.messages.failed = 2;
  return report;
}

describe('a run of -m with failed messages', () => {
  it('says that their folders wait', () => {
    expect(messagesText(withFailures(), false)).toMatch(/stay in TRANSITION\. Repair the causes/);
  });

  it('says with --accept-failures that only they stay: their folders are published', () => {
    const text = messagesText(withFailures(), true);
    expect(text).toMatch(/failed messages stay in 3\.x, on record\. Repair the causes/);
    expect(text).not.toContain('TRANSITION');
  });
});

describe('the methods of a run', () => {
  const one = { rename: 0, link: 3, reflink: 0, copy: 0, rewrite: 1 };
  const other = { rename: 0, link: 0, reflink: 0, copy: 1_000, rewrite: 0 };

  it('are told in one line', () => {
    const report = { ...emptyReport('native'), methods: one, routes: [{ source: '8:1', target: '8:1', methods: one }] };
    expect(messagesText(report, false)).toContain('\n  by link 3, rewrite 1');
    expect(messagesText(report, false)).not.toContain('device');
  });

  it('are told for each pair of devices where there are several', () => {
    const routes = [
      { source: '8:1', target: '8:1', methods: one },
      { source: '8:1', target: '8:17', methods: other },
    ];
    const text = messagesText({ ...emptyReport('native'), methods: other, routes }, false);
    expect(text).toContain('\n  device 8:1 to 8:1: link 3, rewrite 1\n  device 8:1 to 8:17: copy 1,000');
  });
});
