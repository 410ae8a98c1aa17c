// Entry of the comparison page (compare.html): the same micrograph twice, moved together, with two sets of picks.

import { counted, element } from "./dom.js";
import { bindKeys } from "./keyboard.js";
import { Overlay } from "./overlay.js";
import { request } from "./sync.js";
import { ThresholdSlider } from "./threshold.js";
import { TileLayer } from "./tiles.js";
import { Viewport } from "./viewport.js";

const KINDS = {
  agreed: { colour: "#4fc3b5", label: "in both sets" },
  only: { colour: "#ffb454", label: "only in this set" },
  correct: { colour: "#4fc3b5", label: "correct" },
  false: { colour: "#ffb454", label: "false positive" },
  missed: { colour: "#ff6ad5", label: "missed" },
};
const SIDES = ["before", "after"];
const BLUR = 0.0375; // of the diameter: keeps detail down to a fifth of it
const DEFAULT_RADIUS = 1 / 100; // of the longest side, where the diameter is unknown

class ComparePage {
  constructor() {
    this.viewport = new Viewport();
    this.index = null; // of the micrograph that is shown
    this.target = null; // of the micrograph that is shown or being loaded
    this.sides = SIDES.map((name) => ({
      name,
      tiles: new TileLayer(element(`image-${name}`), this.viewport, () => this.redraw()),
      overlay: new Overlay(element(`overlay-${name}`), this.viewport),
      threshold: new ThresholdSlider(
        { canvas: element(`scores-${name}`), slider: element(`slider-${name}`), output: element(`threshold-${name}`) },
        () => this.update().catch(showError),
        () => this.update().catch(showError),
      ),
    }));
  }

  async start() {
    const [overview, comparison] = await Promise.all([request("/api/overview"), request("/api/comparison")]);
    history.replaceState(null, "", location.pathname + location.hash); // the token is in a cookie from now on
    this.tileSide = overview.tile;
    for (const { name, threshold } of this.sides) {
      threshold.setScores(comparison.scores[name]);
      threshold.show(null);
    }
    element("folder").textContent = `${overview.title} → ${comparison.title}`;
    this.fill(comparison);
    this.query = this.thresholdQuery; // of what is shown
    const linked = Number(location.hash.slice(1)) - 1;
    const firstTest = this.rows.findIndex((row) => row.truth !== null && !row.trainedOn);
    this.target = linked >= 0 && linked < this.rows.length ? linked : Math.max(0, firstTest);
    this.bindControls();
    await this.update();
  }

  fill({ rows, totals }) {
    this.rows = rows;
    this.fillTotals(totals);
    this.fillPairs();
  }

  // The thresholds as a query; empty while both sets are complete.
  get thresholdQuery() {
    const chosen = this.sides.filter(({ threshold }) => threshold.scores && threshold.value > threshold.scores.low);
    return new URLSearchParams(chosen.map(({ name, threshold }) => [name, threshold.value])).toString();
  }

  open(index) {
    if (index < 0 || index >= this.rows.length) return;
    this.target = index;
    this.update().catch(showError);
  }

  // Load the target micrograph and all counts at the present thresholds. One update runs at a time; what changes in the meantime is
  // loaded next, so that the page always ends with what was asked for last.
  async update() {
    this.stale = true;
    if (this.updating) return;
    this.updating = true;
    try {
      while (this.stale) {
        this.stale = false;
        await this.load(this.target, this.thresholdQuery);
      }
    } finally {
      this.updating = false;
    }
  }

  async load(index, query) {
    const changed = query !== this.query;
    const [comparison, both, detail] = await Promise.all([
      changed ? request(`/api/comparison?${query}`) : null,
      request(`/api/comparison/${index}?${query}`),
      index === this.index ? this.detail : request(`/api/micrographs/${index}`),
    ]);
    if (comparison) this.fill(comparison);
    if (!detail.shape) throw new Error(detail.error);
    Object.assign(this, { both, detail, query });
    element("message").hidden = true;
    if (index !== this.index) this.showMicrograph(index);
    this.showBar();
    this.redraw();
  }

  showMicrograph(index) {
    const { detail } = this;
    this.index = index;
    history.replaceState(null, "", `#${index + 1}`);
    const blur = detail.diameter ? Math.round(detail.diameter * BLUR * 10) / 10 : 0;
    const source = { index, kind: "plain", blur, shape: detail.shape, levels: detail.levels, first: 0, tile: this.tileSide };
    for (const side of this.sides) side.tiles.show(source);
    this.resize();
    this.viewport.fit(detail.shape);
  }

