"use strict";
// The data of the run: micrographs arrive in parts, with picks as packed numbers. Shared helpers are at the end.

const micrographs = [];
const state = { threshold: -Infinity, range: null, showPicks: true, showTruth: false };

function addPart(entries) {
  for (const entry of entries) micrographs.push(decodeEntry(entry, micrographs.length));
}

function decodeEntry(entry, index) {
  const scores = entry.scores === null ? null : new Float32Array(decodeBase64(entry.scores));
  const sorted = scores === null ? null : scores.slice().sort();
  return { ...entry, index, scores, sorted, positions: decodePositions(entry.xy), truth: decodePositions(entry.truth) };
}

/** Positions as fractions of the image's width and height: [x0, y0, x1, y1, ...]. */
function decodePositions(text) {
  return text === null ? null : Float32Array.from(new Uint16Array(decodeBase64(text)), (step) => step / 65535);
}

function decodeBase64(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let index = 0; index < binary.length; index++) bytes[index] = binary.charCodeAt(index);
  return bytes.buffer;
}

/** Number of picks of a micrograph that score at least the threshold. */
function countKept(micrograph) {
  if (micrograph.sorted === null) return micrograph.picks;
  let low = 0;
  let high = micrograph.sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (micrograph.sorted[middle] >= state.threshold) high = middle;
    else low = middle + 1;
  }
  return micrograph.sorted.length - low;
}

function isKept(micrograph, index) {
  return micrograph.scores === null || micrograph.scores[index] >= state.threshold;
}

function pickedMicrographs() {
  return micrographs.filter((micrograph) => micrograph.status === "done");
}

function median(values) {
  if (values.length === 0) return null;
  const sorted = Float64Array.from(values).sort();
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Counts in equal bins from `low` to `high`. */
function histogram(lists, low, high, bins) {
  const counts = new Float64Array(bins);
  const scale = high > low ? bins / (high - low) : 0;
  for (const values of lists) {
    for (const value of values) counts[Math.min(bins - 1, Math.floor((value - low) * scale))]++;
  }
  return counts;
}

const sum = (values) => values.reduce((total, value) => total + value, 0);
const formatCount = (value) => new Intl.NumberFormat("en", { maximumFractionDigits: 0 }).format(value);
const formatNumber = (value, digits = 1) => new Intl.NumberFormat("en", { maximumFractionDigits: digits }).format(value);
/** Means and medians of counts: the decimal matters only while the number is small. */
const formatAverage = (value) => formatNumber(value, value < 10 ? 1 : 0);
/** `1 micrograph`, `2,000 micrographs`. */
const counted = (number, noun) => `${formatCount(number)} ${noun}${number === 1 ? "" : "s"}`;
const byId = (id) => document.getElementById(id);

/** A new element with properties and children; strings become text, never markup. */
function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children.filter((child) => child !== null));
  return made;
}
