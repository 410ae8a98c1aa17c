// Helpers for the document and for text, shared by all scripts of the review.

export function element(id) {
  return document.getElementById(id);
}

export function formatCount(number) {
  return number.toLocaleString("en");
}

// `1 micrograph`, `2,000 micrographs`
export function counted(number, noun) {
  return `${formatCount(number)} ${noun}${number === 1 ? "" : "s"}`;
}
