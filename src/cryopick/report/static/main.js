// The page: fills itself when all parts are there, and follows what people do.

const BINS = 60;
const SLIDER_STEPS = 1000;
let head = null;
let shown = [];
let opened = null;
let descending = true;

document.addEventListener("DOMContentLoaded", () => {
  for (const part of document.querySelectorAll("script.part")) {
    addPart(JSON.parse(part.textContent));
    part.remove();
  }
  head = JSON.parse(byId("head").textContent);
  const scored = micrographs.filter((one) => one.sorted !== null && one.sorted.length);
  if (scored.length) {
    const low = scored.reduce((least, one) => Math.min(least, one.sorted[0]), Infinity);
    state.range = [low, scored.reduce((most, one) => Math.max(most, one.sorted[one.sorted.length - 1]), -Infinity)];
  }
  recount();
  fillSubtitle();
  fillAlert();
  fillSettings();
  fillParticles();
  prepareThreshold();
  prepareGallery();
  prepareDetail();
  prepareTruth();
  drawAll();
  arrange();
  let waiting = 0;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      drawAll();
      redrawGallery();
      redrawDetail();
    }, 120);
  });
});

function recount() {
  for (const one of micrographs) one.kept = countAbove(one);
}

const done = () => micrographs.filter((one) => one.status === "done");
const sum = (values) => values.reduce((total, value) => total + value, 0);

function fillSubtitle() {
  const picker = [head.settings.picker, head.settings.preset].filter(Boolean).join(", ");
  byId("subtitle").textContent = `Picker ${picker} · cryopick ${head.settings.cryopick} · ${counted(micrographs.length, "micrograph")} · written ${head.written}`;
}

function fillTiles() {
  const finished = done();
  const seconds = median(finished.map((one) => one.seconds));
  const failed = micrographs.length - finished.length;
  const tiles = [
    ["Particles", whole.format(sum(finished.map((one) => one.kept))), "tile-particles"],
    ["Micrographs picked", whole.format(finished.length), "tile-picked"],
    ["Failed", whole.format(failed), "tile-failed"],
    ["Median per micrograph", finished.length ? formatted(median(finished.map((one) => one.kept))) : "–", "tile-median"],
    [diameterTerm(), diameterText(), "tile-diameter"],
    ["Median time", seconds === null ? "–" : `${formatted(seconds)} s`, "tile-time"],
  ];
  byId("tiles").replaceChildren(
    ...tiles.map(([term, value, id]) =>
      element("div", { className: id === "tile-failed" && failed ? "tile bad" : "tile" }, element("dt", {}, term), element("dd", { id }, value)),
    ),
  );
}

function knownDiameters() {
  return done().filter((one) => one.diameter !== null && one.picks > 0);
}

function diameterTerm() {
  if (head.settings.diameter !== undefined) return "Diameter, given";
  return head.settings["estimate.diameter"] !== undefined ? "Diameter, estimated" : "Diameter, median";
}

function diameterText() {
  const known = knownDiameters();
  return known.length ? `${formatted(median(known.map((one) => one.diameter)), 0)} ${known[0].unit}` : "–";
}

function fillAlert() {
  const failed = micrographs.filter((one) => one.status === "failed").length;
  const flagged = micrographs.filter((one) => one.reasons.length).length - failed;
  const parts = [failed ? `${counted(failed, "micrograph")} failed` : "", flagged ? `${counted(flagged, "micrograph")} unlike the others` : ""];
  byId("alert").textContent = `${parts.filter(Boolean).join(", ")}: shown first below.`;
  byId("alert").hidden = failed + flagged === 0;
}

function fillSettings() {
  const rows = Object.entries(head.settings).map(([key, value]) => element("tr", {}, element("th", { scope: "row" }, key), element("td", {}, value)));
  byId("settings").tBodies[0].replaceChildren(...rows);
}

// Threshold

