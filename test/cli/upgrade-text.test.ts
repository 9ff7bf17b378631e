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
