/** Every directory of an instance by docs/formats/instance.md, the instance itself first; without its partitions. */
export const INSTANCE_DIRECTORIES: readonly string[] = [
  '',
  'config',
  'log',
  'log/default',
  'lock',
  'queue',
  'queue/active',
  'queue/deferred',
  'store',
  'store/mboxlist',
  'store/user',
  'store/partition',
];
