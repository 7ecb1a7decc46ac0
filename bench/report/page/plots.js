// Plots as SVG: one colour and marker per method, everywhere the same.

const SVG = "http://www.w3.org/2000/svg";
const WIDE = 640, HIGH = 360, EDGE = { left: 66, right: 12, top: 12, bottom: 44 };
const MARKERS = [
  (x, y) => `M${x - 4} ${y}a4 4 0 1 0 8 0a4 4 0 1 0 -8 0`,
  (x, y) => `M${x - 4} ${y - 4}h8v8h-8z`,
  (x, y) => `M${x} ${y - 5}l5 9h-10z`,
  (x, y) => `M${x} ${y - 5}l5 5l-5 5l-5 -5z`,
  (x, y) => `M${x} ${y + 5}l5 -9h-10z`,
  (x, y) => `M${x - 5} ${y - 2}h3v-3h4v3h3v4h-3v3h-4v-3h-3z`,
  (x, y) => `M${x - 5} ${y - 3}l2 -2l3 3l3 -3l2 2l-3 3l3 3l-2 2l-3 -3l-3 3l-2 -2l3 -3z`,
];
const DASHES = ["", "7 3", "2 3", "7 3 2 3"];

function svg(name, properties, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(properties)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** Round numbers inside a range, about `count` of them; powers of ten and their 2 and 5 where it is logarithmic. */
function ticks(low, high, log, count) {
  const found = [];
  if (log) {
    for (let power = Math.floor(low); power <= high; power++) {
      for (const one of high - low < 1 ? [1, 1.5, 2, 3, 4, 5, 6, 8] : [1, 2, 5]) {
        const at = Math.log10(one) + power;
        if (at >= low - 1e-9 && at <= high + 1e-9) found.push([at, one * 10 ** power]);
      }
    }
    return found.length > 2 * count ? found.filter(([, value]) => Number.isInteger(Math.log10(value))) : found;
  }
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough);
  for (let value = Math.ceil(low / step) * step; value <= high + 1e-9 * step; value += step) {
    found.push([value, +value.toPrecision(6)]);
  }
  return found;
}

function compact(value) {
  for (const [size, sign] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (Math.abs(value) >= 10 * size || (size > 1e3 && Math.abs(value) >= size)) return `${+(value / size).toPrecision(3)}${sign}`;
  }
  return String(+value.toPrecision(4)).replace("-", "−");
}

function range(values, pad) {
  const low = Math.min(...values), high = Math.max(...values);
  const more = high > low ? (high - low) * pad : Math.abs(high) * 0.1 || 1;
  return [low - more, high + more];
}

function axes(plot, xs, ys) {
  const across = (value) => (plot.log ? Math.log10(value) : value);
  const [left, right] = range(xs.map(across), 0.06);
  const [bottom, top] = range(ys, 0.08);
  const x = (value) => EDGE.left + ((across(value) - left) / (right - left)) * (WIDE - EDGE.left - EDGE.right);
  const y = (value) => HIGH - EDGE.bottom - ((value - bottom) / (top - bottom)) * (HIGH - EDGE.top - EDGE.bottom);
  const drawn = svg("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": plot.title });
  for (const [at, value] of ticks(bottom, top, false, 6)) {
    if (plot.diagonal && !Number.isInteger(value)) continue;
    drawn.append(svg("path", { class: "grid", d: `M${EDGE.left} ${y(at)}H${WIDE - EDGE.right}` }),
      svg("text", { x: EDGE.left - 6, y: y(at) + 4, "text-anchor": "end" }, compact(value)));
  }
  for (const [at, value] of ticks(left, right, plot.log, 7)) {
    if ((plot.whole || plot.diagonal) && !Number.isInteger(value)) continue;
    const place = EDGE.left + ((at - left) / (right - left)) * (WIDE - EDGE.left - EDGE.right);
    drawn.append(svg("path", { class: "grid", d: `M${place} ${EDGE.top}V${HIGH - EDGE.bottom}` }),
      svg("text", { x: place, y: HIGH - EDGE.bottom + 16, "text-anchor": "middle" }, compact(value)));
  }
  drawn.append(
    svg("text", { x: (EDGE.left + WIDE - EDGE.right) / 2, y: HIGH - 6, "text-anchor": "middle", class: "axis" }, plot.x),
    svg("text", { transform: `translate(14 ${(HIGH - EDGE.bottom + EDGE.top) / 2}) rotate(-90)`, "text-anchor": "middle",
      class: "axis" }, plot.y));
  return { drawn, x, y, left, right };
}

/** No two of the first 49 methods have the same colour and marker. */
function marker(number, x, y) {
  const other = number + Math.floor(number / 7);
  return MARKERS[other % MARKERS.length](+x.toFixed(1), +y.toFixed(1));
}

function colour(number) {
  return number % 7 === 6 ? "var(--ink)" : data.colours[number % 7]; // the last one is black, which dark pages have not
}

function seriesDrawn(series, x, y) {
  const group = svg("g", { stroke: colour(series.number), fill: "none", "stroke-width": 1.8 });
  if (series.line) {
    const path = series.points.map(([a, b], i) => `${i ? "L" : "M"}${x(a).toFixed(1)} ${y(b).toFixed(1)}`).join("");
    group.append(svg("path", { d: path, "stroke-dasharray": DASHES[Math.floor(series.number / 7) % DASHES.length] }));
  }
  const every = series.line ? Math.max(1, Math.floor(series.points.length / 6)) : 1;
  series.points.forEach(([a, b], i) => {
    if (i % every && i !== series.points.length - 1) return;
    const shape = svg("path", { d: marker(series.number, x(a), y(b)), class: "mark" });
    shape.append(svg("title", {}, `${series.name}: ${compact(a)}, ${b.toFixed(2)}`));
    const key = series.keys[i] || series.keys[0];
    group.append(key ? svg("a", { href: `#record=${key}`, "aria-label": `Record: ${series.name}` }, shape) : shape);
  });
  return group;
}

