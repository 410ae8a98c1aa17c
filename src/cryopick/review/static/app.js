// The review page: brings picture, picks, tools, list and server together.

import { bindKeys, fillHelp } from "./keys.js";
import { isOpen, List } from "./list.js";
import { Overlay } from "./overlay.js";
import { Panel } from "./panel.js";
import { bindResult } from "./result.js";
import { showScale } from "./scale.js";
import { ask, Sync } from "./sync.js";
import { Threshold } from "./threshold.js";
import { TileLayer } from "./tiles.js";
import { HINTS, Tools } from "./tools.js";
import { View } from "./view.js";

const UNKNOWN_RADIUS = 1 / 100; // of the longest side, where nobody knows the diameter
const MESSAGE = 6000; // ms

class App {
  constructor() {
    this.view = new View();
    this.detail = null;
    this.picks = [];
    this.general = null; // threshold of all micrographs
    this.dragged = null; // threshold while its slider moves
    this.tiles = new TileLayer(element("image"), this.view, () => this.redraw());
    this.overlay = new Overlay(element("overlay"), this.view);
    this.tools = new Tools(element("overlay"), this.view, this);
    this.panel = new Panel(() => this.showPicture());
    this.list = new List(element("rows"), (index) => this.open(index));
    this.threshold = new Threshold(
      { canvas: element("histogram"), slider: element("threshold"), output: element("threshold-value") },
      (value) => this.dragThreshold(value),
      (value) => this.setThreshold(value),
    );
    this.sync = new Sync({
      onState: (detail) => this.take(detail),
      onConflict: (error) => this.complain(error),
      onWaiting: (count, lost) => this.showSaved(count, lost),
      onChanges: (changes) => this.merge(changes),
    });
  }

  async start() {
    const set = await ask("/api/overview");
    history.replaceState(null, "", location.pathname + location.hash); // the token is in a cookie now
    this.tile = set.tile;
    this.general = set.threshold;
    element("folder").textContent = element("folder").title = set.title;
    document.title = `${set.title} – cryopick review`;
    this.threshold.setScores(set.scores);
    this.list.fill(set.rows);
    this.showProgress();
    bindResult(set, (error) => this.complain(error));
    this.bindButtons();
    new ResizeObserver(() => this.resize()).observe(element("stage"));
    this.resize();
    const asked = Number(location.hash.slice(1)) - 1;
    await this.open(asked >= 0 && asked < set.rows.length ? asked : 0);
    this.sync.startPolling(set.number);
  }

  get ready() {
    return Boolean(this.detail?.shape);
  }

  get radius() {
    return this.detail.diameter ? this.detail.diameter / 2 : Math.max(...this.detail.shape) * UNKNOWN_RADIUS;
  }

  get least() {
    return this.dragged ?? this.detail.threshold ?? this.general;
  }

  shownPicks() {
    if (!this.ready || !this.panel.look.circles) return [];
    const least = this.least;
    return least === null ? this.picks : this.picks.filter((pick) => pick.hand || pick.score === null || pick.score >= Math.fround(least));
  }

  areas() {
    return this.detail?.areas ?? [];
  }

  // Opening and receiving

  async open(index) {
    if (index === null) return;
    this.opening = index;
    let detail;
    try {
      detail = await ask(`/api/micrographs/${index}`);
    } catch (error) {
      this.complain(error);
      return;
    }
    if (this.opening !== index) return;
    this.index = index;
    history.replaceState(null, "", `#${index + 1}`);
    this.tools.cancel();
    this.take(detail);
    this.list.mark(index);
    if (this.ready) {
      this.view.fit(detail.shape);
      this.panel.describe(detail);
      this.showPicture();
      this.warmNext();
    } else {
      this.tiles.show(null);
      this.complain(new Error(detail.error));
    }
  }

  take(detail) {
    this.general = detail.general;
    this.list.update(detail.index, detail.row);
    this.showProgress();
    if (detail.index !== this.index) return;
    this.detail = detail;
    const { number, x, y, score, hand } = detail.picks;
    this.picks = number.map((value, place) => ({ number: value, x: x[place], y: y[place], score: score[place], hand: hand[place] }));
    this.dragged = null;
    this.threshold.show(this.least);
    this.showBar();
    this.redraw();
  }

  merge(changes) {
    this.general = changes.threshold;
    for (const [index, row] of Object.entries(changes.rows)) this.list.update(Number(index), row);
    this.showProgress();
    const own = changes.rows[this.index];
    if (own && own.revision !== this.detail?.revision && this.sync.idle) this.refresh();
  }

