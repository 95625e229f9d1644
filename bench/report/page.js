// The sections of the page, from the result and what the program derived from it.
const {result, derived} = JSON.parse(document.getElementById('data').textContent);
const page = document.getElementById('page');

const rowsOf = suite => result.rows.filter(r => r.what.suite === suite);
const unique = list => [...new Set(list)];
const peerNames = unique(result.rows.map(r => r.peer));
const others = peerNames.filter(p => p !== 'weir' && p !== 'serial');
const colorOf = peer => peer === 'weir' ? 'var(--c0)' :
    peer === 'serial'                   ? 'var(--c1)' :
                                          `var(--c${2 + others.indexOf(peer) % 10})`;
const titleOf = what => what.label || what.name;
const metricTitle = m => derived.titles[m] ?? m;
const intervalOf = (row, m) => derived.intervals[result.rows.indexOf(row)][m];
const rank = row => row.peer === 'serial' ? 0 : row.peer === 'weir' ? 1 : 2;
const nameOf = row => `${row.peer} ${row.workers}`;

function formatOf(metric) {
  if (metric === 'wall' || metric === 'cpu') return nanoseconds;
  if (metric.endsWith('_us')) return x => nanoseconds(x * 1e3);
  if (metric.endsWith('_ns')) return nanoseconds;
  if (metric.endsWith('_ms')) return x => nanoseconds(x * 1e6);
  if (metric === 'bytes' || metric.startsWith('bytes_'))
    return x => isNumber(x) && x >= 1e4 ? short(x / 1e3) + ' kB' : short(x) + (isNumber(x) ? ' B' : '');
  if (metric.endsWith('_mb')) return x => short(x) + ' MB';
  return short;
}

function section(id, title, note) {
  const s = element('section', {id});
  s.append(element('h2', {}, title));
  if (note) s.append(element('p', {class: 'note'}, note));
  page.append(s);
  document.getElementById('contents').append(element('a', {href: '#' + id}, title));
  return s;
}

function choice(options, chosen, onchange) {
  const e = element('div', {class: 'choice', role: 'group'});
  for (const [value, text] of options)
    e.append(element(
        'button', {
          type: 'button',
          'aria-pressed': String(value === chosen),
          onclick: ev => {
            for (const b of e.children) b.setAttribute('aria-pressed', String(b === ev.target));
            onchange(value);
          }
        },
        text));
  return e;
}

// ---- what weir takes over what another takes: the ratio that the run paired, upside down for the eye ----
function remarkOf(row, metric) {
  if (row.peer === 'weir') return {};
  const fits = result.ratios.filter(
      r => r.suite === row.what.suite && r.name === row.what.name && r.metric === metric && r.of.peer === 'weir' &&
          r.to.peer === row.peer && r.to.workers === row.workers && isNumber(r.median));
  const best = fits.find(r => r.of.workers === row.workers) ?? fits.sort((a, b) => b.of.workers - a.of.workers)[0];
  if (!best || best.median <= 0) return {};
  const times = short(1 / best.median, 3) + '×';
  if (best.verdict === 'not told apart') return {remark: `≈ ${times}`};
  return {remark: times, remarkClass: best.verdict === 'faster' ? 'good' : 'bad'};
}

function barCards(suite, metric) {
  const cards = element('div', {class: 'cards'});
  for (const name of unique(rowsOf(suite).map(r => r.what.name))) {
    const rows = rowsOf(suite).filter(r => r.what.name === name);
    const seen = rows.filter(r => intervalOf(r, metric));
    if (seen.length === 0) continue;
    seen.sort((a, b) => rank(a) - rank(b) || intervalOf(a, metric)[0] - intervalOf(b, metric)[0]);
    const failed = rows.filter(r => r.failures.length && !r.rounds.length);
    const format = formatOf(metric), what = rows[0].what;
    const bars = seen.map(r => {
      const v = intervalOf(r, metric);
      return {
        label: nameOf(r),
        color: colorOf(r.peer),
        value: v,
        text: format(v[0]),
        ...remarkOf(r, metric),
        title: `${nameOf(r)}: ${format(v[0])}, 95 % [${format(v[1])} ${format(v[2])}], ${r.rounds.length} rounds`
      };
    });
    for (const r of failed) bars.push({label: nameOf(r), text: 'failed', remarkClass: 'bad', title: r.failures[0].why});
    cards.append(element(
        'article', {class: 'card'},
        element('h3', {}, titleOf(what) + ' ', element('small', {}, `a task: ${what.task}`)),
        barChart(bars, {format, name: `${suite}/${name}, ${metricTitle(metric)}`})));
  }
  return cards;
}

