// Charts: small ones are drawn as SVG, which prints sharply; series over time by uPlot.

function sparkline(series, label) {
  const values = series.map(([, value]) => value ?? 0);
  if (values.length < 2) return h("div", { class: "spark none" });
  const low = Math.min(...values, 0);
  const high = Math.max(...values, low + 1);
  const x = (index) => 1 + (index * 118) / (values.length - 1);
  const y = (value) => 27 - ((value - low) * 24) / (high - low);
  const line = values.map((value, index) => `${index ? "L" : "M"}${x(index).toFixed(1)},${y(value).toFixed(1)}`).join("");
  return svg("svg", { class: "spark", viewBox: "0 0 120 30", preserveAspectRatio: "none", role: "img", "aria-label": label },
    svg("path", { class: "area", d: `${line}L119,${y(low)}L1,${y(low)}Z` }),
    svg("path", { class: "line", d: line, "vector-effect": "non-scaling-stroke" }));
}

const charts = [];

function ink(name) {
  return getComputedStyle(document.body).getPropertyValue(name).trim();
}

/** A chart that is drawn once it is near the screen, and again when its width or the colours change. */
function chart(label, options) {
  const box = h("div", { class: "chart", role: "img", "aria-label": label });
  charts.push({ box, options, drawn: null });
  return box;
}

function drawCharts() {
  for (const each of charts) {
    if (!each.box.isConnected) continue;
    each.drawn?.destroy();
    each.drawn = new uPlot(each.options(each.box.clientWidth), each.options.data, each.box);
  }
}

function short(value, digits = 1) {
  const size = Math.abs(value);
  for (const [limit, unit] of [[1e9, "bn"], [1e6, "m"], [1e3, "k"]]) {
    if (size >= limit) return `${value < 0 ? MINUS : ""}${(size / limit).toFixed(digits).replace(/\.0+$/, "")}${unit}`;
  }
  return `${value < 0 ? MINUS : ""}${size}`;
}

const FONT = () => `11px ${getComputedStyle(document.body).fontFamily}`;

function axes(format) {
  const common = { stroke: ink("--muted"), font: FONT(), ticks: { show: false } };
  return [
    { ...common, grid: { show: false }, size: 28, space: 64, values: (_, ticks) => ticks.map((at) => day(new Date(at * 1000).toISOString())) },
    { ...common, grid: { stroke: ink("--line"), width: 1 }, size: 54, space: 34, values: (_, ticks) => ticks.map(format) },
  ];
}

const WEEK = 7 * 86400;
const LINES = ["--line-1", "--line-2"];

/** Lines over the windows; `shown` formats a value under the pointer, `format` one on the axis. */
function lineChart(label, windows, series, { format, shown, readout, height = 150, bars = false }) {
  const tell = (index) => fill(readout, series.map(({ name, values }, position) => {
    const value = values[index];
    return h("span", { class: `key key-${position + 1}` }, `${name} `, h("b", null, shown(value)));
  }), h("span", { class: "muted" }, `window of ${day(windows[index], { year: true })}`));
  tell(windows.length - 1);
  const options = (width) => ({
    width,
    height,
    padding: [8, 20, 0, 0],
    legend: { show: false },
    cursor: { y: false, points: { size: 6 }, drag: { setScale: false } },
    scales: { x: { time: true, range: (_, low, high) => [low - (bars ? WEEK / 2 : 0), high + (bars ? WEEK / 2 : 0)] }, y: { range: (_, low, high) => [Math.min(0, low ?? 0), high > 0 ? high * 1.08 : 1] } },
    tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "Etc/UTC"),
    axes: axes(format),
    series: [{}, ...series.map(({ name }, position) => ({
      label: name,
      stroke: ink(LINES[position]),
      width: bars ? 0 : 1.75,
      fill: bars ? ink(LINES[position]) : undefined,
      paths: bars ? uPlot.paths.bars({ size: [0.62, 28], radius: 0.15 }) : undefined,
      points: { show: false },
    }))],
    hooks: { setCursor: [({ cursor }) => tell(cursor.idx ?? windows.length - 1)] },
  });
  options.data = [windows.map((text) => Date.parse(`${text}T00:00:00Z`) / 1000), ...series.map(({ values }) => values)];
  return chart(label, options);
}

/** How amounts of a currency, and shares, are said on a chart. */
const inCash = (currency) => ({ format: (cents) => short(cents / 100), shown: (cents) => (cents === null || cents === undefined ? NOTHING : `${amount(cents)}\u00a0${currency}`) });
const IN_SHARE = { format: (share) => `${+(share * 100).toFixed(2)} %`, shown: (share) => percent(share, 2) };

function graphPanel(title, about, windows, series, options) {
  const readout = h("p", { class: "readout" });
  return h("div", { class: "panel" }, h("div", { class: "head" }, h("h3", null, title), about && h("p", { class: "muted" }, about)), readout,
    lineChart(`${title}: ${series.map(({ name, values }) => `${name} ${options.shown(values.at(-1))}`).join(", ")} in the last window`, windows, series, { ...options, readout }));
}

const isPower = (tick) => Number.isInteger(Math.log10(tick));

/** How many sellers have which score, from 0 to 100. */
function scoreChart(label, buckets) {
  const options = (width) => ({
    width,
    height: 150,
    padding: [8, 6, 0, 0],
    legend: { show: false },
    cursor: { show: false },
    // A long tail of few sellers is what to look at: a logarithm keeps it in sight beside thousands.
    scales: { x: { time: false, range: [-3, 101] }, y: { distr: 3, range: (_, low, high) => [0.5, Math.max(10, high * 1.3)] } },
    axes: [
      { ...axes(String)[0], values: (_, ticks) => ticks.map(String), incrs: [10, 20, 25] },
      { ...axes(String)[1], grid: { stroke: ink("--line"), width: 1, filter: (_, ticks) => ticks.map((tick) => (isPower(tick) ? tick : null)) }, values: (_, ticks) => ticks.map((tick) => (isPower(tick) ? short(tick) : null)) },
    ],
    series: [{}, { stroke: ink("--line-1"), fill: ink("--line-1"), width: 0, paths: uPlot.paths.bars({ size: [0.8, 40], radius: 0.1 }), points: { show: false } }],
  });
  options.data = [buckets.map(({ from, to }) => (from + to) / 2), buckets.map(({ sellers }) => sellers || null)];
  return chart(label, options);
}

function watchCharts() {
  let width = 0;
  new ResizeObserver(() => {
    if (Math.abs(document.body.clientWidth - width) < 2) return;
    width = document.body.clientWidth;
    requestAnimationFrame(drawCharts);
  }).observe(document.body);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => requestAnimationFrame(drawCharts));
  matchMedia("print").addEventListener("change", drawCharts);
}