  async refresh() {
    const detail = await ask(`/api/micrographs/${this.index}`);
    if (this.sync.idle && detail.index === this.index) this.take(detail);
  }

  // Editing

  edit(edit) {
    this.sync.send(this.index, () => ({ edit }));
  }

  stepBack(kind) {
    const index = this.index;
    this.sync.send(index, () => ({ [kind]: true, revision: this.index === index ? this.detail.revision : -1 }));
  }

  dragThreshold(value) {
    this.dragged = value;
    this.showBar();
    this.redraw();
  }

  setThreshold(value) {
    this.dragged = value;
    this.edit({ type: "threshold", value });
  }

  review() {
    this.edit({ type: "reviewed", value: true });
    this.open(this.list.nextOpen(this.index));
  }

  unreview() {
    this.edit({ type: "reviewed", value: !this.detail.reviewed });
  }

  markBad() {
    this.edit({ type: "bad", value: !this.detail.bad });
  }

  // Showing

  resize() {
    const { clientWidth, clientHeight } = element("stage");
    const whole = !this.ready || Math.abs(this.view.scale / this.view.fitScale() - 1) < 0.01;
    this.view.resize(clientWidth, clientHeight);
    if (whole && this.ready) this.view.fit();
    this.redraw();
  }

  source(detail) {
    const denoised = this.panel.look.view === "denoised";
    const { index, shape, levels } = detail;
    const first = denoised ? detail.denoisedFrom : 0;
    return { index, kind: denoised ? "denoised" : "plain", blur: this.panel.blur, shape, levels, first, tile: this.tile };
  }

  showPicture() {
    if (!this.ready) return;
    this.tiles.show(this.source(this.detail));
    this.redraw();
  }

  async warmNext() {
    const next = this.list.step(this.index, 1, isOpen);
    if (next === null || this.panel.look.view === "denoised") return;
    const detail = await ask(`/api/micrographs/${next}`).catch(() => null);
    if (detail?.shape) this.tiles.warm(this.source(detail));
  }

  redraw() {
    if (this.pending) return;
    this.pending = requestAnimationFrame(() => {
      this.pending = null;
      this.tiles.draw();
      this.overlay.draw(this.scene());
      showScale(element("scale"), this.view, this.detail);
      element("loading").hidden = this.tiles.arrived;
    });
  }

  scene() {
    if (!this.ready) return null;
    const { moving, ...previews } = this.tools.previews;
    const picks = this.shownPicks().map((pick) => (pick.number === moving?.number ? { ...pick, ...moving, hand: true } : pick));
    return { picks, radius: this.radius, range: this.threshold.range, areas: this.areas(), ...previews };
  }

  showBar() {
    const { detail } = this;
    const shown = this.shownPicks().length;
    element("name").textContent = detail.row.name;
    element("count").textContent = `${shown.toLocaleString("en")} of ${detail.found.toLocaleString("en")} found · ${this.index + 1} / ${this.list.rows.length}`;
    const kind = ["bad", "reviewed", "touched"].find((name) => detail.row[name]) ?? "";
    Object.assign(element("state"), { textContent: kind === "touched" ? "edited" : kind, className: `chip ${kind}` });
    element("undo").disabled = !detail.canUndo;
    element("redo").disabled = !detail.canRedo;
    element("bad").firstChild.textContent = detail.bad ? "Not bad after all " : "Mark as bad ";
    element("threshold-scope").textContent = detail.reviewed ? "For this reviewed micrograph alone." : "For all micrographs that are not reviewed yet.";
  }

  showProgress() {
    const { rows } = this.list;
    const done = rows.filter((row) => !isOpen(row)).length;
    element("progress").textContent = `${done.toLocaleString("en")} of ${rows.length.toLocaleString("en")} reviewed`;
    element("progress-bar").style.width = `${(100 * done) / Math.max(1, rows.length)}%`;
  }

  showSaved(count, lost) {
    const words = lost ? `No connection${count ? `: ${count} edit${count === 1 ? "" : "s"} wait` : ""}` : count ? "Saving …" : "Saved";
    Object.assign(element("saved"), { textContent: words, className: lost ? "lost" : count ? "waiting" : "" });
  }

  showPlace(at) {
    element("place").textContent = at && this.ready ? at.map((value) => Math.round(value)).join(", ") : "";
  }