// ---- speed-up with workers ----
function scalingCards(suite) {
  const cards = [];
  for (const name of unique(rowsOf(suite).map(r => r.what.name))) {
    const rows = rowsOf(suite).filter(r => r.what.name === name && intervalOf(r, 'wall'));
    const serial = rows.find(r => r.peer === 'serial');
    const lines = [];
    for (const peer of unique(rows.map(r => r.peer))) {
      const mine = rows.filter(r => r.peer === peer).sort((a, b) => a.workers - b.workers);
      if (unique(mine.map(r => r.workers)).length < 2) continue;
      const base = intervalOf(serial ?? mine[0], 'wall')[0];
      lines.push({
        label: peer,
        color: colorOf(peer),
        points: mine.map(r => {
          const [mid, low, high] = intervalOf(r, 'wall');
          return [r.workers, base / mid, base / high, base / low];
        })
      });
    }
    if (lines.length === 0) continue;
    const counts = unique(lines.flatMap(l => l.points.map(p => p[0]))).sort((a, b) => a - b);
    const most = counts[counts.length - 1];
    lines.push({
      label: 'ideal',
      color: 'var(--line)',
      dash: '5 4',
      dots: false,
      points: [[counts[0], counts[0]], [most, most]]
    });
    cards.push(element(
        'article', {class: 'card'},
        element(
            'h3', {}, titleOf(rows[0].what) + ' ',
            element('small', {}, serial ? 'speed-up over serial' : 'speed-up over one worker')),
        lineChart(lines, {
          xName: 'workers',
          yName: 'times as fast',
          yFormat: x => short(x, 2),
          yLog: false,
          xTicks: counts.map(n => [n, String(n)]),
          xPlace: (v, from, to) => counts.length < 2 ? from : from + (to - from) * (v - counts[0]) / (most - counts[0])
        }),
        legend(lines.map(l => [l.label, l.color]))));
  }
  return cards;
}

// ---- one metric along an axis: latency at each load ----
function axisCards(suite) {
  const cards = [];
  for (const axis of unique(rowsOf(suite).map(r => r.what.axis)).filter(a => a)) {
    const rows = rowsOf(suite).filter(r => r.what.axis === axis);
    // Latency is drawn where it is not compared, too: at loads of each one's own capacity.
    const latencies = ['p50_us', 'p99_us', 'p999_us'].filter(m => rows.some(r => intervalOf(r, m)));
    for (const metric of unique([...rows.flatMap(r => r.what.compared), ...latencies])) {
      const lines = [];
      for (const who of unique(rows.map(nameOf))) {
        const mine = rows.filter(r => nameOf(r) === who && intervalOf(r, metric)).sort((a, b) => a.what.x - b.what.x);
        if (mine.length)
          lines.push(
              {label: who, color: colorOf(mine[0].peer), points: mine.map(r => [r.what.x, ...intervalOf(r, metric)])});
      }
      const xs = unique(lines.flatMap(l => l.points.map(p => p[0]))).sort((a, b) => a - b);
      if (xs.length < 2) continue;
      const all = lines.flatMap(l => l.points.map(p => p[1])).filter(v => v > 0);
      cards.push(element(
          'article', {class: 'card'}, element('h3', {}, `${metricTitle(metric)} `, element('small', {}, `by ${axis}`)),
          lineChart(lines, {
            xName: axis,
            yName: metricTitle(metric),
            yFormat: formatOf(metric),
            yLog: all.length > 0 && Math.max(...all) / Math.min(...all) > 8,
            xTicks: xs.filter((_, i) => xs.length <= 10 || i % Math.ceil(xs.length / 8) === 0).map(v => [v, short(v)]),
            xPlace: (v, from, to) => from + (to - from) * (v - xs[0]) / (xs[xs.length - 1] - xs[0])
          }),
          legend(lines.map(l => [l.label, l.color]))));
    }
  }
  return cards;
}

