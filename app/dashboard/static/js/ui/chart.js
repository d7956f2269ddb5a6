import { grouped, toPixelsNumber } from "../money.js";
import { indexAt, summaryOf, valuesOf } from "../pool-history.js";
import { axisFormat, dateTime } from "../time.js";
import { html, memo, useEffect, useMemo, useRef, useState } from "./preact.js";

const PARTS = ["paid", "reserved", "available"]; // from the bottom up
const MIN_PLATEAU = 0.03; // share of the time axis after the last change
const SECONDS = [1, 2, 5, 10, 15, 30];
const MINUTES = [1, 2, 5, 10, 15, 30].map((minutes) => minutes * 60);
const HOURS = [1, 2, 3, 6, 12].map((hours) => hours * 3600);
const DAYS = [1, 2, 3, 7, 14, 30, 60, 90, 180, 365].map((days) => days * 86_400);
const STEPS = [...SECONDS, ...MINUTES, ...HOURS, ...DAYS]; // at least a second: labels show no fractions
const LABELS = { paid: "Paid out", reserved: "Reserved", available: "Available" };

/** The pool over time, as stacked areas; `points` from pool-history.js, up to the time `until`. */
export const PoolChart = memo(({ points, currency, until }) => {
  if (points.length === 0) return html`<p class="chart-empty">The chart begins with the first deposit.</p>`;
  return html`<${Plot} points=${points} currency=${currency} until=${until} />`;
});

/** A slider for the keyboard and for screen readers: each value is a change of the pool, read out with its exact amounts. */
function Plot({ points, currency, until }) {
  const place = useRef(null);
  const plot = useRef(null);
  const [chosen, choose] = useState(null);
  const data = useMemo(() => stacked(points, until), [points, until]);
  const latest = useRef(points);
  latest.current = points;
  const onHover = (seconds) => choose(seconds === null ? null : latest.current[indexAt(latest.current, seconds * 1000)]?.version);
  useEffect(() => mount(place.current, plot, { first: data, onHover }), []);
  useEffect(() => void plot.current?.setData(data), [data]);
  const found = points.findLastIndex(({ version }) => version === chosen);
  const index = found < 0 ? points.length - 1 : found;
  const move = (to) => {
    const next = Math.max(0, Math.min(points.length - 1, to));
    choose(points[next].version);
    plot.current?.setCursor({ left: plot.current.valToPos(data[0][next], "x"), top: 0 }, false);
  };
  const onKeyDown = (event) => {
    const to = { ArrowLeft: index - 1, ArrowDown: index - 1, ArrowRight: index + 1, ArrowUp: index + 1, Home: 0, End: points.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    move(to);
  };
  return html`
    <div class="chart" ref=${place} role="slider" tabindex="0" aria-label="Changes of the pool" aria-describedby="chart-summary"
      aria-valuemin="1" aria-valuemax=${points.length} aria-valuenow=${index + 1} aria-valuetext=${valuesOf(points[index], currency)}
      onKeyDown=${onKeyDown} onBlur=${() => onHover(null)}></div>
    <${Values} point=${points[index]} currency=${currency} isChosen=${found >= 0} />
    <p class="visually-hidden" id="chart-summary">${summaryOf(points, currency)}</p>
  `;
}

/** The exact amounts at the chosen time; of the latest change if none is chosen. Screen readers get them from the chart. */
const Values = ({ point, currency, isChosen }) => html`<p class="chart-values" aria-hidden="true">
  <span>${isChosen ? dateTime(point.at) : "Now"}</span>
  ${[...PARTS].reverse().map((part) => html`<span key=${part} class="part-${part}" title="${LABELS[part]} in ${currency}">${grouped(point[part])}</span>`)}
</p>`;

/** Load the chart library on first use, and redraw when the colours change. */
function mount(place, plot, { first, onHover }) {
  let isGone = false;
  let make = () => {};
  const size = () => ({ width: place.clientWidth, height: place.clientHeight });
  const sizes = new ResizeObserver(() => plot.current?.setSize(size()));
  const colours = matchMedia("(prefers-color-scheme: dark)");
  const redraw = () => requestAnimationFrame(() => make(plot.current?.data));
  import("../../vendor/uplot.js").then(({ default: UPlot }) => {
    make = (data) => {
      if (isGone) return;
      plot.current?.destroy();
      plot.current = new UPlot({ ...options(place, UPlot.paths.stepped({ align: 1 }), onHover), ...size() }, data ?? first, place);
    };
    make();
  });
  sizes.observe(place);
  addEventListener("themechange", redraw);
  colours.addEventListener("change", redraw);
  return () => {
    isGone = true;
    sizes.disconnect();
    removeEventListener("themechange", redraw);
    colours.removeEventListener("change", redraw);
    plot.current?.destroy();
  };
}

/**
 * Columns for uPlot: seconds, then each area's upper edge (running sums), extended to now so that the latest change is
 * visible as a step. Equal times are spread, since uPlot requires rising ones.
 */
export function stacked(points, until) {
  const times = points.map((point) => point.at / 1000);
  for (let index = 1; index < times.length; index += 1) times[index] = Math.max(times[index], times[index - 1] + 0.001);
  const edges = PARTS.map(() => []);
  for (const point of [...points, points.at(-1)]) {
    PARTS.reduce((sum, part, index) => (edges[index].push(sum + toPixelsNumber(point[part])), edges[index].at(-1)), 0);
  }
  const last = times.at(-1);
  return [[...times, Math.max(until / 1000, last + (last - times[0]) * MIN_PLATEAU)], ...edges];
}

function options(place, paths, onHover) {
  const style = getComputedStyle(place);
  const colour = (name) => style.getPropertyValue(name).trim();
  const axis = { stroke: resolved(place, "--soft"), grid: { stroke: resolved(place, "--line"), width: 1 }, ticks: { show: false } };
  const font = `11px ${colour("font-family") || "sans-serif"}`;
  return {
    legend: { show: false },
    cursor: { y: false, points: { show: false }, drag: { x: false, y: false, setScale: false } },
    hooks: { setCursor: [({ cursor, posToVal }) => cursor.event && onHover(cursor.left < 0 ? null : posToVal(cursor.left, "x"))] },
    padding: [8, 22, 0, 0],
    scales: { y: { range: (_, low, high) => [0, Math.max(high * 1.05, 1)] } },
    axes: [
      { ...axis, grid: { show: false }, font, size: 24, space: 62, incrs: STEPS, values: (_, times) => moments(times) },
      { ...axis, font, size: 52, values: (_, values) => values.map(short) },
    ],
    series: [{}, ...PARTS.map((part) => ({ label: LABELS[part], ...paint(place, part), paths }))],
    bands: PARTS.slice(1).map((_, index) => ({ series: [index + 2, index + 1] })),
  };
}

function paint(place, part) {
  const stroke = resolved(place, `--${part}`);
  return { stroke, fill: resolved(place, `--${part}-area`), width: 1.5, points: { show: false } };
}

/** A canvas supports neither custom properties nor light-dark(), so the browser resolves the colour first. */
function resolved(place, name) {
  const probe = document.createElement("i");
  probe.style.color = `var(${name})`;
  place.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

function moments(times) {
  const format = axisFormat(1000 * (times.at(-1) - times[0]));
  return times.map((time) => format(time * 1000));
}

const compact = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const short = (value) => compact.format(value);
