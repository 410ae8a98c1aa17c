// Colours of picks from low to high scores: they differ in lightness too, and stand out on a grey image.

const STOPS = [[150, 120, 255], [60, 160, 235], [40, 205, 170], [170, 225, 70], [255, 235, 60]];

export const HAND = "#ff9d3c";
export const HOVER = "#ffffff";
export const AREA = "rgba(255, 90, 80, 0.28)";
export const AREA_EDGE = "rgba(255, 110, 100, 0.9)";
const SHADES = 24;

const PALETTE = Array.from({ length: SHADES }, (_, step) => {
  const place = (step / (SHADES - 1)) * (STOPS.length - 1);
  const low = Math.min(STOPS.length - 2, Math.floor(place));
  return `rgb(${STOPS[low].map((value, channel) => Math.round(value + (place - low) * (STOPS[low + 1][channel] - value)))})`;
});

// The colour of a score; picks without scores have that of the highest.
export function scoreColour(score, low, high) {
  if (score === null || !(high > low)) return PALETTE[SHADES - 1];
  return PALETTE[Math.max(0, Math.min(SHADES - 1, Math.floor(((score - low) / (high - low)) * SHADES)))];
}