// ---- percentile curves: q on a scale of nines ----
const nines = q => -Math.log10(Math.max(1e-7, 1 - q));
function curveCard(rows, name) {
  const lines = [];
  for (const r of rows) {
    const points = derived.curves[result.rows.indexOf(r)]?.[name];
    if (points?.length)
      lines.push({label: nameOf(r), color: colorOf(r.peer), dots: points.length < 16, band: true, points});
  }
  if (lines.length === 0) return null;
  const xs = lines.flatMap(l => l.points.map(p => p[0]));
  const quantiles = xs.every(q => q >= 0 && q <= 1);
  const last = Math.max(...xs.map(nines)), first = Math.min(...xs), end = Math.max(...xs);
  const format = formatOf(name);
  return element(
      'article', {class: 'card'},
      element('h3', {}, titleOf(rows[0].what) + ' ', element('small', {}, metricTitle(name))),
      lineChart(
          lines,
          quantiles ? {
            xName: 'percentile',
            yName: metricTitle(name),
            yFormat: format,
            yLog: true,
            xTicks: [[0, 'p0'], [0.5, 'p50'], [0.9, 'p90'], [0.99, 'p99'], [0.999, 'p99.9'], [0.9999, 'p99.99']].filter(
                t => nines(t[0]) <= last + 0.01),
            xPlace: (q, from, to) => from + (to - from) * nines(q) / last
          } :
                      {
                        xName: 'x',
                        yName: metricTitle(name),
                        yFormat: format,
                        yLog: true,
                        xTicks: [[first, short(first)], [end, short(end)]],
                        xPlace: (v, from, to) => from + (to - from) * (v - first) / (end - first || 1)
                      }),
      legend(lines.map(l => [l.label, l.color])));
}
function curveCards(suite) {
  const cards = [];
  const withCurves = rowsOf(suite).filter(r => Object.keys(r.curves).length);
  const alone = withCurves.filter(r => !r.what.axis);
  for (const name of unique(alone.map(r => r.what.name))) {
    const rows = alone.filter(r => r.what.name === name);
    for (const c of unique(rows.flatMap(r => Object.keys(r.curves)))) cards.push(curveCard(rows, c));
  }
  // Along an axis there is one card, and a choice of the point.
  for (const axis of unique(withCurves.map(r => r.what.axis)).filter(a => a)) {
    const rows = withCurves.filter(r => r.what.axis === axis);
    const xs = unique(rows.map(r => r.what.x)).sort((a, b) => a - b);
    for (const c of unique(rows.flatMap(r => Object.keys(r.curves)))) {
      const draw = x => curveCard(rows.filter(r => r.what.x === x), c);
      const holder = element('div', {}, draw(xs[xs.length - 1]));
      const select = element(
          'select', {'aria-label': axis, onchange: e => holder.replaceChildren(draw(+e.target.value))},
          ...xs.map(
              x => element(
                  'option', {value: x, ...(x === xs[xs.length - 1] ? {selected: ''} : {})}, `${axis}: ${short(x)}`)));
      cards.push(element('div', {}, select, holder));
    }
  }
  return cards.filter(c => c);
}

