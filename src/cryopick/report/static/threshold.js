// The score threshold: a slider, a field for a number, and the command that writes the picks that are kept.

const SLIDER_STEPS = 1000;

function prepareThreshold() {
  byId("threshold-controls").hidden = state.range === null;
  byId("no-scores").hidden = state.range !== null;
  if (state.range === null) {
    const anyPicks = micrographs.some((micrograph) => micrograph.picks > 0);
    byId("no-scores").textContent = anyPicks ? "These picks have no scores, so there is no threshold to set." : "There are no picks, so there are no scores to show.";
    return;
  }
  const [low, high] = state.range;
  for (const id of ["threshold", "threshold-number"]) {
    const step = id === "threshold" ? (high - low) / SLIDER_STEPS || 1 : "any";
    Object.assign(byId(id), { min: low, max: high, step, value: low, disabled: low === high });
  }
  byId("threshold").addEventListener("input", (event) => moveThreshold(roundDown(Number(event.target.value)), "threshold"));
  byId("threshold-number").addEventListener("input", (event) => {
    if (event.target.value !== "") moveThreshold(Number(event.target.value), "threshold-number");
  });
  byId("threshold-number").value = formatNumber(low, 3);
  byId("threshold-reset").addEventListener("click", () => moveThreshold(-Infinity, null));
}

/** The slider's value with no more decimals than its steps need. Rounded down, so that its low end keeps every pick. */
function roundDown(value) {
  const [low, high] = state.range;
  const unit = 10 ** Math.max(0, Math.ceil(-Math.log10((high - low) / SLIDER_STEPS || 1)));
  return Math.floor(value * unit) / unit;
}

/** Set the threshold; `source` is the id of the control that was moved. Compared as float32, like `cryopick convert --threshold`. */
function moveThreshold(value, source) {
  state.threshold = Math.fround(value);
  const isSet = Number.isFinite(value);
  const [low] = state.range;
  if (source !== "threshold") byId("threshold").value = isSet ? value : low;
  if (source !== "threshold-number") byId("threshold-number").value = String(isSet ? Number(value.toFixed(4)) : Number(low.toFixed(3)));
  const command = byId("threshold-command");
  command.hidden = !isSet;
  command.textContent = isSet ? `cryopick convert ${shellQuoted(report.path)} picks.star --threshold ${value}` : "";
  countPicks();
  drawPanels();
  redrawImages();
}

const shellQuoted = (path) => (/^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`);
