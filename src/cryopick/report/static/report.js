// Entry of the report: fills the page when all parts are loaded, and redraws it when the window changes its size.

const RESIZE_DELAY = 120; // ms
let report = null; // all that is not about a single micrograph

document.addEventListener("DOMContentLoaded", () => {
  for (const part of document.querySelectorAll("script.part")) {
    addPart(JSON.parse(part.textContent));
    part.remove();
  }
  report = JSON.parse(byId("report-data").textContent);
  state.range = findScoreRange();
  countPicks();
  showSubtitle();
  showAlert();
  showSettings();
  hideEmptyPanels();
  showParticles();
  prepareThreshold();
  prepareGallery();
  prepareDetail();
  drawPanels();
  updateGallery();
  let waiting = 0;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      drawPanels();
      redrawImages();
    }, RESIZE_DELAY);
  });
});

/** Lowest and highest score of the run; null where no pick has a score. */
function findScoreRange() {
  const scored = micrographs.filter((micrograph) => micrograph.sorted !== null && micrograph.sorted.length);
  if (scored.length === 0) return null;
  const low = scored.reduce((least, { sorted }) => Math.min(least, sorted[0]), Infinity);
  return [low, scored.reduce((most, { sorted }) => Math.max(most, sorted[sorted.length - 1]), -Infinity)];
}

/** Count the picks that the present threshold keeps on each micrograph. */
function countPicks() {
  for (const micrograph of micrographs) micrograph.kept = countKept(micrograph);
}

function showSubtitle() {
  const { cryopick, picker, preset } = report.settings;
  const name = preset === undefined ? picker : `${picker} (${preset})`;
  byId("subtitle").textContent = `Picker ${name} · cryopick ${cryopick} · ${counted(micrographs.length, "micrograph")} · written ${report.written}`;
}

/** What needs attention: failures, empty micrographs, and outliers among the others. */
function showAlert() {
  const picked = pickedMicrographs();
  const failed = micrographs.length - picked.length;
  const empty = picked.filter((micrograph) => micrograph.picks === 0).length;
  const unusual = picked.filter((micrograph) => micrograph.picks > 0 && micrograph.reasons.length).length;
  const parts = [];
  if (failed) parts.push(`${counted(failed, "micrograph")} failed`);
  if (empty) parts.push(`${counted(empty, "micrograph")} without particles`);
  if (unusual) parts.push(`${counted(unusual, "micrograph")} with a warning`);
  byId("alert").hidden = parts.length === 0;
  byId("alert").textContent = empty && empty === picked.length
    ? `No particles were found${failed ? `, and ${counted(failed, "micrograph")} failed` : ""}. Check the diameter, the pixel size and the threshold.`
    : `${parts.join(", ")}: listed first below.`;
}

function showSettings() {
  const rows = Object.entries(report.settings).map(([key, value]) => element("tr", {}, element("th", { scope: "row" }, key), element("td", {}, value)));
  byId("settings").tBodies[0].replaceChildren(...rows);
}
