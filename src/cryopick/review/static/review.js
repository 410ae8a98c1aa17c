// Entry of the review page (review.html): connects the image, the picks, the tools, the list and the server.

import { DisplayPanel } from "./display-panel.js";
import { counted, element, formatCount } from "./dom.js";
import { bindExport } from "./export.js";
import { keyTable } from "./key-table.js";
import { bindKeys, fillHelp } from "./keyboard.js";
import { isOpen, MicrographList } from "./micrograph-list.js";
import { Overlay } from "./overlay.js";
import { drawScaleBar } from "./scale-bar.js";
import { request, Sync } from "./sync.js";
import { ThresholdSlider } from "./threshold.js";
import { TileLayer } from "./tiles.js";
import { HINTS, Tools } from "./tools.js";
import { Viewport } from "./viewport.js";

const DEFAULT_RADIUS = 1 / 100; // of the longest side, where the diameter is unknown
const MESSAGE_TIME = 6000; // ms

class ReviewPage {
  constructor() {
    this.viewport = new Viewport();
    this.detail = null; // the micrograph that is shown
    this.index = null; // its index
    this.target = null; // the index of the micrograph that is shown or being loaded
    this.picks = [];
    this.sharedThreshold = null; // of all micrographs without one of their own
    this.draggedThreshold = null; // while the slider moves
    this.tiles = new TileLayer(element("image"), this.viewport, () => this.redraw());
    this.overlay = new Overlay(element("overlay"), this.viewport);
    this.tools = new Tools(element("overlay"), this.viewport, this);
    this.panel = new DisplayPanel(() => this.showImage());
    this.list = new MicrographList(element("rows"), (index) => this.open(index));
    this.threshold = new ThresholdSlider(
      { canvas: element("histogram"), slider: element("threshold"), output: element("threshold-value") },
      (value) => this.dragThreshold(value),
      (value) => this.setThreshold(value),
    );
    this.sync = new Sync({
      onState: (detail) => this.receive(detail),
      onRefused: (error) => this.showError(error),
      onWaiting: (count, lost) => this.showSaved(count, lost),
      onChanges: (changes) => this.merge(changes),
    });
  }

  async start() {
    const overview = await request("/api/overview");
    history.replaceState(null, "", location.pathname + location.hash); // the token is in a cookie from now on
    this.tileSide = overview.tile;
    this.sharedThreshold = overview.threshold;
    element("folder").textContent = element("folder").title = overview.title;
    document.title = `${overview.title} – cryopick review`;
    this.threshold.setScores(overview.scores);
    this.list.fill(overview.rows);
    this.showProgress();
    bindExport(overview, (error) => this.showError(error));
    this.bindControls();
    new ResizeObserver(() => this.resize()).observe(element("stage"));
    this.resize();
    const linked = Number(location.hash.slice(1)) - 1;
    await this.open(linked >= 0 && linked < overview.rows.length ? linked : 0);
    this.sync.startPolling(overview.entryCount);
  }

  get ready() {
    return Boolean(this.detail?.shape);
  }

  get radius() {
    return this.detail.diameter ? this.detail.diameter / 2 : Math.max(...this.detail.shape) * DEFAULT_RADIUS;
  }

  get currentThreshold() {
    return this.draggedThreshold ?? this.detail.threshold ?? this.sharedThreshold;
  }

  keptPicks() {
    const least = this.currentThreshold;
    return least === null ? this.picks : this.picks.filter((pick) => pick.hand || pick.score === null || pick.score >= Math.fround(least));
  }

  shownPicks() {
    return this.ready && this.panel.look.circles ? this.keptPicks() : [];
  }

  areas() {
    return this.detail?.areas ?? [];
  }

  // Loading and receiving