function legend(all) {
  return make("ul", { class: "legend" }, ...all.map((series) => {
    const drawn = svg("svg", { viewBox: "0 0 24 12", width: 24, height: 12, "aria-hidden": "true" });
    const group = svg("g", { stroke: colour(series.number), fill: "none", "stroke-width": 1.8 });
    if (series.line) group.append(svg("path", { d: "M0 6H24", "stroke-dasharray": DASHES[Math.floor(series.number / 7) % DASHES.length] }));
    group.append(svg("path", { d: marker(series.number, 12, 6) }));
    drawn.append(group);
    return make("li", {}, drawn, series.name);
  }));
}

function numbers(plot) {
  const rows = plot.series.flatMap((series) => series.points.map(([a, b]) => [series.name, a, b]));
  return folded("The numbers", plainTable(["method", plot.x, plot.y], rows));
}

function plotted(plot) {
  const points = plot.series.flatMap((series) => series.points);
  const { drawn, x, y, left, right } = axes(plot, points.map((one) => one[0]), points.map((one) => one[1]));
  if (plot.diagonal) drawn.append(svg("path", { class: "zero", d: `M${x(left)} ${y(left)}L${x(right)} ${y(right)}` }));
  for (const series of plot.series) drawn.append(seriesDrawn(series, x, y));
  return make("figure", { class: "plot" }, make("h3", {}, plot.title), drawn, legend(plot.series),
    make("figcaption", {}, plot.caption), numbers(plot));
}

/** Per-image differences of two methods, their mean and its interval. */
function pairedPlot(paired) {
  const names = Object.keys(paired.values);
  const choice = (label, chosen) => {
    const select = make("select", { "aria-label": label }, ...names.map((name) => make("option", { value: name }, name)));
    select.value = names[chosen];
    return select;
  };
  const [first, second] = [choice("First method", names.length - 1), choice("Second method", names.length - 2)];
  const body = make("div");
  const draw = () => {
    const [a, b] = [paired.values[first.value], paired.values[second.value]];
    const found = a.map((value, i) => [i + 1, value - b[i]]).filter((one) => Number.isFinite(one[1]));
    const sorted = [...found].sort((one, other) => one[1] - other[1]);
    const points = sorted.map((one, i) => [i + 1, one[1]]);
    const mean = points.reduce((sum, one) => sum + one[1], 0) / points.length;
    const variance = points.reduce((sum, one) => sum + (one[1] - mean) ** 2, 0) / (points.length - 1);
    const half = points.length > 1 ? paired.t * Math.sqrt(variance / points.length) : NaN;
    const plot = { title: paired.title, x: "images, in the order of their differences", y: `difference, ${paired.y}`,
      whole: true };
    const lines = Number.isFinite(half) ? [mean - half, mean + half] : [mean];
    const { drawn, x, y } = axes(plot, points.map((one) => one[0]), [0, ...lines, ...points.map((one) => one[1])]);
    if (Number.isFinite(half)) {
      drawn.append(svg("rect", { class: "band", x: EDGE.left, y: y(mean + half), width: WIDE - EDGE.left - EDGE.right,
        height: Math.max(1, y(mean - half) - y(mean + half)) }));
    }
    drawn.append(svg("path", { class: "zero", d: `M${EDGE.left} ${y(0)}H${WIDE - EDGE.right}` }),
      svg("path", { class: "mean", d: `M${EDGE.left} ${y(mean)}H${WIDE - EDGE.right}` }),
      seriesDrawn({ name: `${first.value} less ${second.value}`, number: 0, points, keys: [] }, x, y));
    const interval = Number.isFinite(half)
      ? `, 95 % interval ${(mean - half).toFixed(2)} to ${(mean + half).toFixed(2)}` : "";
    body.replaceChildren(drawn, make("p", {},
      `${first.value} less ${second.value}: mean ${mean.toFixed(2)}${interval}; ${points.length} images.`),
      folded("The numbers", plainTable(["image", first.value, second.value, "difference"],
        paired.images.map((image, i) => [image, a[i], b[i], a[i] - b[i]]))));
  };
  for (const select of [first, second]) select.addEventListener("change", draw);
  draw();
  return make("figure", { class: "plot" }, make("h3", {}, paired.title),
    make("p", { class: "bar" }, first, " less ", second), body, make("figcaption", {}, paired.caption));
}

/** A plot is drawn when it comes into sight, or is printed. */
function startPlots() {
  const section = document.getElementById("plots");
  if (!section) return;
  const waiting = [...data.plots.map((plot) => [plotted, plot]), ...data.paired.map((one) => [pairedPlot, one])];
  const drawNow = (place) => {
    const todo = place.todo;
    if (todo) place.replaceWith(todo[0](todo[1]));
    place.todo = null;
  };
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) drawNow(entry.target);
  }, { rootMargin: "400px" });
  const places = waiting.map((todo) => {
    const place = make("figure", { class: "plot waiting" });
    place.todo = todo;
    seen.observe(place);
    return place;
  });
  section.append(make("div", { class: "plots" }, ...places));
  window.addEventListener("beforeprint", () => places.forEach(drawNow));
}