  fillTotals(totals) {
    const lines = totals.filter((total) => total.micrographs).flatMap((total) => {
      const labels = [counted(total.micrographs, "micrograph"), total.trainedOn ? "used for training" : "not used for training"];
      return SIDES.map((side, place) => tableRow([labels[place], side, ...["precision", "recall", "f1"].map((name) => ratio(total[side][name]))]));
    });
    element("totals").tBodies[0].replaceChildren(...lines);
    element("totals").hidden = lines.length === 0;
    const hasTest = totals.some((total) => !total.trainedOn && total.micrographs);
    element("note").hidden = hasTest;
  }

  fillPairs() {
    const lines = this.rows.map((row, index) => {
      const [before, after] = [row.beforeScore?.f1 ?? null, row.afterScore?.f1 ?? null];
      const made = tableRow([row.name, row.before, row.after, row.agreed, ratio(before), ratio(after)]);
      made.title = row.trainedOn ? `${row.name} (used for training)` : row.name;
      if (before !== null && after !== null && before !== after) made.lastChild.className = after > before ? "better" : "worse";
      made.addEventListener("click", () => this.open(index));
      return made;
    });
    element("pairs").tBodies[0].replaceChildren(...lines);
  }

  showBar() {
    const { both, rows, index } = this;
    element("name").textContent = rows[index].name;
    for (const name of SIDES) element(`title-${name}`).textContent = `${name}: ${counted(both[name].xy.length, "pick")}`;
    const kinds = both.hasTruth ? ["correct", "false", "missed"] : ["agreed", "only"];
    element("legend").replaceChildren(...kinds.map((kind) => {
      const mark = document.createElement("i");
      mark.style.borderColor = KINDS[kind].colour;
      const item = document.createElement("span");
      item.append(mark, KINDS[kind].label);
      return item;
    }));
    const lines = element("pairs").tBodies[0].rows;
    element("pairs").querySelector("[aria-current]")?.removeAttribute("aria-current");
    lines[index].setAttribute("aria-current", "true");
    lines[index].scrollIntoView({ block: "nearest" });
  }

  redraw() {
    if (this.pending) return;
    this.pending = requestAnimationFrame(() => {
      this.pending = null;
      for (const side of this.sides) {
        side.tiles.draw();
        side.overlay.draw(this.detail && this.scene(this.both[side.name]));
      }
    });
  }

  scene({ xy, kinds, missed }) {
    const picks = xy.map(([x, y], place) => ({ x, y, colour: KINDS[kinds[place]].colour }));
    const gone = missed.map(([x, y]) => ({ x, y, colour: KINDS.missed.colour }));
    const radius = this.detail.diameter ? this.detail.diameter / 2 : Math.max(...this.detail.shape) * DEFAULT_RADIUS;
    return { picks: [...picks, ...gone], radius, range: [0, 0], areas: this.detail.areas };
  }

  resize() {
    const { clientWidth, clientHeight } = element("overlay-before");
    this.viewport.resize(clientWidth, clientHeight);
    this.redraw();
  }

  bindControls() {
    const step = (by) => this.open(this.target + by);
    element("previous").addEventListener("click", () => step(-1));
    element("next").addEventListener("click", () => step(1));
    bindKeys([
      { keys: ["n", "ArrowRight"], run: () => step(1) },
      { keys: ["p", "ArrowLeft"], run: () => step(-1) },
      { keys: ["f", "0"], run: () => (this.viewport.fit(), this.redraw()) },
    ]);
    for (const name of SIDES) this.bindCanvas(element(`overlay-${name}`));
    new ResizeObserver(() => this.resize()).observe(element("stage"));
  }

  bindCanvas(canvas) {
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.viewport.zoom(Math.exp(-Math.max(-240, Math.min(240, event.deltaY)) / 320), event.offsetX, event.offsetY);
      this.redraw();
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
    canvas.addEventListener("pointermove", (event) => {
      if (!event.buttons) return;
      this.viewport.pan(event.movementX, event.movementY);
      this.redraw();
    });
  }
}

function tableRow(cells) {
  const row = document.createElement("tr");
  row.append(...cells.map((text) => Object.assign(document.createElement("td"), { textContent: text })));
  return row;
}

function ratio(value) {
  return value === null ? "–" : value.toFixed(3);
}

function showError(error) {
  Object.assign(element("message"), { textContent: error.message, hidden: false });
}

new ComparePage().start().catch(showError);
