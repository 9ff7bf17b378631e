/** Directories that travel to a thread as a held root and names below it (tasks.ts). */
import type { Dir } from '../fs/dir.js';
import type { Place } from './tasks.js';

export function rootOf(place: Place): Dir {
  return { fd: place.rootFd, path: place.rootPath };
}

/** For messages. */
export function placePath({ rootPath, components }: Place): string {
  return [rootPath, ...components.map((name) => Buffer.from(name).toString('utf8'))].join('/');
}
