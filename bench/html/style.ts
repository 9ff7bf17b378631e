/** Colours by class, for light and dark; nothing is loaded from anywhere. */
const LIGHT = ['#2166b0', '#c76a15', '#23845a', '#7f4fc0', '#b83a34', '#13808f', '#6d7480', '#8d7708'];
const DARK = ['#6cabf0', '#f0a050', '#58c795', '#b794f0', '#f0807a', '#50c4d3', '#a2a9b5', '#d6bd48'];

const colours = (all: readonly string[]) => all.map((colour, i) => `--c${i}:${colour}`).join(';');
const classes = LIGHT.map(
  (_colour, i) => `.c${i}{fill:var(--c${i})}.s${i}{stroke:var(--c${i})}.t${i}{fill:var(--c${i})}`,
);

export const STYLE = `
:root{color-scheme:light dark;--ink:#1c2026;--soft:#5b626d;--page:#fff;--panel:#f5f6f8;--rule:#d9dde3;--good:#1d7a4c;--bad:#b3261e;--inside:#fff;${colours(LIGHT)}}
@media (prefers-color-scheme:dark){:root{--ink:#e6e8ec;--soft:#a3aab5;--page:#14171b;--panel:#1c2026;--rule:#363c45;--good:#5fcf97;--bad:#ff8f87;--inside:#14171b;${colours(DARK)}}}
*{box-sizing:border-box}
body{margin:0 auto;padding:2rem 1.5rem 4rem;max-width:1480px;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
h1{font-size:1.7rem;margin:0 0 .3rem}h2{font-size:1.25rem;margin:2.6rem 0 .4rem;padding-top:1rem;border-top:1px solid var(--rule)}
h3{font-size:1rem;margin:1.6rem 0 .4rem}p{margin:.4rem 0;max-width:75ch}.soft{color:var(--soft)}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;margin:.8rem 0}dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
.pair{display:grid;grid-template-columns:minmax(0,1fr) minmax(0,1.3fr);gap:1.5rem;align-items:start}
@media (max-width:1180px){.pair{grid-template-columns:minmax(0,1fr)}}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:12.5px;width:100%}
th,td{padding:.25rem .42rem;border-bottom:1px solid var(--rule);text-align:right;vertical-align:top;font-variant-numeric:tabular-nums;white-space:nowrap}
th{color:var(--soft);font-weight:600}th:first-child,td:first-child{text-align:left;white-space:nowrap}td.text{text-align:left;white-space:normal}
.cards{display:flex;flex-wrap:wrap;gap:1rem;margin:1rem 0}.card{background:var(--panel);border-radius:8px;padding:.8rem 1.2rem;min-width:220px}
.card b{display:block;font-size:1.7rem;line-height:1.2}.yes{color:var(--good);font-weight:600}.no{color:var(--bad);font-weight:600}
.plot{width:100%;height:auto;background:var(--panel);border-radius:8px;padding:10px;font:12px system-ui,sans-serif}
.plot text{fill:var(--ink)}.plot .axis{fill:var(--soft)}.plot .strong{font-weight:600}.plot .inside{fill:var(--inside);font-size:11px}
.grid{stroke:var(--rule);fill:none}.base{stroke:var(--soft);fill:none}.whisker{stroke:var(--ink);fill:none;stroke-width:1.3}
.line{fill:none;stroke-width:2;stroke-linejoin:round}.dashed{stroke-dasharray:5 4}.leader{fill:none;stroke:var(--rule)}
${classes.join('')}${LIGHT.map((_colour, i) => `.plot text.t${i}{fill:var(--c${i})}`).join('')}
code{font:12px ui-monospace,monospace}pre{background:var(--panel);border-radius:8px;padding:.8rem;overflow-x:auto;font:12px/1.6 ui-monospace,monospace}
details{margin:1rem 0}summary{cursor:pointer;color:var(--soft)}
`;
