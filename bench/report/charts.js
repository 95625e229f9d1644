// Charts as inline SVG. Numbers come ready: nothing here estimates.
const SVG = 'http://www.w3.org/2000/svg';

function element(name, attributes = {}, ...children) {
  const e = document.createElement(name);
  for (const [k, v] of Object.entries(attributes)) {
    if (k.startsWith('on')) e.addEventListener(k.slice(2), v);
    else if (v !== undefined && v !== null) e.setAttribute(k, v);
  }
  e.append(...children.filter(c => c !== null && c !== undefined));
  return e;
}
function svg(name, attributes = {}, ...children) {
  const e = document.createElementNS(SVG, name);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  e.append(...children);
  return e;
}

const isNumber = x => typeof x === 'number' && isFinite(x);
function short(x, digits = 3) {
  if (!isNumber(x)) return '–';
  if (x === 0) return '0';
  const a = Math.abs(x);
  if (a >= 1e5 || a < 1e-4) return x.toExponential(digits - 2).replace('e+', 'e');
  return String(+x.toPrecision(a >= 1000 ? 4 : digits));
}
function nanoseconds(x) {
  if (!isNumber(x)) return '–';
  for (const [unit, size] of [['s', 1e9], ['ms', 1e6], ['µs', 1e3]])
    if (Math.abs(x) >= size) return short(x / size) + ' ' + unit;
  return short(x) + ' ns';
}

// A linear scale from 0, or a logarithmic one; place(value) in pixels, ticks in values.
function scaleOf(values, from, to, logarithmic) {
  const seen = values.filter(v => isNumber(v) && (!logarithmic || v > 0));
  const most = Math.max(...seen, logarithmic ? 1e-9 : 0), least = Math.min(...seen);
  if (logarithmic) {
    // At least a decade, so that equal values do not look different.
    let low = Math.floor(Math.log10(least) * 3) / 3, high = Math.ceil(Math.log10(most) * 3 + 0.05) / 3;
    if (high - low < 1) low = Math.floor(low), high = Math.max(Math.ceil(high), low + 1);
    const ticks = [];
    for (let e = Math.ceil(low - 1e-9); e <= high + 1e-9; ++e) ticks.push(10 ** e);
    if (ticks.length < 3)
      for (let e = Math.floor(low); e <= high; ++e)
        for (const m of [2, 5])
          if (m * 10 ** e >= 10 ** low * 0.999 && m * 10 ** e <= 10 ** high * 1.001) ticks.push(m * 10 ** e);
    while (ticks.length > 7) ticks.splice(0, ticks.length, ...ticks.filter((_, i) => i % 2 === 0));
    return {
      logarithmic,
      ticks: ticks.sort((a, b) => a - b),
      base: 10 ** low,
      place: v => from + (to - from) * Math.max(0, Math.log10(Math.max(v, 10 ** low)) - low) / (high - low)
    };
  }
  const top = most > 0 ? most : 1;
  const step = [1, 2, 2.5, 5, 10].map(m => m * 10 ** Math.floor(Math.log10(top / 4))).find(s => top / s <= 4.6) ?? top;
  const ticks = [];
  for (let i = 0; i * step <= top * 1.0001; ++i) ticks.push(i * step);
  const end = Math.max(top, ticks[ticks.length - 1]) * 1.02;
  return {logarithmic: false, ticks, base: 0, place: v => from + (to - from) * v / end};
}

function tooltip(text) { return svg('title', {}, text); }

