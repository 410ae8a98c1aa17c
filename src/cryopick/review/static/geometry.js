// Points inside a lasso or a stroke of the brush.

export function isInside(polygon, x, y) {
  let inside = false;
  for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
    const [xi, yi] = polygon[i];
    const [xj, yj] = polygon[j];
    if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) inside = !inside;
  }
  return inside;
}

export function isOnStroke({ points, radius }, x, y) {
  if (points.length === 1) return Math.hypot(x - points[0][0], y - points[0][1]) <= radius;
  return points.slice(1).some((end, place) => distanceToSegment(points[place], end, x, y) <= radius);
}

function distanceToSegment([ax, ay], [bx, by], x, y) {
  const [dx, dy] = [bx - ax, by - ay];
  const length = dx * dx + dy * dy;
  const along = length ? Math.max(0, Math.min(1, ((x - ax) * dx + (y - ay) * dy) / length)) : 0;
  return Math.hypot(x - ax - along * dx, y - ay - along * dy);
}

// Drop points of a stroke that are closer than `step` to the one before, and round the others to a tenth of a pixel.
export function simplify(points, step) {
  const kept = [];
  points.forEach(([x, y], place) => {
    const last = kept.at(-1);
    if (!last || place === points.length - 1 || Math.hypot(x - last[0], y - last[1]) >= step) kept.push([rounded(x), rounded(y)]);
  });
  return kept;
}

export function rounded(value) {
  return Math.round(value * 10) / 10;
}
