// Charts as plain SVG in the colours of the page.

const SVG = "http://www.w3.org/2000/svg";
const MARGIN = { left: 46, right: 14, top: 20, bottom: 36 };

function svgElement(name, attributes, text = null) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== null) made.textContent = text;
  return made;
}

/** An empty chart of the size that `svg` has on the page, with functions from values to positions; `sqrt` scales y by square roots. */
function createChart(svg, [left, right], [bottom, top], { sqrt = false } = {}) {
  const { width, height } = svg.getBoundingClientRect();
  svg.replaceChildren();
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const inner = { width: width - MARGIN.left - MARGIN.right, height: height - MARGIN.top - MARGIN.bottom };
  const x = (value) => MARGIN.left + (inner.width * (value - left)) / (right - left || 1);
  const scaled = (value) => (sqrt ? Math.sqrt(value) : value);
  const y = (value) => MARGIN.top + inner.height * (1 - (scaled(value) - scaled(bottom)) / (scaled(top) - scaled(bottom) || 1));
  return { svg, x, y, left, right, bottom, top, width, height, sqrt };
}

/** Round values between `low` and `high`, about `wanted` of them; `integer` allows whole numbers only. */
function findTicks(low, high, wanted, { integer = false } = {}) {
  const raw = Math.max((high - low) / wanted || 1, integer ? 1 : 0);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= raw);
  const ticks = [];
  for (let index = Math.ceil(low / step); index * step <= high + step * 1e-6; index++) ticks.push(index * step);
  return ticks;
}

/** Axes with labels, about `columns` and `rows` ticks; `counts` says which axis ("x", "y" or "xy") shows whole numbers. */
function drawAxes(chart, { x = "", y = "", columns = 8, rows = 4, counts = "" } = {}) {
  const whole = { integer: counts.includes("y") };
  const heights = chart.sqrt
    ? findTicks(0, Math.sqrt(chart.top), rows, whole).map((root) => root * root)
    : findTicks(chart.bottom, chart.top, rows, whole);
  for (const tick of heights) {
    const place = chart.y(tick);
    chart.svg.append(
      svgElement("line", { class: "grid", x1: MARGIN.left, x2: chart.width - MARGIN.right, y1: place, y2: place }),
      svgElement("text", { class: "tick", x: MARGIN.left - 8, y: place + 4, "text-anchor": "end" }, formatNumber(tick, 4)),
    );
  }
  for (const tick of findTicks(chart.left, chart.right, columns, { integer: counts.includes("x") })) {
    const attributes = { class: "tick", x: chart.x(tick), y: chart.height - 20, "text-anchor": "middle" };
    chart.svg.append(svgElement("text", attributes, formatNumber(tick, 4)));
  }
  const middle = (MARGIN.left + chart.width - MARGIN.right) / 2;
  if (x) chart.svg.append(svgElement("text", { class: "axis", x: middle, y: chart.height - 2, "text-anchor": "middle" }, x));
  if (y) chart.svg.append(svgElement("text", { class: "axis", x: 0, y: 10 }, y));
}

function drawBars(chart, counts, isOn) {
  const step = (chart.right - chart.left) / counts.length;
  counts.forEach((count, index) => {
    if (!count) return;
    const start = chart.left + index * step;
    const attributes = {
      class: isOn(start + step / 2) ? "bar" : "bar off",
      x: chart.x(start) + 0.5,
      width: Math.max(1, chart.x(start + step) - chart.x(start) - 1),
      y: chart.y(count),
      height: Math.max(1, chart.y(0) - chart.y(count)),
    };
    chart.svg.append(svgElement("rect", attributes));
  });
}

/** Dots `{x, y, label, flagged, micrograph}` and a line at their median; `onClick` gets the micrograph of the dot. */
function drawDots(chart, dots, onClick) {
  const middle = median(dots.map((dot) => dot.y));
  if (middle !== null) {
    const place = chart.y(middle);
    chart.svg.append(svgElement("line", { class: "median", x1: MARGIN.left, x2: chart.width - MARGIN.right, y1: place, y2: place }));
  }
  const radius = dots.length > 600 ? 1.6 : dots.length > 100 ? 2.5 : 4;
  for (const dot of dots) {
    const made = svgElement("circle", { class: dot.flagged ? "dot flagged" : "dot", cx: chart.x(dot.x), cy: chart.y(dot.y), r: radius });
    made.append(svgElement("title", {}, dot.label));
    made.addEventListener("click", () => onClick(dot.micrograph));
    chart.svg.append(made);
  }
}

function drawLine(chart, xs, ys) {
  const points = Array.from(xs, (value, index) => `${chart.x(value).toFixed(1)},${chart.y(ys[index]).toFixed(1)}`);
  chart.svg.append(svgElement("polyline", { class: "line", points: points.join(" ") }));
}
