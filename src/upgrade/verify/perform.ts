/** One task, the same in a thread and in the main thread. */
import { describeError, EXIT, MailhaulError } from '../../errors.js';
import { rethrowLack, stopped, type VerifyContext } from './context.js';
import { collectFindings } from './findings.js';
import type { VerifyItem, VerifyResult } from './tasks.js';
import { verifyMailbox } from './verifyMailbox.js';
import { verifyUser } from './verifyUser.js';

/** Results in the order of the items; fewer when the run was told to stop. */
export function performItems(context: VerifyContext, items: readonly VerifyItem[]): VerifyResult[] {
  const results: VerifyResult[] = [];
  for (const item of items) {
    if (stopped(context)) break;
    results.push(performItem(context, item));
  }
  return results;
}

/** A value of a database that makes no sense is a finding like any other; what the process lacks, or a defect, is not. */
function performItem(context: VerifyContext, item: VerifyItem): VerifyResult {
  try {
    return item.kind === 'mailbox' ? verifyMailbox(context, item) : verifyUser(context, item);
  } catch (error) {
    rethrowLack(error);
    if (!(error instanceof MailhaulError) || error.exit === EXIT.halted) throw error;
    const findings = collectFindings();
    const subject = item.kind === 'mailbox' ? item.subject : { user: item.uid, mailbox: '', folder: '' };
    findings.add(subject, 'VERIFY_RECORD', error.where ?? subject.user, describeError(error));
    const found = { listed: findings.listed, byCode: findings.byCode };
    if (item.kind === 'user') return { kind: 'user', found };
    return {
      kind: 'mailbox',
      complete: true,
      changed: false,
      found,
      messages: { checked: 0, read: 0, compared: 0, bytes: 0 },
      used: null,
      candidates: new Uint32Array(0),
      device: 0n,
      lockedBy: [],
    };
  }
}