function prepareThreshold() {
  const usable = state.range !== undefined && state.range[0] < state.range[1];
  byId("threshold-controls").hidden = !state.range;
  byId("no-scores").hidden = Boolean(state.range);
  if (!state.range) return;
  const [low, high] = state.range;
  for (const id of ["threshold", "threshold-number"]) {
    Object.assign(byId(id), { min: low, max: high, step: id === "threshold" ? (high - low) / SLIDER_STEPS || 1 : "any", value: low, disabled: !usable });
  }
  byId("threshold").addEventListener("input", (event) => moveThreshold(shortened(Number(event.target.value)), "threshold"));
  byId("threshold-number").addEventListener("input", (event) => {
    if (event.target.value !== "") moveThreshold(Number(event.target.value), "threshold-number");
  });
  byId("threshold-number").value = formatted(low, 3);
  byId("threshold-reset").addEventListener("click", () => moveThreshold(-Infinity, null));
}

/** The slider's value with no more decimals than its steps need; never rounded up, so that either end means what it says. */
function shortened(value) {
  const [low, high] = state.range;
  const unit = 10 ** Math.max(0, Math.ceil(-Math.log10((high - low) / SLIDER_STEPS || 1)));
  return Math.floor(value * unit) / unit;
}

/** Scores are float32, so a threshold is compared as float32, as `cryopick convert` does. */
function moveThreshold(value, from) {
  state.threshold = Math.fround(value);
  const text = Number.isFinite(value) ? String(Number(value.toFixed(4))) : String(Number(state.range[0].toFixed(3)));
  if (from !== "threshold") byId("threshold").value = Number.isFinite(value) ? value : state.range[0];
  if (from !== "threshold-number") byId("threshold-number").value = text;
  const command = byId("threshold-command");
  command.hidden = !Number.isFinite(value);
  command.textContent = `cryopick convert ${quoted(head.path)} picks.star --threshold ${Number.isFinite(value) ? value : ""}`;
  recount();
  drawAll();
  redrawGallery();
  redrawDetail();
}

