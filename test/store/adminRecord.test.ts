import { expect, it } from 'vitest';
import { encodeAdminRecord } from '../../src/store/adminRecord.js';

const RECORD = {
  mailbox: 'user/a/INBOX',
  legacyName: 'INBOX',
  owner: 'a',
  partition: 'primary',
  acl: [{ identifier: 'a', rights: 'lrs' }],
  quota: null,
};

it('the admin section has its keys in the order of the format', () => {
  expect(Buffer.from(encodeAdminRecord(RECORD)).toString()).toBe(
    '{"v":1,"mailbox":"user/a/INBOX","legacyName":"INBOX","owner":"a","partition":"primary","acl":[["a","lrs"]],"quota":null}',
  );
});

it('it takes no more of a message to a thread than its own bytes', () => {
  const admin = encodeAdminRecord(RECORD);
  expect(structuredClone(admin).buffer.byteLength).toBe(admin.byteLength);
});
