/** Mailbox and quota records and name changes to values and back (docs/formats/mboxlist.md). */
import type { IndexSummary } from '../engine/types.js';
import type { AclEntry, MailboxRecord, NameChange, QuotaRecord } from './types.js';
import {
  arrayField,
  asFields,
  countField,
  decodeValue,
  encodeValue,
  type Fields,
  orNull,
  secondsField,
  textField,
} from './values.js';

/** Largest uid, uidvalidity or uidnext of IMAP. */
const UINT32 = 0xffffffff;

export function encodeMailbox(record: MailboxRecord): Buffer {
  return encodeValue({
    name: record.name,
    owner: record.owner,
    legacyName: record.legacyName,
    partition: record.partition,
    acl: record.acl.map(({ identifier, rights }) => [identifier, rights]),
    uidvalidity: record.uidvalidity,
    uidnext: record.uidnext,
    state: record.state,
    summary: record.summary,
    mappingId: record.mappingId,
    root: record.root,
  });
}

export function decodeMailbox(value: Uint8Array, where: string): MailboxRecord {
  return decodeValue(value, where, (decoded) => {
    const fields = asFields(decoded);
    const state = textField(fields, 'state');
    if (state !== 'TRANSITION' && state !== 'NON-TRANSITION') throw new TypeError(`state is ${state}`);
    return {
      name: textField(fields, 'name'),
      owner: textField(fields, 'owner'),
      legacyName: orNull(fields, 'legacyName', textField),
      partition: textField(fields, 'partition'),
      acl: arrayField(fields, 'acl').map(aclEntry),
      uidvalidity: countField(fields, 'uidvalidity', UINT32),
      uidnext: countField(fields, 'uidnext', UINT32 + 1),
      state,
      summary: orNull(fields, 'summary', summary),
      mappingId: orNull(fields, 'mappingId', countField),
      root: orNull(fields, 'root', textField),
    };
  });
}

function aclEntry(value: unknown): AclEntry {
  if (!Array.isArray(value) || typeof value[0] !== 'string' || typeof value[1] !== 'string') {
    throw new TypeError('acl holds something else than pairs of texts');
  }
  return { identifier: value[0], rights: value[1] };
}

function summary(record: Fields, field: string): IndexSummary {
  const fields = asFields(record[field]);
  return {
    messages: countField(fields, 'messages'),
    bytes: countField(fields, 'bytes'),
    lastAppend: secondsField(fields, 'lastAppend'),
    seen: countField(fields, 'seen'),
    answered: countField(fields, 'answered'),
    flagged: countField(fields, 'flagged'),
    deleted: countField(fields, 'deleted'),
    draft: countField(fields, 'draft'),
  };
}

export function encodeQuota(quota: QuotaRecord): Buffer {
  return encodeValue({ limit: quota.limit, usedBytes: quota.usedBytes, usedMessages: quota.usedMessages });
}

export function decodeQuota(value: Uint8Array, where: string): QuotaRecord {
  return decodeValue(value, where, (decoded) => {
    const fields = asFields(decoded);
    return {
      limit: orNull(fields, 'limit', countField),
      usedBytes: countField(fields, 'usedBytes'),
      usedMessages: countField(fields, 'usedMessages'),
    };
  });
}

export function encodeNameChange({ id, name, owner, partition, root, to }: NameChange): Buffer {
  return encodeValue({ id, name, owner, partition, root, to });
}

export function decodeNameChange(value: Uint8Array, where: string): NameChange {
  return decodeValue(value, where, (decoded) => {
    const fields = asFields(decoded);
    return {
      id: countField(fields, 'id'),
      name: textField(fields, 'name'),
      owner: textField(fields, 'owner'),
      partition: textField(fields, 'partition'),
      root: textField(fields, 'root'),
      to: orNull(fields, 'to', textField),
    };
  });
}
