// Mouse and pen on the picture: what each tool does with them. A tool draws previews itself and asks `app` for edits.

import { onStroke, rounded, thinned, within } from "./geometry.js";

const CLICK = 4; // screen pixels that a click may wander
const ON_PICK = 0.6; // radii from its centre within which a pick is meant
const LEAST_REACH = 7; // the same in screen pixels, at least

export const HINTS = {
  edit: "Click: add or remove a pick · drag: move it · drag elsewhere: move the picture",
  lasso: "Drag round picks to remove them",
  brush: "Drag to paint a bad area · [ and ] change the size · right click takes an area back",
  hand: "Drag to move the picture",
};

export class Tools {
  constructor(canvas, view, app) {
    Object.assign(this, { canvas, view, app, name: "edit", drag: null, pointer: null, brushRadius: null });
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.up(event));
    canvas.addEventListener("pointercancel", () => this.cancel());
    canvas.addEventListener("pointerleave", () => this.leave());
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
  }

  choose(name) {
    this.cancel();
    this.name = name;
    this.app.redraw();
  }

  cancel() {
    this.drag = null;
    this.app.redraw();
  }

  // What the tool adds to the scene.
  get previews() {
    const { drag, pointer, name } = this;
    const at = pointer && this.view.toImage(...pointer);
    return {
      hover: name === "edit" && !drag?.panning && pointer ? this.pickAt(...pointer) : null,
      lasso: drag?.lasso,
      stroke: drag?.stroke,
      brush: name === "brush" && at ? { x: at[0], y: at[1], radius: this.brush } : null,
      moving: drag?.pick ? { number: drag.pick.number, x: drag.at[0], y: drag.at[1] } : null,
    };
  }

  get brush() {
    return this.brushRadius ?? 1.2 * this.app.radius;
  }

  resizeBrush(factor) {
    this.brushRadius = Math.max(2 / this.view.scale, Math.min(this.brush * factor, Math.max(...this.view.shape) / 3));
    this.app.redraw();
  }

  pickAt(screenX, screenY) {
    const [x, y] = this.view.toImage(screenX, screenY);
    let nearest = null;
    let least = Math.max(ON_PICK * this.app.radius, LEAST_REACH / this.view.scale);
    for (const pick of this.app.shownPicks()) {
      const distance = Math.hypot(pick.x - x, pick.y - y);
      if (distance <= least) [nearest, least] = [pick, distance];
    }
    return nearest;
  }

  down(event) {
    if (!this.app.ready) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.pointer = position(event);
    const start = this.pointer;
    const at = this.view.toImage(...start);
    this.drag = { start, last: start, at, button: event.button, panning: event.button !== 0 || this.name === "hand" };
    if (this.drag.panning) return;
    if (this.name === "lasso") this.drag.lasso = [at];
    else if (this.name === "brush") this.drag.stroke = { points: [at], radius: this.brush };
    else this.drag.candidate = this.pickAt(...start);
    this.app.redraw();
  }

  move(event) {
    this.pointer = position(event);
    const drag = this.drag;
    if (drag) this.pull(drag);
    this.app.showPlace(this.view.toImage(...this.pointer));
    this.app.redraw();
  }

  pull(drag) {
    const [x, y] = this.pointer;
    drag.at = this.view.toImage(x, y);
    drag.wandered ||= Math.hypot(x - drag.start[0], y - drag.start[1]) > CLICK;
    if (drag.lasso) drag.lasso.push(drag.at);
    else if (drag.stroke) drag.stroke.points.push(drag.at);
    else if (drag.candidate && drag.wandered) drag.pick = drag.candidate;
    else if (drag.wandered) {
      drag.panning = true;
      this.view.pan(x - drag.last[0], y - drag.last[1]);
    }
    drag.last = [x, y];
  }

  up(event) {
    const drag = this.drag;
    this.pointer = position(event);
    this.drag = null;
    if (drag) this.finish(drag);
    this.app.redraw();
  }

  finish(drag) {
    if (drag.lasso) this.removeWithin(drag.lasso);
    else if (drag.stroke) this.paint(drag.stroke);
    else if (drag.pick) this.movePick(drag.pick, drag.at);
    else if (!drag.wandered && drag.button === 2) this.takeBackAt(drag);
    else if (!drag.wandered && this.name === "edit" && drag.button === 0) this.click(drag);
  }

  click({ candidate, at }) {
    if (candidate) this.app.edit({ type: "remove", picks: [candidate.number] });
    else if (this.view.contains(at)) this.app.edit({ type: "add", x: rounded(at[0]), y: rounded(at[1]) });
  }

  movePick(pick, at) {
    if (this.view.contains(at)) this.app.edit({ type: "move", pick: pick.number, x: rounded(at[0]), y: rounded(at[1]) });
  }

  removeWithin(polygon) {
    const picks = this.app.shownPicks().filter(({ x, y }) => within(polygon, x, y)).map(({ number }) => number);
    if (picks.length) this.app.edit({ type: "remove", picks });
  }

  paint({ points, radius }) {
    this.app.edit({ type: "paint", radius: rounded(radius), points: thinned(points, radius / 5) });
  }

  takeBackAt({ start, at }) {
    const pick = this.pickAt(...start);
    const area = this.app.areas().findLast((one) => onStroke(one, ...at));
    if (pick && this.name === "edit") this.app.edit({ type: "remove", picks: [pick.number] });
    else if (area) this.app.edit({ type: "erase", area: area.area });
  }

  removeHovered() {
    const pick = this.pointer && this.pickAt(...this.pointer);
    if (pick) this.app.edit({ type: "remove", picks: [pick.number] });
  }

  leave() {
    if (this.drag) return;
    this.pointer = null;
    this.app.showPlace(null);
    this.app.redraw();
  }

  wheel(event) {
    event.preventDefault();
    const pixels = event.deltaY * (event.deltaMode ? 30 : 1);
    this.view.zoom(Math.exp(-Math.max(-240, Math.min(240, pixels)) / 320), ...position(event));
    this.app.redraw();
  }
}

function position(event) {
  return [event.offsetX, event.offsetY];
}
