// From low to high scores, told apart by lightness too, and all bright enough for a grey picture.

const STOPS = [[150, 120, 255], [60, 160, 235], [40, 205, 170], [170, 225, 70], [255, 235, 60]];

export const HAND = "#ff9d3c";
export const HOVER = "#ffffff";
export const AREA = "rgba(255, 90, 80, 0.28)";
export const AREA_EDGE = "rgba(255, 110, 100, 0.9)";
export const SHADES = 24;

export const PALETTE = Array.from({ length: SHADES }, (_, step) => {
  const place = (step / (SHADES - 1)) * (STOPS.length - 1);
  const low = Math.min(STOPS.length - 2, Math.floor(place));
  return `rgb(${STOPS[low].map((value, channel) => Math.round(value + (place - low) * (STOPS[low + 1][channel] - value)))})`;
});

export function shade(score, low, high) {
  if (score === null || !(high > low)) return SHADES - 1;
  return Math.max(0, Math.min(SHADES - 1, Math.floor(((score - low) / (high - low)) * SHADES)));
}
