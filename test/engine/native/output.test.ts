/** Where the columns of the output lie. */
import * as fs from 'node:fs';
import { expect, it } from 'vitest';
import { nativeEngine } from '../../../src/engine/native/engine.js';
import { OUTPUT_BYTES } from '../../../src/engine/types.js';
import { withFolder } from '../portable/folder.js';
import { needAddon, outcomes } from './support.js';

const ROWS = [
  { uid: 1, name: 'linked' },
  { uid: 2, name: 'gone' },
  { uid: 3, name: 'rewritten' },
];

it('are the room that was given, shared memory too, and say the same as without', (ctx) => {
  const engine = nativeEngine(needAddon(ctx));
  const migrated = (room?: Uint8Array) => {
    let output: ReturnType<typeof engine.migrate> | undefined;
    withFolder((folder) => {
      folder.write('linked', 'Subject: one\r\n\r\nText\r\n');
      const gone = folder.write('gone', 'Subject: two\r\n\r\nText\r\n');
      folder.write('rewritten', 'Subject: three\n\nText\n');
      const input = folder.input(ROWS, { publishWithFailures: true, room });
      fs.rmSync(gone);
      output = engine.migrate(input);
    });
    return output!;
  };
  const memory = new SharedArrayBuffer(64);
  const given = migrated(new Uint8Array(memory, 8, OUTPUT_BYTES * ROWS.length));
  const made = migrated();
  expect(outcomes(made)).toEqual(['link', 'MSG_VANISHED', 'rewrite']);
  expect(outcomes(given)).toEqual(outcomes(made));
  expect(given.errnos).toEqual(made.errnos);
  for (const column of [given.methods, given.errors, given.errnos]) expect(column.buffer).toBe(memory);
  // Nothing before it or behind it was touched.
  expect(new Uint8Array(memory, 0, 8).every((byte) => byte === 0)).toBe(true);
  expect(new Uint8Array(memory, 8 + OUTPUT_BYTES * ROWS.length).every((byte) => byte === 0)).toBe(true);
});
