// Circles, bad areas and previews of the tools, on a canvas over the image.

import { AREA, AREA_EDGE, HAND, HOVER, scoreColour } from "./colours.js";
import { fitCanvas } from "./tiles.js";

const SMALLEST_RADIUS = 2.5; // of a circle, in screen pixels

export class Overlay {
  constructor(canvas, viewport) {
    this.canvas = canvas;
    this.viewport = viewport;
  }

  // scene: { picks: [{x, y, score, hand} or {x, y, colour}], radius, range: [low, high], areas, hover, lasso, stroke, brush }
  draw(scene) {
    const { canvas, viewport } = this;
    const ratio = window.devicePixelRatio || 1;
    fitCanvas(canvas, viewport, ratio);
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, viewport.width, viewport.height);
    if (!scene) return;
    this.drawAreas(context, scene.areas);
    if (scene.stroke) this.drawAreas(context, [scene.stroke]);
    this.drawPicks(context, scene);
    if (scene.hover) this.drawCircles(context, [scene.hover], scene.radius, HOVER, 3);
    if (scene.lasso) this.drawLasso(context, scene.lasso);
    if (scene.brush) this.drawCircles(context, [scene.brush], scene.brush.radius, AREA_EDGE, 1.5);
  }

  drawPicks(context, { picks, radius, range }) {
    const groups = new Map();
    for (const pick of picks) {
      const colour = pick.colour ?? (pick.hand ? HAND : scoreColour(pick.score, ...range));
      if (!groups.has(colour)) groups.set(colour, []);
      groups.get(colour).push(pick);
    }
    for (const [colour, members] of groups) this.drawCircles(context, members, radius, colour, 1.75);
  }

  drawCircles(context, points, radius, colour, width) {
    const { viewport } = this;
    const size = Math.max(SMALLEST_RADIUS, radius * viewport.scale);
    context.beginPath();
    for (const { x, y } of points) {
      const [sx, sy] = viewport.toScreen(x, y);
      if (sx < -size || sy < -size || sx > viewport.width + size || sy > viewport.height + size) continue;
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
        const [sx, sy] = this.viewport.toScreen(x, y);
        if (place === 0) context.moveTo(sx, sy);
        context.lineTo(sx + (points.length === 1 ? 0.01 : 0), sy);
      });
      context.strokeStyle = AREA;
      context.lineWidth = 2 * radius * this.viewport.scale;
      context.stroke();
    }
  }

  drawLasso(context, points) {
    context.beginPath();
    points.forEach(([x, y], place) => context[place ? "lineTo" : "moveTo"](...this.viewport.toScreen(x, y)));
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
