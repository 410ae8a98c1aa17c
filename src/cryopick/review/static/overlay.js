// Circles, bad areas, and what a tool is about to do, on a canvas over the picture.

import { AREA, AREA_EDGE, HAND, HOVER, PALETTE, shade } from "./colours.js";
import { fitCanvas } from "./tiles.js";

const SMALLEST = 2.5; // radius of a circle on the screen

export class Overlay {
  constructor(canvas, view) {
    this.canvas = canvas;
    this.view = view;
  }

  // scene: { picks: [{x, y, score, hand} or {x, y, colour}], radius, range: [low, high], areas, hover, lasso, stroke, brush }
  draw(scene) {
    const { canvas, view } = this;
    const ratio = window.devicePixelRatio || 1;
    fitCanvas(canvas, view, ratio);
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, view.width, view.height);
    if (!scene) return;
    this.drawAreas(context, scene.areas);
    if (scene.stroke) this.drawAreas(context, [scene.stroke]);
    this.drawPicks(context, scene);
    if (scene.hover) this.circles(context, [scene.hover], scene.radius, HOVER, 3);
    if (scene.lasso) this.drawLasso(context, scene.lasso);
    if (scene.brush) this.circles(context, [scene.brush], scene.brush.radius, AREA_EDGE, 1.5);
  }

  drawPicks(context, { picks, radius, range }) {
    const groups = new Map();
    for (const pick of picks) {
      const colour = pick.colour ?? (pick.hand ? HAND : PALETTE[shade(pick.score, ...range)]);
      if (!groups.has(colour)) groups.set(colour, []);
      groups.get(colour).push(pick);
    }
    for (const [colour, members] of groups) this.circles(context, members, radius, colour, 1.75);
  }

  circles(context, points, radius, colour, width) {
    const { view } = this;
    const size = Math.max(SMALLEST, radius * view.scale);
    context.beginPath();
    for (const { x, y } of points) {
      const [sx, sy] = view.toScreen(x, y);
      if (sx < -size || sy < -size || sx > view.width + size || sy > view.height + size) continue;
      context.moveTo(sx + size, sy);
      context.arc(sx, sy, size, 0, 2 * Math.PI);
    }
    context.strokeStyle = "rgba(0, 0, 0, 0.45)";
    context.lineWidth = width + 1.5;
    context.stroke();
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.stroke();
  }

  drawAreas(context, areas) {
    context.lineCap = context.lineJoin = "round";
    for (const { points, radius } of areas) {
      context.beginPath();
      points.forEach(([x, y], place) => {
        const [sx, sy] = this.view.toScreen(x, y);
        if (place === 0) context.moveTo(sx, sy);
        context.lineTo(sx + (points.length === 1 ? 0.01 : 0), sy);
      });
      context.strokeStyle = AREA;
      context.lineWidth = 2 * radius * this.view.scale;
      context.stroke();
    }
  }

  drawLasso(context, points) {
    context.beginPath();
    points.forEach(([x, y], place) => context[place ? "lineTo" : "moveTo"](...this.view.toScreen(x, y)));
    context.closePath();
    context.fillStyle = "rgba(255, 255, 255, 0.1)";
    context.fill();
    context.setLineDash([6, 4]);
    context.strokeStyle = "#fff";
    context.lineWidth = 1.5;
    context.stroke();
    context.setLineDash([]);
  }
}
