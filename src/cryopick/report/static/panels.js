// The panels above the gallery: totals, charts, averages and random picks.

const SCORE_BINS = 60;
const DIAMETER_BINS = 30;

/** Hide the panels that have nothing to show, before any chart is drawn: the others take their place and are wider. */
function hideEmptyPanels() {
  const diameters = new Set(diametersOfPicks().map(({ diameter }) => diameter));
  byId("diameter-panel").hidden = diameters.size < 2; // the total says it
  byId("curve-panel").hidden = byId("show-truth-label").hidden = report.truth === null;
}

function drawPanels() {
  showTotals();
  drawScores();
  drawCounts();
  drawDiameters();
  drawCurve();
  dimCrops();
}

function showTotals() {
  const picked = pickedMicrographs();
  const seconds = median(picked.map((micrograph) => micrograph.seconds));
  const failed = micrographs.length - picked.length;
  const middle = median(picked.map((micrograph) => micrograph.kept));
  const totals = [
    ["Particles", formatCount(sum(picked.map((micrograph) => micrograph.kept))), "total-particles"],
    ["Micrographs picked", formatCount(picked.length), "total-picked"],
    ["Failed", formatCount(failed), "total-failed"],
    ["Median per micrograph", middle === null ? "–" : formatAverage(middle), "total-median"],
    [...describeDiameter(), "total-diameter"],
    ["Median time", seconds === null ? "–" : `${formatNumber(seconds)} s`, "total-time"],
  ];
  byId("totals").replaceChildren(
    ...totals.map(([term, value, id]) =>
      element("div", { className: id === "total-failed" && failed ? "total bad" : "total" }, element("dt", {}, term), element("dd", { id }, value)),
    ),
  );
}

/** Label and value of the diameter. An estimate counts only where there are picks; a given diameter holds without them. */
function describeDiameter() {
  const given = report.settings.diameter;
  const known = pickedMicrographs().filter(({ diameter, picks }) => diameter !== null && (picks > 0 || given !== undefined));
  const value = known.length ? `${formatNumber(median(known.map(({ diameter }) => diameter)), 0)} ${known[0].unit}` : null;
  if (given !== undefined) return ["Diameter, given", value ?? formatNumber(Number(given), 0)];
  if (value === null) return ["Diameter", "–"];
  return [report.settings["estimate.diameter"] === undefined ? "Diameter, median" : "Diameter, estimated", value];
}

function drawScores() {
  if (state.range === null) return;
  const picked = pickedMicrographs();
  const total = sum(micrographs.map((micrograph) => micrograph.picks));
  const kept = sum(picked.map((micrograph) => micrograph.kept));
  byId("kept").textContent = `${formatCount(kept)} of ${counted(total, "pick")} kept, ${formatAverage(kept / (picked.length || 1))} per micrograph on average`;
  const counts = histogram(micrographs.map((micrograph) => micrograph.sorted ?? []), ...state.range, SCORE_BINS);
  const chart = createChart(byId("histogram"), state.range, [0, Math.max(...counts)], { sqrt: true }); // most scores of a good picker lie at one end
  drawAxes(chart, { x: "score", y: "picks (square-root scale)", counts: "y" });
  drawBars(chart, counts, (middle) => middle >= state.threshold);
  if (state.threshold > state.range[0]) {
    const place = chart.x(state.threshold);
    chart.svg.append(svgElement("line", { class: "cut", x1: place, x2: place, y1: MARGIN.top, y2: chart.height - MARGIN.bottom }));
  }
}

function drawCounts() {
  const picked = pickedMicrographs();
  const top = picked.reduce((most, { picks }) => Math.max(most, picks), 1);
  const chart = createChart(byId("counts"), [1, Math.max(2, micrographs.length)], [0, top]);
  drawAxes(chart, { columns: 5, x: "micrographs in run order", y: "particles", counts: "xy" });
  const dots = picked.map((micrograph) => {
    const { index, kept, name, reasons } = micrograph;
    return { x: index + 1, y: kept, micrograph, flagged: reasons.length, label: `${name}: ${counted(kept, "pick")}` };
  });
  drawDots(chart, dots, openDetail);
  const counts = picked.map((micrograph) => micrograph.kept);
  const [low, high] = [Math.min(...counts), Math.max(...counts)];
  byId("counts-note").textContent = low < high ? `median ${formatAverage(median(counts))}, range ${formatCount(low)}–${formatCount(high)}` : "";
}