// bars: {label, color, value: [mid, low, high], text, remark, remarkClass, title}
function barChart(bars, {format, name}) {
  const row = 24, top = 4, left = 132, right = 410, width = 540, height = top + bars.length * row + 26;
  const values = bars.flatMap(b => b.value ?? []);
  const positive = values.filter(v => v > 0);
  const wide =
      positive.length > 0 && positive.length === values.length && Math.max(...positive) / Math.min(...positive) > 12;
  const x = scaleOf(values, left, right, wide);
  const s = svg('svg', {viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': name, class: 'bars'});
  const bottom = top + bars.length * row;
  let told = -Infinity;  // where the last number stands
  for (const t of x.ticks) {
    s.append(svg('line', {class: 'grid', x1: x.place(t), x2: x.place(t), y1: top, y2: bottom}));
    if (x.place(t) - told < 48) continue;
    told = x.place(t);
    s.append(svg(
        'text', {class: 'soft', x: x.place(t), y: bottom + 15, 'text-anchor': 'middle'}, t === 0 ? '0' : format(t)));
  }
  if (wide) s.append(svg('text', {class: 'soft', x: left - 8, y: bottom + 15, 'text-anchor': 'end'}, 'logarithmic'));
  bars.forEach((b, i) => {
    const y = top + i * row + row / 2;
    const g = svg('g', {class: 'bar'}, tooltip(b.title));
    g.append(svg('text', {x: left - 8, y: y + 4, 'text-anchor': 'end'}, b.label));
    if (b.value) {
      const [mid, low, high] = b.value;
      const end = x.place(mid);
      g.append(
          svg('rect',
              {x: left, y: y - 7, width: Math.max(1, end - left), height: 14, rx: 2, fill: b.color, opacity: 0.85}));
      if (high > low)
        g.append(svg('path', {
          class: 'whisker',
          fill: 'none',
          d: `M${x.place(low)} ${y - 4}v8M${x.place(low)} ${y}H${x.place(high)}M${x.place(high)} ${y - 4}v8`
        }));
    }
    g.append(svg('text', {x: right + 12, y: y + 4}, b.text));
    if (b.remark)
      g.append(svg('text', {x: width, y: y + 4, 'text-anchor': 'end', class: b.remarkClass ?? 'soft'}, b.remark));
    s.append(g);
  });
  s.append(svg('line', {class: 'axis', x1: left, x2: left, y1: top, y2: bottom}));
  return s;
}

// lines: {label, color, dash, points: [[x, mid, low, high]], band}
// axes: {xTicks: [[x, text]], xPlace(x, from, to), xName, yName, yFormat, yLog}
function lineChart(lines, axes) {
  const width = 540, height = 280, left = 64, right = width - 12, top = 22, bottom = height - 40;
  const s = svg(
      'svg',
      {viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': `${axes.yName} by ${axes.xName}`, class: 'lines'});
  const y = scaleOf(lines.flatMap(l => l.points.flatMap(p => p.slice(1))), bottom, top, axes.yLog);
  const x = v => axes.xPlace(v, left + 10, right - 14);
  for (const t of y.ticks) {
    s.append(svg('line', {class: 'grid', x1: left, x2: right, y1: y.place(t), y2: y.place(t)}));
    s.append(svg('text', {class: 'soft', x: left - 6, y: y.place(t) + 4, 'text-anchor': 'end'}, axes.yFormat(t)));
  }
  for (const [v, text] of axes.xTicks) {
    s.append(svg('line', {class: 'grid', x1: x(v), x2: x(v), y1: top, y2: bottom}));
    s.append(svg('text', {class: 'soft', x: x(v), y: bottom + 15, 'text-anchor': 'middle'}, text));
  }
  s.append(svg('text', {class: 'soft', x: (left + right) / 2, y: height - 6, 'text-anchor': 'middle'}, axes.xName));
  s.append(svg('text', {class: 'soft', x: 0, y: 12}, axes.yName));
  for (const l of lines) {
    const points = l.points.filter(p => isNumber(p[1]));
    if (points.length === 0) continue;
    const path = points.map((p, i) => `${i ? 'L' : 'M'}${x(p[0])} ${y.place(p[1])}`).join('');
    const g = svg('g', {class: 'line'});
    if (l.band && points.length > 1) {
      const there = points.map((p, i) => `${i ? 'L' : 'M'}${x(p[0])} ${y.place(p[3])}`).join('');
      const back = [...points].reverse().map(p => `L${x(p[0])} ${y.place(p[2])}`).join('');
      g.append(svg('path', {d: there + back + 'Z', fill: l.color, opacity: 0.14}));
    }
    g.append(
        svg('path', {d: path, fill: 'none', stroke: l.color, 'stroke-width': 2, 'stroke-dasharray': l.dash ?? ''}));
    for (const p of points) {
      if (!l.band && p.length > 2 && p[3] > p[2])
        g.append(
            svg('path', {d: `M${x(p[0])} ${y.place(p[2])}V${y.place(p[3])}`, stroke: l.color, 'stroke-width': 1.2}));
      if (l.dots !== false)
        g.append(
            svg('circle', {cx: x(p[0]), cy: y.place(p[1]), r: 3, fill: l.color},
                tooltip(
                    `${l.label}: ${axes.yFormat(p[1])}` +
                    (p.length > 2 ? ` [${axes.yFormat(p[2])} ${axes.yFormat(p[3])}]` : ''))));
    }
    s.append(g);
  }
  return s;
}

function legend(entries) {
  const e = element('div', {class: 'legend'});
  for (const [label, color] of entries)
    e.append(element('span', {}, element('i', {style: `background:${color}`}), label));
  return e;
}

// columns: {head, text: bool, cell(row) → string or Node}
function tableOf(columns, rows) {
  const t = element('table');
  t.append(element(
      'thead', {}, element('tr', {}, ...columns.map(c => element('th', {class: c.text ? 'text' : null}, c.head)))));
  const body = element('tbody');
  for (const r of rows)
    body.append(element('tr', {}, ...columns.map(c => element('td', {class: c.text ? 'text' : null}, c.cell(r)))));
  t.append(body);
  return element('div', {class: 'scroll'}, t);
}
