/** The report as one page: no script, no font, no request. */
import type { Window } from '../like.js';
import { type CaseReport, type LikeReport, limitText, type Report } from '../report.js';
import { bytesText, disksText, duration, verdict } from '../text.js';
import { columnChart, stackChart } from './charts.js';
import { range, scalingSection, splitSection, throughputSection, timeSections } from './sections.js';
import { STYLE } from './style.js';
import { escapeHtml, figure } from './svg.js';
import { pair, tableOf } from './table.js';

export function pageOf(report: Report): string {
  const { parts, cases, like } = report;
  const title = like === null ? 'Migration benchmark' : 'Migration window';
  const body = [
    `<h1>${title}</h1>`,
    facts(report),
    cases.length === 0 ? '' : `<h2>Bars</h2>${cases.map(caseSection).join('')}`,
    like === null ? '' : likeSection(like),
    ...parts.map((part) => {
      return `<h2>${escapeHtml(part.name)}</h2><p class="soft">${escapeHtml(part.data)}; ${bytesText(part.bytes)}</p>${timeSections(part)}`;
    }),
    scalingSection(parts),
    splitSection(parts),
    throughputSection(parts),
    commands(report),
  ];
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${title}, ${escapeHtml(report.date.slice(0, 10))}</title><style>${STYLE}</style></head>
<body>${body.join('\n')}</body></html>
`;
}

function facts(report: Report): string {
  const { machine, where, build, rounds, date, load, command } = report;
  const rows = [
    ['machine', machine],
    ['disks', [where, disksText(report)].filter((text) => text !== '').join('; ')],
    ['program', `mailhaul ${build}`],
    ['command', command],
    [
      'measured',
      `${date.replace('T', ' ').slice(0, 16)} UTC, ${rounds} ${rounds === 1 ? 'round' : 'rounds'}; load averages at the end ${load.join(', ')}`,
    ],
  ];
  const list = rows.map(([name, value]) => `<dt>${name}</dt><dd>${escapeHtml(value ?? '')}</dd>`).join('');
  return `<dl>${list}</dl><p class="soft">Figures are medians of the rounds; ranges are lowest to highest. Ratios are made within
a round, so compare those rather than seconds of two reports. Every time is that of the whole command, start-up included;
“synced” adds the time until all is on the disk.</p>`;
}

function caseSection(one: CaseReport): string {
  const { name, title, bar, reached, checks } = one;
  const mark = reached === null ? 'soft' : reached ? 'yes' : 'no';
  return `<h3>${escapeHtml(name)}: <span class="${mark}">${verdict(one)}</span></h3><p>${escapeHtml(title)}</p>
<p class="soft">Bar: ${escapeHtml(bar)}</p>${tableOf({
    heads: ['check', 'median', 'range', 'limit', 'kept'],
    rows: checks.map(({ text, unit, limit, value, holds }) => [
      text,
      `${value.median.toFixed(2)} ${unit}`,
      range(value, (number) => number.toFixed(2)),
      limitText(limit),
      holds ? 'yes' : 'NO',
    ]),
  })}`;
}

function likeSection({ shape, windows }: LikeReport): string {
  const cards = windows.map(({ migration, cold, seconds, low, high }) => {
    return `<div class="card"><span class="soft">upgrade -s, then upgrade -m: ${escapeHtml(migration)}${cold ? '' : ', warm'}</span><b>${duration(seconds)}</b>${duration(low)} to ${duration(high)}</div>`;
  });
  return `<h2>The given store</h2><p>${escapeHtml(shape.storePaths.join(', '))}: ${figure(shape.messages)} messages
(${figure(shape.inodes)} files, ${bytesText(shape.bytes)}) in ${figure(shape.folders)} folders of ${figure(shape.users)} users.
Nothing in it was changed.</p><div class="cards">${cards.join('')}</div>${windows.map(windowSection).join('')}${shapeSection(shape)}`;
}

const PIECES = ['fixed', 'messages', 'bytes', 'folders', 'upgrade -s'];

function windowSection({ migration, cold, seconds, low, high, folders, messages }: Window): string {
  const { parts, costs } = messages;
  const values = [parts.fixed, parts.message, parts.byte, parts.folder, folders.seconds];
  const each = [
    '',
    `${figure(costs.message * 1e6)} µs a message`,
    `${figure(costs.byte * 1e9)} ns a byte`,
    `${figure(costs.folder * 1e6)} µs a folder`,
    `${figure(folders.costs.folder * 1e6)} µs a folder, ${figure(folders.costs.message * 1e6)} µs a message in it`,
  ];
  const plot = stackChart('Predicted window', 'seconds', PIECES, [{ label: 'predicted', values }]);
  const table = {
    heads: ['', 'seconds', 'at'],
    rows: [
      ...PIECES.map((piece, i) => [piece, figure(values[i]!), each[i]!]),
      ['together', figure(seconds), `${duration(low)} to ${duration(high)}`],
    ],
  };
  return `<h3>${escapeHtml(migration)}: what the window is made of</h3>${pair(plot, table)}
<p class="soft">Five small stores of this shape were measured (${cold ? 'cold: nothing of them in memory' : 'warm: all of them in memory'}),
and a fixed cost, a cost a message, a byte and a folder fitted to them. The range: each round fitted for itself, lowest to
highest prediction, widened by the fit's largest error (${(messages.error * 100).toFixed(0)} %). The store has
${figure(messages.extrapolation)} × the messages of the largest one measured.${messages.extrapolation > 100 ? ' That is far: measure larger ones with --like-messages.' : ''}
${cold ? '' : 'A store that does not fit into memory is read from disk: measure with --cold.'}</p>`;
}

function shapeSection({
  sizes,
  messages,
  inodes,
  bareLf,
  gaps,
  skipped,
  unreadable,
  folderQuantiles,
  seconds,
}: LikeReport['shape']): string {
  const columns = sizes.map(({ low, count }) => ({ label: bytesText(low), value: (count / messages) * 100 }));
  const plot = columnChart(
    'Sizes of messages',
    { x: 'size from (two classes a doubling)', y: '% of messages' },
    columns,
  );
  const share = (part: number, whole: number) => (whole === 0 ? 'none seen' : `${((part / whole) * 100).toFixed(1)} %`);
  return `<h3>Its shape</h3>${pair(plot, {
    heads: ['', ''],
    rows: [
      ['messages a folder: smallest, tenths, largest', folderQuantiles.map(figure).join(' · ')],
      ['names that are links of others', share(messages - inodes, messages)],
      [`with bare LF (${bareLf.sampled} read)`, share(bareLf.found, bareLf.sampled)],
      [`uids given and deleted (${gaps.sampled} folders read)`, `${(gaps.share * 100).toFixed(1)} %`],
      ['no message and no folder', figure(skipped)],
      ['directories that could not be read: the window is too short by what they hold', figure(unreadable)],
      ['time to look at it', duration(seconds)],
    ],
    text: [1],
  })}`;
}

function commands({ parts }: Report): string {
  const lines = parts.flatMap((part) =>
    part.results.map(({ name, command }) => `${parts.length > 1 ? `${part.name}: ` : ''}${name}\n    ${command}`),
  );
  return `<h2>Exact commands</h2><p class="soft">Each ran after a sync; each migration on a store of its own, competitors and floor on
one tree; &lt;disk 1&gt; is what was made for them on the first disk. The floor opens, reads, digests and links every message, writes as many index bytes, and syncs once.</p>
<pre>${escapeHtml(lines.join('\n'))}</pre>`;
}
