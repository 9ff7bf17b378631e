import * as fs from 'node:fs';
import { expect, it } from 'vitest';
import { heldDirectories } from '../../src/engine/heldDirectories.js';

it('heldDirectories is what the addon keeps open: one table for both', () => {
  const table = fs.readFileSync(new URL('../../native/test/held_directories.inc', import.meta.url), 'utf8');
  const rows = [...table.matchAll(/^\{(\d+), (\d+)\},$/gm)].map((row) => row.slice(1).map(Number));
  expect(rows.length).toBeGreaterThan(5);
  for (const [files = 0, directories] of rows) expect(heldDirectories(files)).toBe(directories);
  expect(heldDirectories(Number.POSITIVE_INFINITY)).toBe(96);
});
