/** Tables beside the plots. */
import { escapeHtml } from './svg.js';

export interface Table {
  readonly heads: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** Columns of running text, by number. */
  readonly text?: readonly number[];
}

export function tableOf({ heads, rows, text = [] }: Table): string {
  const cell = (value: string, i: number) => `<td${text.includes(i) ? ' class="text"' : ''}>${escapeHtml(value)}</td>`;
  const head = heads.map((name) => `<th scope="col">${escapeHtml(name)}</th>`).join('');
  const body = rows.map((row) => `<tr>${row.map(cell).join('')}</tr>`).join('');
  return `<div class="scroll"><table><thead><tr>${head}</tr></thead><tbody>${body}</tbody></table></div>`;
}

/** A plot, and its figures. */
export function pair(plot: string, table: Table): string {
  return `<div class="pair">${plot}${tableOf(table)}</div>`;
}