  async open(index) {
    if (index === null) return;
    this.target = index;
    let detail;
    try {
      detail = await request(`/api/micrographs/${index}`);
    } catch (error) {
      if (this.target === index) this.target = this.index;
      this.showError(error);
      return;
    }
    if (this.target !== index) return; // another one was asked for meanwhile
    this.index = index;
    history.replaceState(null, "", `#${index + 1}`);
    this.tools.cancel();
    this.receive(detail);
    this.list.mark(index);
    if (this.ready) {
      this.viewport.fit(detail.shape);
      this.panel.describe(detail);
      this.showImage();
      this.preloadNext();
    } else {
      this.tiles.show(null);
      this.showError(new Error(detail.error));
    }
  }

  // Take the state of a micrograph from the server; an older state than the one that is shown is ignored.
  receive(detail) {
    if (detail.index === this.detail?.index && detail.revision < this.detail.revision) return;
    this.sharedThreshold = detail.sharedThreshold;
    this.list.update(detail.index, detail.row);
    this.showProgress();
    if (detail.index !== this.index) return;
    this.detail = detail;
    const { number, x, y, score, hand } = detail.picks;
    this.picks = number.map((value, place) => ({ number: value, x: x[place], y: y[place], score: score[place], hand: hand[place] }));
    this.draggedThreshold = null;
    this.threshold.show(this.currentThreshold);
    this.showBar();
    this.redraw();
  }

  merge(changes) {
    this.sharedThreshold = changes.threshold;
    for (const [index, row] of Object.entries(changes.rows)) this.list.update(Number(index), row);
    this.showProgress();
    const own = changes.rows[this.index];
    if (own && own.revision !== this.detail?.revision && this.sync.idle) this.refresh();
  }

  async refresh() {
    const detail = await request(`/api/micrographs/${this.index}`).catch(() => null); // without an answer, the next poll tries again
    if (detail && this.sync.idle && detail.index === this.index) this.receive(detail);
  }

  // Editing

  edit(edit) {
    if (this.detail) this.sync.send(this.index, () => ({ edit }));
  }

  undo() {
    this.sendForRevision("undo");
  }

  redo() {
    this.sendForRevision("redo");
  }

  // `kind` applies to the state that the edits before it lead to.
  sendForRevision(kind) {
    const { index } = this;
    if (this.detail) this.sync.send(index, () => ({ [kind]: true, revision: this.index === index ? this.detail.revision : -1 }));
  }

  dragThreshold(value) {
    if (!this.detail) return;
    this.draggedThreshold = value;
    this.showBar();
    this.redraw();
  }

  setThreshold(value) {
    this.draggedThreshold = value;
    this.edit({ type: "threshold", value });
  }

  markReviewed() {
    if (!this.detail) return;
    this.edit({ type: "reviewed", value: true });
    this.open(this.list.nextOpen(this.index));
  }

  toggleReviewed() {
    this.edit({ type: "reviewed", value: !this.detail?.reviewed });
  }

  toggleBad() {
    this.edit({ type: "bad", value: !this.detail?.bad });
  }

  // Display

  resize() {
    const { clientWidth, clientHeight } = element("stage");
    const isFitted = !this.ready || Math.abs(this.viewport.scale / this.viewport.fitScale() - 1) < 0.01;
    this.viewport.resize(clientWidth, clientHeight);
    if (isFitted && this.ready) this.viewport.fit();
    this.redraw();
  }

  tileSource(detail) {
    const denoised = this.panel.look.view === "denoised";
    const { index, shape, levels } = detail;
    const first = denoised ? detail.denoisedFrom : 0;
    return { index, kind: denoised ? "denoised" : "plain", blur: this.panel.blur, shape, levels, first, tile: this.tileSide };
  }

  showImage() {
    if (!this.ready) return;
    this.tiles.show(this.tileSource(this.detail));
    this.redraw();
  }

  async preloadNext() {
    const next = this.list.step(this.index, 1, isOpen);
    if (next === null || this.panel.look.view === "denoised") return;
    const detail = await request(`/api/micrographs/${next}`).catch(() => null);
    if (detail?.shape) this.tiles.preload(this.tileSource(detail));
  }

