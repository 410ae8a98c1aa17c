"use strict";
// The run's data: micrographs come in parts, picks as packed numbers. Nothing here touches the page but `element`.

const micrographs = [];
const state = { threshold: -Infinity, circles: true, truth: false };

function addPart(entries) {
  for (const entry of entries) micrographs.push(unpacked(entry, micrographs.length));
}

function unpacked(entry, index) {
  const scores = entry.scores === null ? null : new Float32Array(bytesOf(entry.scores));
  const sorted = scores === null ? null : scores.slice().sort();
  return { ...entry, index, scores, sorted, places: placesOf(entry.xy), truth: placesOf(entry.truth) };
}

/** Places on the picture as fractions of its width and height: [x0, y0, x1, y1, ...]. */
function placesOf(text) {
  return text === null ? null : Float32Array.from(new Uint16Array(bytesOf(text)), (step) => step / 65535);
}

function bytesOf(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let index = 0; index < binary.length; index++) bytes[index] = binary.charCodeAt(index);
  return bytes.buffer;
}

/** How many picks of a micrograph score at least the threshold. */
function countAbove(one) {
  if (one.sorted === null) return one.picks;
  let low = 0;
  let high = one.sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (one.sorted[middle] >= state.threshold) high = middle;
    else low = middle + 1;
  }
  return one.sorted.length - low;
}

function isKept(one, index) {
  return one.scores === null || one.scores[index] >= state.threshold;
}

function median(values) {
  if (values.length === 0) return null;
  const sorted = Float64Array.from(values).sort();
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Edges and counts of equal bins from the least to the greatest value. */
function histogramOf(lists, low, high, bins) {
  const counts = new Float64Array(bins);
  const scale = high > low ? bins / (high - low) : 0;
  for (const values of lists) {
    for (const value of values) counts[Math.min(bins - 1, Math.floor((value - low) * scale))]++;
  }
  return counts;
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const formatted = (value, digits = 1) => new Intl.NumberFormat("en", { maximumFractionDigits: digits }).format(value);
const counted = (number, thing) => `${whole.format(number)} ${thing}${number === 1 ? "" : "s"}`;
const byId = (id) => document.getElementById(id);

/** A new element with properties and children; strings become text, never markup. */
function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children.filter((child) => child !== null));
  return made;
}
