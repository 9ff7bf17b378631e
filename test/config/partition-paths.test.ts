import { expect, it } from 'vitest';
import { partitionPaths } from '../../src/config/partition-paths.js';

it('asks for each partition once, for an unknown one as well, and tells what it was told', () => {
  const asked: string[] = [];
  const pathOf = partitionPaths({
    partitionPath(name) {
      asked.push(name);
      return name === 'unknown' ? undefined : `/disk/${name}`;
    },
  });
  const names = ['primary', 'mail2', 'unknown'];
  const told = [...names, ...names].map(pathOf);
  const once = ['/disk/primary', '/disk/mail2', undefined];
  expect(told).toEqual([...once, ...once]);
  expect(asked).toEqual(names);
});
