// Before and after: the same micrograph twice, moved together, with both sets of picks.

import { bindKeys } from "./keys.js";
import { Overlay } from "./overlay.js";
import { ask } from "./sync.js";
import { Threshold } from "./threshold.js";
import { TileLayer } from "./tiles.js";
import { View } from "./view.js";

const KINDS = {
  agreed: ["#4fc3b5", "in both"],
  only: ["#ffb454", "only here"],
  right: ["#4fc3b5", "right"],
  false: ["#ffb454", "false"],
  missed: ["#ff6ad5", "missed"],
};
const SIDES = ["before", "after"];
const BLUR = 0.0375; // of the diameter: details down to a fifth of it stay

class Comparison {
  constructor() {
    this.view = new View();
    this.sides = SIDES.map((name) => ({
      name,
      tiles: new TileLayer(element(`image-${name}`), this.view, () => this.redraw()),
      overlay: new Overlay(element(`overlay-${name}`), this.view),
      threshold: new Threshold(
        { canvas: element(`scores-${name}`), slider: element(`slider-${name}`), output: element(`least-${name}`) },
        () => this.count().catch(complain),
        () => this.count().catch(complain),
      ),
    }));
  }

  async start() {
    const [overview, comparison] = await Promise.all([ask("/api/overview"), ask("/api/comparison")]);
    history.replaceState(null, "", location.pathname + location.hash);
    this.tile = overview.tile;
    for (const { name, threshold } of this.sides) {
      threshold.setScores(comparison.scores[name]);
      threshold.show(null);
    }
    element("folder").textContent = `${overview.title} → ${comparison.title}`;
    this.fill(comparison);
    this.bind();
    const asked = Number(location.hash.slice(1)) - 1;
    const fresh = this.rows.findIndex((row) => row.truth !== null && !row.learnt);
    await this.open(asked >= 0 && asked < this.rows.length ? asked : Math.max(0, fresh));
  }

  fill({ rows, totals }) {
    this.rows = rows;
    this.fillTotals(totals);
    this.fillPairs();
  }

  // What the thresholds ask of the server, empty while both leave all picks.
  get least() {
    const chosen = this.sides.filter(({ threshold }) => threshold.scores && threshold.value > threshold.scores.low);
    return new URLSearchParams(chosen.map(({ name, threshold }) => [name, threshold.value])).toString();
  }

  // Count again at the present thresholds; one request at a time, and what was asked for meanwhile is counted next.
  async count() {
    this.stale = true;
    if (this.counting) return;
    this.counting = true;
    try {
      while (this.stale) {
        this.stale = false;
        const { index, least } = this;
        const [comparison, both] = await Promise.all([ask(`/api/comparison?${least}`), ask(`/api/comparison/${index}?${least}`)]);
        this.fill(comparison);
        if (index === this.index) this.both = both;
        this.showBar();
        this.redraw();
      }
    } finally {
      this.counting = false;
    }
  }

  fillTotals(totals) {
    const lines = totals.filter((total) => total.micrographs).flatMap((total) => {
      const label = `${total.micrographs} ${total.learnt ? "learnt from" : "not used"}`;
      return SIDES.map((side, place) => line([place ? "" : label, side, ...["precision", "recall", "f1"].map((name) => ratio(total[side][name]))]));
    });
    element("totals").tBodies[0].replaceChildren(...lines);
    element("totals").hidden = lines.length === 0;
    const fresh = totals.some((total) => !total.learnt && total.micrographs);
    element("note").textContent = fresh
      ? "“Not used” are reviewed micrographs that nothing was learnt from."
      : "For honest numbers, review a few micrographs that nothing was learnt from.";
  }

  fillPairs() {
    const lines = this.rows.map((row, index) => {
      const [before, after] = [row.beforeScore?.f1 ?? null, row.afterScore?.f1 ?? null];
      const made = line([row.name, row.before, row.after, row.agreed, ratio(before), ratio(after)]);
      made.title = row.learnt ? `${row.name} (learnt from)` : row.name;
      if (before !== null && after !== null && before !== after) made.lastChild.className = after > before ? "better" : "worse";
      made.addEventListener("click", () => this.open(index));
      return made;
    });
    element("pairs").tBodies[0].replaceChildren(...lines);
  }

  async open(index) {
    if (index < 0 || index >= this.rows.length) return;
    const [detail, both] = await Promise.all([ask(`/api/micrographs/${index}`), ask(`/api/comparison/${index}?${this.least}`)]);
    this.index = index;
    history.replaceState(null, "", `#${index + 1}`);
    if (!detail.shape) throw new Error(detail.error);
    Object.assign(this, { detail, both });
    const blur = detail.diameter ? Math.round(detail.diameter * BLUR * 10) / 10 : 0;
    const source = { index, kind: "plain", blur, shape: detail.shape, levels: detail.levels, first: 0, tile: this.tile };
    for (const side of this.sides) side.tiles.show(source);
    this.resize();
    this.view.fit(detail.shape);
    this.showBar();
    this.redraw();
  }

  showBar() {
    const { both, rows, index } = this;
    element("name").textContent = rows[index].name;
    for (const name of SIDES) element(`title-${name}`).textContent = `${name}: ${both[name].xy.length} picks`;
    const kinds = both.judged ? ["right", "false", "missed"] : ["agreed", "only"];
    element("legend").replaceChildren(...kinds.map((kind) => {
      const mark = document.createElement("i");
      mark.style.borderColor = KINDS[kind][0];
      const item = document.createElement("span");
      item.append(mark, KINDS[kind][1]);
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
    const picks = xy.map(([x, y], place) => ({ x, y, colour: KINDS[kinds[place]][0] }));
    const gone = missed.map(([x, y]) => ({ x, y, colour: KINDS.missed[0] }));
    const radius = this.detail.diameter ? this.detail.diameter / 2 : Math.max(...this.detail.shape) / 100;
    return { picks: [...picks, ...gone], radius, range: [0, 0], areas: this.detail.areas };
  }

  resize() {
    const { clientWidth, clientHeight } = element("overlay-before");
    this.view.resize(clientWidth, clientHeight);
    this.redraw();
  }

  bind() {
    const go = (step) => this.open(this.index + step).catch(complain);
    element("previous").addEventListener("click", () => go(-1));
    element("next").addEventListener("click", () => go(1));
    bindKeys([
      { keys: ["n", "ArrowRight"], run: () => go(1) },
      { keys: ["p", "ArrowLeft"], run: () => go(-1) },
      { keys: ["f", "0"], run: () => (this.view.fit(), this.redraw()) },
    ]);
    for (const name of SIDES) this.bindCanvas(element(`overlay-${name}`));
    new ResizeObserver(() => this.resize()).observe(element("stage"));
  }

  bindCanvas(canvas) {
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.view.zoom(Math.exp(-Math.max(-240, Math.min(240, event.deltaY)) / 320), event.offsetX, event.offsetY);
      this.redraw();
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
    canvas.addEventListener("pointermove", (event) => {
      if (!event.buttons) return;
      this.view.pan(event.movementX, event.movementY);
      this.redraw();
    });
  }
}

function line(cells) {
  const row = document.createElement("tr");
  row.append(...cells.map((text) => Object.assign(document.createElement("td"), { textContent: text })));
  return row;
}

function ratio(value) {
  return value === null ? "–" : value.toFixed(3);
}

function complain(error) {
  Object.assign(element("message"), { textContent: error.message, hidden: false });
}

function element(id) {
  return document.getElementById(id);
}

new Comparison().start().catch(complain);
