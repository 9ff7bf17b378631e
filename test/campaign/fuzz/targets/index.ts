/** All targets of the instrumented readers. A target is loaded alone, so that only its code is counted. */
import type { FuzzTarget } from '../types.js';

const GROUPS = {
  store: () => import('./store.js'),
  records: () => import('./records.js'),
  nsms3: () => import('./nsms3.js'),
  directory: () => import('./directory.js'),
  options: () => import('./options.js'),
  names: () => import('./names.js'),
  messages: () => import('./messages.js'),
} as const;

/** Targets by name, and the group that holds each. */
export const TARGETS: Readonly<Record<string, keyof typeof GROUPS>> = {
  index: 'store',
  journal: 'store',
  cache: 'store',
  record: 'records',
  values: 'records',
  mailbox: 'nsms3',
  acl: 'nsms3',
  subscriptions: 'nsms3',
  conf3x: 'nsms3',
  pid: 'nsms3',
  ldif: 'directory',
  ber: 'directory',
  ldapurl: 'directory',
  configdb: 'options',
  userlist: 'options',
  instance: 'options',
  upgrade4x: 'options',
  control: 'options',
  names: 'names',
  message: 'messages',
};

export async function loadTarget(name: string): Promise<FuzzTarget> {
  const group = TARGETS[name];
  if (group === undefined) throw new RangeError(`There is no fuzz target ${name}.`);
  const module: { readonly targets: readonly (() => FuzzTarget)[] } = await GROUPS[group]();
  for (const make of module.targets) {
    if (make.name === name) return make();
  }
  throw new RangeError(`The group ${group} has no target ${name}.`);
}