function diametersOfPicks() {
  return pickedMicrographs().filter(({ diameter, picks }) => diameter !== null && picks > 0);
}

function drawDiameters() {
  if (byId("diameter-panel").hidden) return;
  const known = diametersOfPicks();
  const values = known.map((micrograph) => micrograph.diameter);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const { unit } = known[0];
  byId("diameter-note").textContent = `median ${formatNumber(median(values))} ${unit}, range ${formatNumber(low)}–${formatNumber(high)} ${unit}`;
  const counts = histogram([values], low, high, DIAMETER_BINS);
  const chart = createChart(byId("diameters"), [low, high], [0, Math.max(1, ...counts)]);
  drawAxes(chart, { columns: 5, rows: 3, x: unit, y: "micrographs", counts: "y" });
  drawBars(chart, counts, () => true);
}

/** Precision and recall at every threshold, with a dot at the present one. */
function drawCurve() {
  if (report.truth === null) return;
  const { curve, overall, averagePrecision } = report.truth;
  const ratio = (value) => (value === null ? "–" : value.toFixed(3));
  const described = ({ precision, recall, f1 }) => `precision ${ratio(precision)}, recall ${ratio(recall)}, F1 ${ratio(f1)}`;
  const chart = createChart(byId("curve"), [0, 1], [0, 1]);
  drawAxes(chart, { columns: 5, x: "recall", y: "precision" });
  if (curve === null) {
    byId("curve-note").textContent = described(overall);
    return;
  }
  drawLine(chart, curve.recall, curve.precision);
  const place = findThreshold(curve.thresholds);
  const here = place < 0 ? { precision: null, recall: 0, f1: null } : Object.fromEntries(["precision", "recall", "f1"].map((name) => [name, curve[name][place]]));
  byId("curve-note").textContent = `${described(here)} at this threshold · average precision ${ratio(averagePrecision)}`;
  if (place >= 0) chart.svg.append(svgElement("circle", { class: "here", cx: chart.x(here.recall), cy: chart.y(here.precision), r: 6 }));
}

/** Index of the lowest of the descending thresholds that is not below the present one; -1 where there is none. */
function findThreshold(thresholds) {
  let place = -1;
  while (place + 1 < thresholds.length && thresholds[place + 1] >= state.threshold) place++;
  return place;
}

// Averages and random picks

function showParticles() {
  const { averages, crops } = report;
  byId("particles-panel").hidden = sum(averages.counts) === 0 && crops.scores.length === 0;
  const scored = crops.scores.some((score) => score !== null);
  byId("averages-title").textContent = scored ? "Averages by score" : "Averages";
  byId("crops-title").textContent = scored ? "Random picks, highest scores first" : "Random picks";
  byId("crops-note").hidden = byId("quarters-note").hidden = !scored;
  const names = scored ? ["highest quarter", "second quarter", "third quarter", "lowest quarter"] : ["1", "2", "3", "4"];
  byId("averages").replaceChildren(
    ...averages.counts.map((count, band) =>
      element("figure", {}, createSprite(averages.image, band, 0, averages.bands, 2), createSprite(averages.image, band, 1, averages.bands, 2),
        element("figcaption", {}, names[band], element("br"), element("span", { className: "muted" }, counted(count, "pick")))),
    ),
  );
  const rows = Math.max(1, Math.ceil(crops.scores.length / crops.columns));
  byId("crops").replaceChildren(
    ...crops.scores.map((score, place) => {
      const made = createSprite(crops.image, place % crops.columns, Math.floor(place / crops.columns), crops.columns, rows);
      if (score !== null) Object.assign(made, { title: `score ${formatNumber(score, 3)}` }).dataset.score = score;
      return made;
    }),
  );
  byId("inverted").addEventListener("change", (event) => byId("particles-panel").classList.toggle("as-is", !event.target.checked));
}

/** One cell of an image of `columns` times `rows` equal cells. */
function createSprite(image, column, row, columns, rows) {
  const made = element("span", { className: "sprite" });
  made.style.backgroundImage = `url("${image}")`;
  made.style.backgroundSize = `${columns * 100}% ${rows * 100}%`;
  made.style.backgroundPosition = `${columns > 1 ? (column / (columns - 1)) * 100 : 0}% ${rows > 1 ? (row / (rows - 1)) * 100 : 0}%`;
  return made;
}

function dimCrops() {
  for (const crop of byId("crops").children) crop.classList.toggle("dim", Math.fround(crop.dataset.score) < state.threshold);
}