// ---- the page ----
function headline() {
  document.title = `weir-bench, ${result.started.slice(0, 10)}`;
  const e = result.environment;
  document.getElementById('subtitle').textContent =
      `${result.started.replace('T', ' ').replace('Z', ' UTC')} · ${
          Math.max(0, ...result.rows.map(r => r.rounds.length))} rounds in ${Math.round(result.seconds)} s` +
      ` · ${e.cores ?? '?'} cores of ${e.processor ?? '?'}` + (result.quick ? ' · quick' : '') +
      (result.complete ? '' : ' · interrupted');
  if (result.warnings.length)
    page.append(element(
        'div', {class: 'warnings'}, element('strong', {}, 'Read this first'),
        element('ul', {}, ...result.warnings.map(w => element('li', {}, w)))));
  page.append(element(
      'p', {class: 'note'},
      'Each block is a fresh process; in every round each block runs once, in random order. Bars are medians over ' +
          'rounds, whiskers their 95 % intervals by bootstrap; less is better. At the right: how many times as long as weir ' +
          'it takes, paired by round; “≈”: not told apart.'));
  page.append(legend(peerNames.map(p => [result.peers[p] ? `${p} ${result.peers[p]}` : p, colorOf(p)])));
}

function suiteSection(suite) {
  const s = section('suite-' + suite, suite);
  const rows = rowsOf(suite), axisRows = rows.filter(r => r.what.axis);
  const first = unique(rows.flatMap(r => r.what.compared));
  const metrics = unique([
                    ...first, 'wall', 'cpu', 'voluntary', 'involuntary', 'allocations', 'bytes', 'peak_mb',
                    ...rows.flatMap(r => Object.keys(r.samples)).filter(m => m !== 'tasks').sort()
                  ]).filter(m => rows.some(r => intervalOf(r, m)));
  const lines = [...axisCards(suite), ...curveCards(suite), ...scalingCards(suite)];
  if (lines.length) s.append(element('div', {class: 'cards'}, ...lines));
  const holder = element('div', {}, barCards(suite, metrics[0]));
  const bars = [
    choice(metrics.map(m => [m, metricTitle(m)]), metrics[0], m => holder.replaceChildren(barCards(suite, m))), holder
  ];
  // Where every case is a point of an axis, the bars say it again: they are there for who asks.
  if (axisRows.length === rows.length)
    s.append(element('details', {}, element('summary', {}, 'each case alone'), ...bars));
  else if (lines.length) s.insertBefore(element('div', {}, ...bars), s.querySelector('.cards'));
  else s.append(...bars);
}

function goalsSection() {
  if (!derived.goals.length) return;
  const s = section('targets', 'Targets', 'What weir wants to reach. “?”: the interval contains the target.');
  s.append(tableOf(
      [
        {head: '', text: true, cell: g => g.what}, {head: 'median', cell: g => short(g.value[0])},
        {head: '95 %', cell: g => `${short(g.value[1])} – ${short(g.value[2])}`}, {head: 'target', cell: g => g.target},
        {head: '', text: true, cell: g => element('span', {class: g.said.startsWith('PASS') ? 'good' : 'bad'}, g.said)}
      ],
      derived.goals));
}

function ratioSection() {
  if (!result.ratios.length) return;
  const s = section(
      'ratios', 'Ratios', 'The left one’s over the right one’s, paired by round: below 1 the left one takes less.');
  const columns = [
    {head: 'case', text: true, cell: r => `${r.suite}/${r.name}`},
    {head: 'metric', text: true, cell: r => metricTitle(r.metric)},
    {head: 'of', text: true, cell: r => `${r.of.peer} ${r.of.workers}`},
    {head: 'over', text: true, cell: r => `${r.to.peer} ${r.to.workers}`},
    {head: 'median', cell: r => short(r.median, 4)},
    {head: '95 %', cell: r => `${short(r.low, 4)} – ${short(r.high, 4)}`}, {
      head: '',
      text: true,
      cell: r => element(
          'span',
          {class: r.verdict === 'faster' ? 'good' :
               r.verdict === 'slower'    ? 'bad' :
                                           'soft'},
          r.verdict)
    }
  ];
  const holder = element('div', {}, tableOf(columns, result.ratios));
  const words = r => [`${r.suite}/${r.name}`, r.of.peer, r.to.peer, r.metric, r.verdict].join(' ').toLowerCase();
  s.append(
      element('input', {
        type: 'search',
        placeholder: 'part of a case, a peer, a verdict',
        'aria-label': 'filter',
        oninput: e => holder.replaceChildren(
            tableOf(columns, result.ratios.filter(r => words(r).includes(e.target.value.toLowerCase()))))
      }),
      holder);
}

