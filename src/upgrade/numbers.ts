/** Numbers for people. */

/** `1,234,567`. By hand: the first use of Intl in a process costs more than starting many a command does otherwise. */
export function grouped(value: number): string {
  return String(Math.round(value)).replace(/\B(?=(?:\d{3})+$)/g, ',');
}