  complain(error) {
    const box = element("message");
    box.textContent = error.message;
    box.hidden = false;
    clearTimeout(this.messageTimer);
    if (error.status !== 403) this.messageTimer = setTimeout(() => (box.hidden = true), MESSAGE);
    this.dragged = null;
    if (error.now) this.take(error.now);
  }

  // Buttons and keys

  choose(tool) {
    this.tools.choose(tool);
    for (const button of element("tools").children) button.setAttribute("aria-pressed", button.dataset.tool === tool);
    element("hint").textContent = HINTS[tool];
    element("overlay").style.cursor = tool === "hand" ? "grab" : "crosshair";
  }

  zoom(factor) {
    this.view.zoom(factor);
    this.redraw();
  }

  bindButtons() {
    const on = (id, run) => element(id).addEventListener("click", run);
    on("previous", () => this.open(this.list.step(this.index, -1)));
    on("next", () => this.open(this.list.step(this.index, 1)));
    on("undo", () => this.stepBack("undo"));
    on("redo", () => this.stepBack("redo"));
    on("help-button", () => element("help").showModal());
    on("reviewed", () => this.review());
    on("bad", () => this.markBad());
    element("tools").addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) this.choose(button.dataset.tool);
    });
    for (const dialog of document.querySelectorAll("dialog")) {
      dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    }
    const table = this.keys();
    bindKeys(table);
    fillHelp(element("help-keys"), table);
    this.choose("edit");
  }

  keys() {
    return [
      { keys: ["Enter"], help: "Reviewed, on to the next one to review", run: () => this.review() },
      { keys: ["r"], help: "Reviewed or not, and stay", run: () => this.unreview() },
      { keys: ["m"], help: "Mark as bad, or not", run: () => this.markBad() },
      { keys: ["n", "ArrowRight"], help: "Next micrograph", run: () => this.open(this.list.step(this.index, 1)) },
      { keys: ["p", "ArrowLeft"], help: "Previous micrograph", run: () => this.open(this.list.step(this.index, -1)) },
      { keys: ["u"], help: "Next one to review", run: () => this.open(this.list.nextOpen(this.index)) },
      { keys: ["z", "Ctrl+z"], help: "Undo", run: () => this.stepBack("undo") },
      { keys: ["Shift+z", "Ctrl+Shift+z", "Ctrl+y"], help: "Redo", run: () => this.stepBack("redo") },
      { keys: ["x", "Delete"], help: "Remove the pick under the pointer", run: () => this.tools.removeHovered() },
      { keys: [",", "ArrowDown"], help: "Lower threshold", run: () => this.threshold.nudge(-1) },
      { keys: [".", "ArrowUp"], help: "Higher threshold", run: () => this.threshold.nudge(1) },
      { keys: ["e"], help: "Edit picks", run: () => this.choose("edit") },
      { keys: ["l"], help: "Lasso", run: () => this.choose("lasso") },
      { keys: ["b"], help: "Brush for bad areas", run: () => this.choose("brush") },
      { keys: ["["], help: "Smaller brush", run: () => this.tools.resizeBrush(1 / 1.25) },
      { keys: ["]"], help: "Larger brush", run: () => this.tools.resizeBrush(1.25) },
      { keys: ["h"], help: "Hand", run: () => this.choose("hand") },
      { keys: ["1"], help: "Plain", run: () => this.panel.set("view", "plain") },
      { keys: ["2"], help: "Low-pass", run: () => this.panel.set("view", "lowpass") },
      { keys: ["3"], help: "Denoised", run: () => this.panel.set("view", "denoised") },
      { keys: ["i"], help: "Invert", run: () => this.panel.toggle("invert") },
      { keys: ["c"], help: "Picks shown or hidden", run: () => this.panel.toggle("circles") },
      { keys: ["+", "="], help: "Closer", run: () => this.zoom(1.3) },
      { keys: ["-"], help: "Further", run: () => this.zoom(1 / 1.3) },
      { keys: ["f", "0"], help: "Whole micrograph", run: () => (this.view.fit(), this.redraw()) },
      { keys: ["/"], help: "Find a micrograph", run: () => element("search").focus() },
      { keys: ["?"], help: "These keys", run: () => element("help").showModal() },
      { keys: ["Escape"], run: () => this.tools.cancel() },
    ];
  }
}

function element(id) {
  return document.getElementById(id);
}

const app = new App();
app.start().catch((error) => app.complain(error));
