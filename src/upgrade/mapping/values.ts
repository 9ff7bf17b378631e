/** Values of the mapping database but for the migration record (docs/formats/upfolder.md). */
import {
  arrayField,
  asFields,
  countField,
  decodeValue,
  encodeValue,
  type Fields,
  flagField,
  orNull,
  secondsField,
  textArray,
  textField,
} from '../../store/values.js';
import type { MappingFolder, MappingMeta, MappingUser, MessageFailure, ResetStage } from '../types.js';

export function encodeMeta(meta: MappingMeta): Buffer {
  const { hostName, from, mailboxDirectory, serverUser, serverGroup, finished, reset } = meta;
  const fields = { hostName, from, mailboxDirectory, serverUser, serverGroup, finished };
  return encodeValue(reset === undefined ? fields : { ...fields, reset });
}

export function decodeMeta(value: Uint8Array, where: string): MappingMeta {
  return decodeValue(value, where, (decoded) => {
    const fields = asFields(decoded);
    return {
      hostName: textField(fields, 'hostName'),
      from: textField(fields, 'from'),
      mailboxDirectory: textField(fields, 'mailboxDirectory'),
      serverUser: textField(fields, 'serverUser'),
      serverGroup: textField(fields, 'serverGroup'),
      finished: orNull(fields, 'finished', secondsField),
      ...(fields.reset === undefined ? {} : { reset: stageField(fields) }),
    };
  });
}

function stageField(fields: Fields): ResetStage {
  const stage = textField(fields, 'reset');
  if (stage !== 'restoring' && stage !== 'removing') throw new TypeError(`reset is ${stage}`);
  return stage;
}

export function encodeUser(user: MappingUser): Buffer {
  const { uid, storePath, partition, quota } = user;
  return encodeValue({ uid, storePath, partition, quota });
}

export function decodeUser(value: Uint8Array, where: string): MappingUser {
  return decodeValue(value, where, (decoded) => {
    const fields = asFields(decoded);
    return {
      uid: textField(fields, 'uid'),
      storePath: textField(fields, 'storePath'),
      partition: textField(fields, 'partition'),
      quota: orNull(fields, 'quota', countField),
    };
  });
}

/** Raw directory names travel as ISO-8859-1 text: one character a byte. */
export function encodeFolder(folder: MappingFolder, id = folder.id): Buffer {
  return encodeValue({
    id,
    uid: folder.uid,
    path: folder.path.map((name) => Buffer.from(name.buffer, name.byteOffset, name.byteLength).toString('latin1')),
    mailbox: folder.mailbox,
    legacyName: folder.legacyName,
    isInbox: folder.isInbox,
    missing: folder.missing,
    inode: folder.inode,
    indexBytes: folder.indexBytes,
    uidvalidity: folder.uidvalidity,
    ...(folder.uidvalidityChosen === true ? { uidvalidityChosen: true } : {}),
    partition: folder.partition,
    root: folder.root,
    attempts: folder.attempts,
    migrated: folder.migrated,
    ...(folder.retrying === true ? { retrying: true } : {}),
    sourcesRemoved: folder.sourcesRemoved,
  });
}

export function decodeFolder(value: Uint8Array, where: string): MappingFolder {
  return decodeValue(value, where, (decoded) => {
    const fields = asFields(decoded);
    const inode = textField(fields, 'inode');
    if (!/^\d{1,20}$/.test(inode)) throw new TypeError('inode is not a decimal number');
    return {
      id: countField(fields, 'id'),
      uid: textField(fields, 'uid'),
      path: pathField(fields),
      mailbox: textField(fields, 'mailbox'),
      legacyName: textField(fields, 'legacyName'),
      isInbox: flagField(fields, 'isInbox'),
      missing: flagField(fields, 'missing'),
      inode,
      indexBytes: countField(fields, 'indexBytes'),
      uidvalidity: countField(fields, 'uidvalidity', 0xffffffff),
      ...(fields.uidvalidityChosen === true ? { uidvalidityChosen: true } : {}),
      partition: textField(fields, 'partition'),
      root: orNull(fields, 'root', textField),
      attempts: countField(fields, 'attempts'),
      migrated: flagField(fields, 'migrated'),
      ...(fields.retrying === true ? { retrying: true } : {}),
      sourcesRemoved: flagField(fields, 'sourcesRemoved'),
    };
  });
}

/** In the text of no folder but one that has the flag: within a text JSON puts a backslash before each quote. */
const RETRYING = Buffer.from('"retrying":true');

/** Whether the value of a folder says so, without reading all of it. */
export function saysRetrying(value: Buffer): boolean {
  return value.includes(RETRYING);
}

function pathField(fields: Fields): Uint8Array[] {
  return textArray(fields.path).map((text) => new Uint8Array(Buffer.from(text, 'latin1')));
}

export function encodeFailures(failures: readonly MessageFailure[]): Buffer {
  return encodeValue({ failures: failures.map(({ uid, file, code, message }) => [uid, file, code, message]) });
}

export function decodeFailures(value: Uint8Array, where: string): MessageFailure[] {
  return decodeValue(value, where, (decoded) =>
    arrayField(asFields(decoded), 'failures').map((item) => {
      const [uid, file, code, message] = Array.isArray(item) ? (item as unknown[]) : [];
      if (!Number.isSafeInteger(uid) || typeof file !== 'string' || typeof code !== 'string') {
        throw new TypeError('a failure is not uid, file, code and message');
      }
      return { uid: uid as number, file, code, message: typeof message === 'string' ? message : '' };
    }),
  );
}