const quoted = (path) => (/^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`);

function drawAll() {
  fillTiles();
  drawScores();
  drawDiameters(); // before the panels beside it, which get its room where it is not shown
  drawCounts();
  drawTruthCurve();
  dimCrops();
}

function drawScores() {
  if (!state.range) return;
  const total = sum(micrographs.map((one) => one.picks));
  const kept = sum(done().map((one) => one.kept));
  byId("kept").textContent = `${whole.format(kept)} of ${whole.format(total)} picks kept, ${formatted(kept / (done().length || 1))} per micrograph`;
  const lists = micrographs.map((one) => one.sorted ?? []);
  const counts = histogramOf(lists, ...state.range, BINS);
  const chart = blankChart(byId("histogram"), state.range, [0, Math.max(...counts)], { root: true }); // most scores of a good picker lie at one end
  drawAxes(chart, { x: "score", y: "picks (heights are square roots)" });
  drawBars(chart, counts, (middle) => middle >= state.threshold);
  if (state.threshold > state.range[0]) {
    const place = chart.x(state.threshold);
    chart.svg.append(svgElement("line", { class: "cut", x1: place, x2: place, y1: MARGIN.top, y2: chart.height - MARGIN.bottom }));
  }
}

function drawCounts() {
  const finished = done();
  const top = finished.reduce((most, one) => Math.max(most, one.picks), 1);
  const chart = blankChart(byId("counts"), [1, Math.max(2, micrographs.length)], [0, top]);
  drawAxes(chart, { columns: 5, x: "order of the run", y: "particles" });
  const dots = finished.map((one) => ({ x: one.index + 1, y: one.kept, one, flagged: one.reasons.length, label: `${one.name}: ${counted(one.kept, "pick")}` }));
  drawDots(chart, dots, openDetail);
  const counts = finished.map((one) => one.kept);
  byId("counts-note").textContent = counts.length ? `median ${formatted(median(counts))}, from ${whole.format(Math.min(...counts))} to ${whole.format(Math.max(...counts))}` : "";
}

function drawDiameters() {
  const known = knownDiameters();
  const values = known.map((one) => one.diameter);
  const low = values.length ? Math.min(...values) : 0;
  const high = values.length ? Math.max(...values) : 0;
  byId("diameter-panel").hidden = high <= low; // the tile says it all
  if (high <= low) return;
  byId("diameter-note").textContent = `of each micrograph: median ${formatted(median(values))} ${known[0].unit}, from ${formatted(low)} to ${formatted(high)}`;
  const counts = histogramOf([values], low, high, 30);
  const chart = blankChart(byId("diameters"), [low, high], [0, Math.max(1, ...counts)]);
  drawAxes(chart, { columns: 5, rows: 3, x: known[0].unit, y: "micrographs" });
  drawBars(chart, counts, () => true);
}

// Truth

function prepareTruth() {
  byId("truth-panel").hidden = head.truth === null;
  byId("show-truth-label").hidden = head.truth === null;
  byId("show-truth").addEventListener("change", (event) => {
    state.truth = event.target.checked;
    redrawGallery();
    redrawDetail();
  });
}

function drawTruthCurve() {
  if (head.truth === null) return;
  const { curve, overall } = head.truth;
  const ratio = (value) => (value === null ? "–" : value.toFixed(3));
  const told = ({ precision, recall, f1 }) => `precision ${ratio(precision)}, recall ${ratio(recall)}, F1 ${ratio(f1)}`;
  const chart = blankChart(byId("truth-curve"), [0, 1], [0, 1]);
  drawAxes(chart, { columns: 5, x: "recall", y: "precision" });
  if (curve === null) {
    byId("truth-note").textContent = told(overall);
    return;
  }
  drawLine(chart, curve.recall, curve.precision, "line");
  const place = curvePlace(curve.thresholds);
  const here = place < 0 ? { precision: null, recall: 0, f1: null } : Object.fromEntries(["precision", "recall", "f1"].map((name) => [name, curve[name][place]]));
  byId("truth-note").textContent = `${told(here)} at this threshold · average precision ${ratio(head.truth.averagePrecision)}`;
  if (place >= 0) chart.svg.append(svgElement("circle", { class: "here", cx: chart.x(here.recall), cy: chart.y(here.precision), r: 6 }));
}

/** The last of the thresholds, which fall, that is no lower than the page's; -1 where all are lower. */
function curvePlace(thresholds) {
  let place = -1;
  while (place + 1 < thresholds.length && thresholds[place + 1] >= state.threshold) place++;
  return place;
}

// Averages and crops

function fillParticles() {
  const { averages, crops } = head;
  byId("particles-panel").hidden = sum(averages.counts) === 0 && crops.scores.length === 0;
  const names = ["best quarter", "second quarter", "third quarter", "last quarter"];
  byId("averages").replaceChildren(
    ...averages.counts.map((count, band) =>
      element("figure", {}, spriteOf(averages.sheet, band, 0, averages.bands, 2), spriteOf(averages.sheet, band, 1, averages.bands, 2),
        element("figcaption", {}, names[band], element("br"), element("span", { className: "muted" }, whole.format(count)))),
    ),
  );
  const rows = Math.max(1, Math.ceil(crops.scores.length / crops.columns));
  byId("crops").replaceChildren(
    ...crops.scores.map((score, place) => {
      const made = spriteOf(crops.sheet, place % crops.columns, Math.floor(place / crops.columns), crops.columns, rows);
      if (score !== null) Object.assign(made, { title: `score ${formatted(score, 3)}` }).dataset.score = score;
      return made;
    }),
  );
  byId("inverted").addEventListener("change", (event) => byId("particles-panel").classList.toggle("as-is", !event.target.checked));
}

/** One cell of a sheet of `columns` times `rows` equal pictures. */
function spriteOf(sheet, column, row, columns, rows) {
  const made = element("span", { className: "sprite" });
  made.style.backgroundImage = `url("${sheet}")`;
  made.style.backgroundSize = `${columns * 100}% ${rows * 100}%`;
  made.style.backgroundPosition = `${columns > 1 ? (column / (columns - 1)) * 100 : 0}% ${rows > 1 ? (row / (rows - 1)) * 100 : 0}%`;
  return made;
}

function dimCrops() {
  for (const crop of byId("crops").children) crop.classList.toggle("dim", Math.fround(crop.dataset.score) < state.threshold);
}

// Gallery

function prepareGallery() {
  byId("sort").addEventListener("change", () => {
    turn(byId("sort").value !== "name" && byId("sort").value !== "run");
    arrange();
  });
  byId("direction").addEventListener("click", () => {
    turn(!descending);
    arrange();
  });
  byId("search").addEventListener("input", arrange);
  byId("only-flagged").addEventListener("change", arrange);
  byId("circles").addEventListener("change", (event) => {
    state.circles = event.target.checked;
    redrawGallery();
    redrawDetail();
  });
  byId("threshold").addEventListener("change", () => byId("sort").value === "count" && arrange());
}

function turn(down) {
  descending = down;
  byId("direction").textContent = down ? "↓ descending" : "↑ ascending";
  byId("direction").setAttribute("aria-pressed", String(!down));
}

function arrange() {
  shown = arranged({ by: byId("sort").value, descending, text: byId("search").value, onlyFlagged: byId("only-flagged").checked });
  showGallery(shown, openDetail);
  byId("shown").textContent = shown.length === micrographs.length ? "" : `${whole.format(shown.length)} of ${whole.format(micrographs.length)}`;
}

// One micrograph in large

function prepareDetail() {
  const dialog = byId("detail");
  byId("close").addEventListener("click", () => dialog.close());
  byId("previous").addEventListener("click", () => step(-1));
  byId("next").addEventListener("click", () => step(1));
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => (opened = null));
  document.addEventListener("keydown", (event) => {
    if (opened === null) return;
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
}

function step(by) {
  const place = shown.indexOf(opened) + by;
  if (place >= 0 && place < shown.length) openDetail(shown[place]);
}

function openDetail(one) {
  opened = one;
  const dialog = byId("detail");
  if (!dialog.open) dialog.showModal();
  byId("detail-name").textContent = one.name;
  byId("detail-reasons").replaceChildren(...one.reasons.map((reason) => element("li", {}, reason)));
  const frame = frameOf(one);
  frame.id = "detail-frame";
  const [height, width] = shapeOf(one);
  frame.style.setProperty("--ratio", width / height);
  byId("detail-frame").replaceWith(frame);
  byId("previous").disabled = shown.indexOf(one) <= 0;
  byId("next").disabled = shown.indexOf(one) === shown.length - 1;
  redrawDetail();
}

function redrawDetail() {
  if (opened === null) return;
  showPicture(byId("detail-frame"), opened);
  const facts = [
    ["Picks", opened.kept === opened.picks ? whole.format(opened.picks) : `${whole.format(opened.kept)} of ${whole.format(opened.picks)}`],
    ["Median score", opened.score === null ? "–" : formatted(opened.score, 3)],
    ["Diameter", opened.diameter === null ? "–" : `${formatted(opened.diameter)} ${opened.unit}`],
    ["Size", opened.shape === null ? "–" : `${opened.shape[1]} × ${opened.shape[0]} px`],
    ["Time", `${formatted(opened.seconds)} s`],
    ["File", opened.path],
  ];
  byId("detail-facts").replaceChildren(...facts.map(([term, value]) => element("div", {}, element("dt", {}, term), element("dd", {}, value))));
}