function hostSection() {
  const s = section(
      'machine', 'Machine and rounds',
      'A disturbed round is measured once more if time is left; what was thrown away is in no number.');
  const facts = element('dl', {class: 'facts'});
  for (const [k, v] of [['command', result.command.join(' ')], ...Object.entries(result.environment)])
    facts.append(element('dt', {}, k), element('dd', {}, v));
  s.append(facts);
  if (result.rounds.length === 0) return;  // open loops are not checked round by round
  s.append(tableOf(
      [
        {head: 'round', cell: r => String(r.round + 1)}, {head: 'tries', cell: r => String(r.tries)},
        {head: 'seconds', cell: r => short(r.seconds)}, {head: 'others, processors', cell: r => short(r.others, 2)},
        {head: 'steal', cell: r => short(r.steal * 100, 2) + ' %'},
        {head: 'held back', cell: r => short(r.throttled_s, 2) + ' s'},
        {head: 'clock', cell: r => short(r.speed * 100, 3) + ' %'},
        {head: 'disturbed', text: true, cell: r => r.disturbed}
      ],
      result.rounds));
}

function dataSection() {
  const s = section('data', 'All numbers', 'Medians; a line opens its samples, one a round.');
  const metrics = unique([
    'wall', 'cpu', 'voluntary', 'involuntary', 'allocations', 'bytes', 'peak_mb',
    ...result.rows.flatMap(r => Object.keys(r.samples))
  ]);
  s.append(tableOf(
      [
        {head: 'case', text: true, cell: r => `${r.what.suite}/${titleOf(r.what)}`},
        {head: 'peer', text: true, cell: nameOf}, {head: 'rounds', cell: r => String(r.rounds.length)},
        ...metrics.map(
            m => ({head: metricTitle(m), cell: r => isNumber(r.median[m]) ? formatOf(m)(r.median[m]) : '–'})),
        {head: 'failures', text: true, cell: r => r.failures.map(f => `round ${f.round + 1}: ${f.why}`).join('; ')}
      ],
      result.rows));
  for (const suite of unique(result.rows.map(r => r.what.suite))) {
    const d = element('details', {}, element('summary', {}, `samples of ${suite}`));
    d.addEventListener('toggle', () => {  // only when asked for: they are many
      if (d.open && d.children.length === 1)
        d.append(tableOf(
            [
              {head: 'case', text: true, cell: x => titleOf(x.row.what)},
              {head: 'peer', text: true, cell: x => nameOf(x.row)},
              {head: 'metric', text: true, cell: x => metricTitle(x.metric)}, {
                head: 'samples',
                text: true,
                cell: x => x.row.samples[x.metric].map(v => isNumber(v) ? formatOf(x.metric)(v) : '–').join('  ')
              }
            ],
            rowsOf(suite).flatMap(row => Object.keys(row.samples).map(metric => ({row, metric})))));
    });
    s.append(d);
  }
}

function theme() {
  const button = document.getElementById('theme'), dark = matchMedia('(prefers-color-scheme: dark)');
  const asked = ['dark', 'light'].find(t => location.hash.includes(t));
  const set = t => {
    document.documentElement.dataset.theme = t;
    button.textContent = t === 'dark' ? 'light' : 'dark';
  };
  set(asked ?? (dark.matches ? 'dark' : 'light'));
  if (!asked) dark.addEventListener('change', e => set(e.matches ? 'dark' : 'light'));
  button.addEventListener('click', () => set(button.textContent));
}

theme();
headline();
for (const suite of unique(result.rows.map(r => r.what.suite))) suiteSection(suite);
goalsSection();
ratioSection();
hostSection();
dataSection();
document.getElementById('download').addEventListener('click', e => {
  e.target.href = URL.createObjectURL(new Blob([JSON.stringify(result, null, 1)], {type: 'application/json'}));
  e.target.download = 'weir-bench.json';
});
document.body.dataset.drawn = String(document.querySelectorAll('svg').length);