  // Draw everything in the next frame; until all tiles are drawn, the stage is busy.
  redraw() {
    element("stage").setAttribute("aria-busy", "true");
    if (this.pending) return;
    this.pending = requestAnimationFrame(() => {
      this.pending = null;
      this.tiles.draw();
      this.overlay.draw(this.scene());
      drawScaleBar(element("scale"), this.viewport, this.detail);
      element("loading").hidden = this.tiles.hasImage;
      element("stage").setAttribute("aria-busy", String(!this.tiles.complete));
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
    const kept = this.keptPicks().length;
    const originally = kept === detail.originalCount ? "" : `, originally ${formatCount(detail.originalCount)}`;
    element("name").textContent = detail.row.name;
    element("count").textContent = `${counted(kept, "pick")}${originally} · ${formatCount(this.index + 1)} of ${formatCount(this.list.rows.length)}`;
    const kind = ["bad", "reviewed", "edited"].find((name) => detail.row[name]) ?? "";
    Object.assign(element("state"), { textContent: kind, className: `chip ${kind}` });
    element("undo").disabled = !detail.canUndo;
    element("redo").disabled = !detail.canRedo;
    element("bad").firstChild.textContent = detail.bad ? "Unmark as bad " : "Mark as bad ";
    element("threshold-scope").textContent = detail.reviewed ? "For this reviewed micrograph only." : "For all micrographs that are not reviewed yet.";
  }

  showProgress() {
    const { rows } = this.list;
    const done = rows.filter((row) => !isOpen(row)).length;
    element("progress").textContent = `${formatCount(done)} of ${formatCount(rows.length)} reviewed`;
    element("progress-bar").style.width = `${(100 * done) / Math.max(1, rows.length)}%`;
  }

  showSaved(count, lost) {
    const offline = count ? `No connection: ${counted(count, "edit")} waiting` : "No connection";
    const text = lost ? offline : count ? "Saving …" : "Saved";
    Object.assign(element("saved"), { textContent: text, className: lost ? "lost" : count ? "waiting" : "" });
  }

  showPosition(at) {
    element("position").textContent = at && this.ready ? at.map((value) => Math.round(value)).join(", ") : "";
  }

  showError(error) {
    const box = element("message");
    box.textContent = error.message;
    box.hidden = false;
    clearTimeout(this.messageTimer);
    if (error.status !== 403) this.messageTimer = setTimeout(() => (box.hidden = true), MESSAGE_TIME);
    this.draggedThreshold = null;
    if (error.now) this.receive(error.now);
  }

  // Buttons and keys

  step(direction) {
    this.open(this.list.step(this.target, direction));
  }

  chooseTool(tool) {
    this.tools.choose(tool);
    for (const button of element("tools").children) button.setAttribute("aria-pressed", button.dataset.tool === tool);
    element("hint").textContent = HINTS[tool];
    element("overlay").style.cursor = tool === "hand" ? "grab" : "crosshair";
  }

  zoom(factor) {
    this.viewport.zoom(factor);
    this.redraw();
  }

  bindControls() {
    const on = (id, run) => element(id).addEventListener("click", run);
    on("previous", () => this.step(-1));
    on("next", () => this.step(1));
    on("undo", () => this.undo());
    on("redo", () => this.redo());
    on("help-button", () => element("help").showModal());
    on("reviewed", () => this.markReviewed());
    on("bad", () => this.toggleBad());
    element("tools").addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) this.chooseTool(button.dataset.tool);
    });
    for (const dialog of document.querySelectorAll("dialog")) {
      dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    }
    const table = keyTable(this);
    bindKeys(table);
    fillHelp(element("help-keys"), table);
    this.chooseTool("edit");
  }
}

const page = new ReviewPage();
page.start().catch((error) => page.showError(error));
