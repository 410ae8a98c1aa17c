// Thumbnails with picks as circles. A picture is decoded, and circles are drawn, only while its card is near the window.

const ORDERS = {
  attention: (one) => urgency(one),
  count: (one) => one.kept,
  score: (one) => one.score,
  time: (one) => one.seconds,
  run: (one) => one.index,
};
const BEST = { r: 94, g: 234, b: 160 };
const WORST = { r: 255, g: 176, b: 60 };
const cards = new Map();
const near = new IntersectionObserver(
  (changes) => {
    for (const { target, isIntersecting } of changes) isIntersecting ? fill(cards.get(target)) : clear(cards.get(target));
  },
  { rootMargin: "400px" },
);

/** Failures before everything else, then the more reasons the sooner. */
function urgency(one) {
  return one.status === "failed" ? 1000 : one.reasons.length;
}

/** The micrographs to show, in their order. Those that lack the value come last in either direction. */
function arranged({ by, descending, text, onlyFlagged }) {
  const wanted = text.toLowerCase();
  const chosen = micrographs.filter((one) => one.name.toLowerCase().includes(wanted) && (!onlyFlagged || one.reasons.length));
  const sign = descending ? -1 : 1;
  const names = new Intl.Collator("en", { numeric: true });
  if (by === "name") return chosen.sort((a, b) => sign * names.compare(a.name, b.name) || a.index - b.index);
  const value = ORDERS[by];
  const known = (one) => value(one) !== null && !(one.status === "failed" && by !== "attention" && by !== "run");
  return chosen.sort((a, b) => {
    if (!known(a) || !known(b)) return known(b) - known(a) || a.index - b.index;
    return sign * (value(a) - value(b)) || a.index - b.index;
  });
}

function showGallery(chosen, open) {
  near.disconnect();
  cards.clear();
  const made = chosen.map((one) => cardOf(one, open));
  byId("gallery").replaceChildren(...made);
  for (const card of made) near.observe(card);
}

function cardOf(one, open) {
  const frame = frameOf(one);
  const button = element("button", { type: "button", className: "open" }, frame);
  button.setAttribute("aria-label", `${one.name}: look closer`);
  button.addEventListener("click", () => open(one));
  const count = element("span", { className: "count" });
  const name = element("p", { className: "name", title: one.name }, one.name);
  const facts = [one.score === null ? null : `score ${formatted(one.score, 3)}`, `${formatted(one.seconds)} s`];
  const line = element("p", { className: "line" }, count, element("span", { className: "muted" }, facts.filter(Boolean).join(" · ")));
  const card = element("li", { className: `card${one.status === "failed" ? " failed" : one.reasons.length ? " flagged" : ""}` }, button, name, line);
  if (one.reasons.length) card.append(element("p", { className: "reason", title: one.reasons.join("\n") }, one.reasons[0]));
  card.dataset.name = one.name;
  cards.set(card, { one, frame, count, filled: false });
  writeCount(cards.get(card));
  return card;
}

/** Height and width; where they are unknown, those of another micrograph. */
function shapeOf(one) {
  return one.shape ?? micrographs.find((other) => other.shape !== null)?.shape ?? [1, 1];
}

function frameOf(one) {
  const frame = element("div", { className: "frame" });
  const [height, width] = shapeOf(one);
  frame.style.aspectRatio = `${width} / ${height}`;
  if (one.picture === null) frame.append(element("span", { className: "nothing" }, one.status === "failed" ? "failed" : "no picture"));
  return frame;
}

function fill(card) {
  if (card === undefined) return;
  card.filled = true;
  showPicture(card.frame, card.one);
}

function clear(card) {
  if (card === undefined || !card.filled) return;
  card.filled = false;
  for (const old of card.frame.querySelectorAll("img, canvas")) old.remove();
}

/** The picture and its circles in a frame of the page. */
function showPicture(frame, one) {
  if (frame.querySelector("canvas") === null) {
    if (one.picture !== null) frame.append(element("img", { src: one.picture, alt: "", decoding: "async" }));
    frame.append(element("canvas"));
  }
  drawCircles(frame.querySelector("canvas"), one);
}

function redrawGallery() {
  for (const card of cards.values()) {
    writeCount(card);
    if (card.filled) drawCircles(card.frame.querySelector("canvas"), card.one);
  }
}

function writeCount({ one, count }) {
  count.textContent = one.status === "failed" ? "failed" : counted(one.kept, "pick");
}

/** Circles of the kept picks; how many were drawn stands in `data-circles`. */
function drawCircles(canvas, one) {
  const frame = canvas.parentElement.getBoundingClientRect();
  const density = window.devicePixelRatio || 1;
  canvas.width = Math.round(frame.width * density);
  canvas.height = Math.round(frame.height * density);
  const pen = canvas.getContext("2d");
  pen.scale(density, density);
  let drawn = 0;
  if (state.circles && one.places !== null) drawn = drawPicks(pen, one, frame);
  canvas.dataset.circles = drawn;
  if (state.truth && one.truth !== null) drawTruth(pen, one.truth, frame);
}

function drawPicks(pen, one, { width, height }) {
  const radius = one.circle === null ? 4 : Math.max(1.5, (one.circle * width) / 2);
  pen.lineWidth = width > 500 ? 1.8 : 1.2;
  let drawn = 0;
  for (let index = 0; index < one.places.length / 2; index++) {
    if (!isKept(one, index)) continue;
    pen.strokeStyle = colourOf(one.scores === null ? 1 : one.scores[index]);
    pen.beginPath();
    pen.arc(one.places[2 * index] * width, one.places[2 * index + 1] * height, radius, 0, 2 * Math.PI);
    pen.stroke();
    drawn++;
  }
  return drawn;
}

function drawTruth(pen, places, { width, height }) {
  const arm = width > 500 ? 5 : 3;
  pen.strokeStyle = "#ff5cc8";
  pen.lineWidth = width > 500 ? 1.8 : 1.2;
  pen.beginPath();
  for (let index = 0; index < places.length; index += 2) {
    const [x, y] = [places[index] * width, places[index + 1] * height];
    pen.moveTo(x - arm, y);
    pen.lineTo(x + arm, y);
    pen.moveTo(x, y - arm);
    pen.lineTo(x, y + arm);
  }
  pen.stroke();
}

/** From orange for the least score of the run to green for the greatest. */
function colourOf(score) {
  const [low, high] = state.range ?? [0, 1];
  const part = high > low ? (score - low) / (high - low) : 1;
  const mix = (from, to) => Math.round(from + (to - from) * part);
  return `rgb(${mix(WORST.r, BEST.r)} ${mix(WORST.g, BEST.g)} ${mix(WORST.b, BEST.b)})`;
}
