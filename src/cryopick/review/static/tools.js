// The tools for mouse and pen on the image. They give the overlay their previews and pass edits to the page.

import { isInside, isOnStroke, rounded, simplify } from "./geometry.js";

const CLICK_DISTANCE = 4; // screen pixels that the pointer may move during a click
const PICK_REACH = 0.6; // a click this close to the centre of a pick hits it, in radii
const LEAST_PICK_REACH = 7; // the same in screen pixels, at least

export const HINTS = {
  edit: "Click: add or remove a pick · drag a pick: move it · drag elsewhere: move the image",
  lasso: "Drag around picks to remove them",
  brush: "Drag to paint a bad area · [ and ] change the brush · right-click an area to remove it",
  hand: "Drag to move the image",
};

export class Tools {
  constructor(canvas, viewport, page) {
    Object.assign(this, { canvas, viewport, page, name: "edit", drag: null, pointer: null, brushRadius: null });
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
    this.page.redraw();
  }

  cancel() {
    this.drag = null;
    this.page.redraw();
  }

  // What the tool adds to the overlay.
  get previews() {
    const { drag, pointer, name } = this;
    const at = pointer && this.viewport.toImage(...pointer);
    return {
      hover: name === "edit" && !drag?.panning && pointer ? this.pickAt(...pointer) : null,
      lasso: drag?.lasso,
      stroke: drag?.stroke,
      brush: name === "brush" && at ? { x: at[0], y: at[1], radius: this.brush } : null,
      moving: drag?.pick ? { number: drag.pick.number, x: drag.at[0], y: drag.at[1] } : null,
    };
  }

  get brush() {
    return this.brushRadius ?? 1.2 * this.page.radius;
  }

  resizeBrush(factor) {
    this.brushRadius = Math.max(2 / this.viewport.scale, Math.min(this.brush * factor, Math.max(...this.viewport.shape) / 3));
    this.page.redraw();
  }

  pickAt(screenX, screenY) {
    const [x, y] = this.viewport.toImage(screenX, screenY);
    let nearest = null;
    let least = Math.max(PICK_REACH * this.page.radius, LEAST_PICK_REACH / this.viewport.scale);
    for (const pick of this.page.shownPicks()) {
      const distance = Math.hypot(pick.x - x, pick.y - y);
      if (distance <= least) [nearest, least] = [pick, distance];
    }
    return nearest;
  }

  down(event) {
    if (!this.page.ready) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.pointer = pointerPosition(event);
    const start = this.pointer;
    const at = this.viewport.toImage(...start);
    this.drag = { start, last: start, at, button: event.button, panning: event.button !== 0 || this.name === "hand" };
    if (this.drag.panning) return;
    if (this.name === "lasso") this.drag.lasso = [at];
    else if (this.name === "brush") this.drag.stroke = { points: [at], radius: this.brush };
    else this.drag.candidate = this.pickAt(...start);
    this.page.redraw();
  }

  move(event) {
    this.pointer = pointerPosition(event);
    const drag = this.drag;
    if (drag) this.continueDrag(drag);
    this.page.showPosition(this.viewport.toImage(...this.pointer));
    this.page.redraw();
  }

  continueDrag(drag) {
    const [x, y] = this.pointer;
    drag.at = this.viewport.toImage(x, y);
    drag.moved ||= Math.hypot(x - drag.start[0], y - drag.start[1]) > CLICK_DISTANCE;
    if (drag.lasso) drag.lasso.push(drag.at);
    else if (drag.stroke) drag.stroke.points.push(drag.at);
    else if (drag.candidate && drag.moved) drag.pick = drag.candidate;
    else if (drag.moved) {
      drag.panning = true;
      this.viewport.pan(x - drag.last[0], y - drag.last[1]);
    }
    drag.last = [x, y];
  }

  up(event) {
    const drag = this.drag;
    this.pointer = pointerPosition(event);
    this.drag = null;
    if (drag) this.finishDrag(drag);
    this.page.redraw();
  }

  finishDrag(drag) {
    if (drag.lasso) this.removeInside(drag.lasso);
    else if (drag.stroke) this.paint(drag.stroke);
    else if (drag.pick) this.movePick(drag.pick, drag.at);
    else if (!drag.moved && drag.button === 2) this.removeAt(drag);
    else if (!drag.moved && this.name === "edit" && drag.button === 0) this.click(drag);
  }

  click({ candidate, at }) {
    if (candidate) this.page.edit({ type: "remove", picks: [candidate.number] });
    else if (this.viewport.contains(at)) this.page.edit({ type: "add", x: rounded(at[0]), y: rounded(at[1]) });
  }

  movePick(pick, at) {
    if (this.viewport.contains(at)) this.page.edit({ type: "move", pick: pick.number, x: rounded(at[0]), y: rounded(at[1]) });
  }

  removeInside(polygon) {
    const picks = this.page.shownPicks().filter(({ x, y }) => isInside(polygon, x, y)).map(({ number }) => number);
    if (picks.length) this.page.edit({ type: "remove", picks });
  }

  paint({ points, radius }) {
    this.page.edit({ type: "paint", radius: rounded(radius), points: simplify(points, radius / 5) });
  }

  removeAt({ start, at }) {
    const pick = this.pickAt(...start);
    const area = this.page.areas().findLast((one) => isOnStroke(one, ...at));
    if (pick && this.name === "edit") this.page.edit({ type: "remove", picks: [pick.number] });
    else if (area) this.page.edit({ type: "erase", area: area.area });
  }

  removeHovered() {
    const pick = this.pointer && this.pickAt(...this.pointer);
    if (pick) this.page.edit({ type: "remove", picks: [pick.number] });
  }

  leave() {
    if (this.drag) return;
    this.pointer = null;
    this.page.showPosition(null);
    this.page.redraw();
  }

  wheel(event) {
    event.preventDefault();
    const pixels = event.deltaY * (event.deltaMode ? 30 : 1);
    this.viewport.zoom(Math.exp(-Math.max(-240, Math.min(240, pixels)) / 320), ...pointerPosition(event));
    this.page.redraw();
  }
}

function pointerPosition(event) {
  return [event.offsetX, event.offsetY];
}
