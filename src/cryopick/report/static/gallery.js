// The thumbnails of all micrographs. An image is decoded, and its circles drawn, only while its card is near the window.

const SORT_VALUES = {
  attention: (micrograph) => urgency(micrograph),
  count: (micrograph) => micrograph.kept,
  score: (micrograph) => micrograph.score,
  time: (micrograph) => micrograph.seconds,
  run: (micrograph) => micrograph.index,
};
const HIGH_SCORE = { r: 94, g: 234, b: 160 };
const LOW_SCORE = { r: 255, g: 176, b: 60 };
const TRUTH_COLOUR = "#ff5cc8";
const cards = new Map();
const cardObserver = new IntersectionObserver(
  (changes) => {
    for (const { target, isIntersecting } of changes) isIntersecting ? drawCard(cards.get(target)) : clearCard(cards.get(target));
  },
  { rootMargin: "400px" },
);
let listed = []; // the micrographs in the gallery, in its order
let descending = true;

function prepareGallery() {
  byId("sort").addEventListener("change", () => {
    setDirection(byId("sort").value !== "name" && byId("sort").value !== "run");
    updateGallery();
  });
  byId("direction").addEventListener("click", () => {
    setDirection(!descending);
    updateGallery();
  });
  byId("search").addEventListener("input", updateGallery);
  byId("only-flagged").addEventListener("change", updateGallery);
  byId("show-picks").addEventListener("change", (event) => {
    state.showPicks = event.target.checked;
    redrawImages();
  });
  byId("show-truth").addEventListener("change", (event) => {
    state.showTruth = event.target.checked;
    redrawImages();
  });
  byId("threshold").addEventListener("change", () => byId("sort").value === "count" && updateGallery());
}

function setDirection(down) {
  descending = down;
  byId("direction").textContent = down ? "↓ descending" : "↑ ascending";
  byId("direction").setAttribute("aria-pressed", String(!down));
}

function updateGallery() {
  listed = selectMicrographs({ by: byId("sort").value, text: byId("search").value, onlyFlagged: byId("only-flagged").checked });
  cardObserver.disconnect();
  cards.clear();
  const made = listed.map(createCard);
  byId("gallery").replaceChildren(...made);
  for (const card of made) cardObserver.observe(card);
  byId("shown").textContent = listed.length === micrographs.length ? "" : `${formatCount(listed.length)} of ${formatCount(micrographs.length)}`;
}

function redrawImages() {
  redrawGallery();
  redrawDetail();
}

/** Failures first, then the micrographs with the most warnings. */
function urgency(micrograph) {
  return micrograph.status === "failed" ? 1000 : micrograph.reasons.length;
}

/** The micrographs to list, sorted. Those without the value to sort by come last in either direction. */
function selectMicrographs({ by, text, onlyFlagged }) {
  const wanted = text.toLowerCase();
  const chosen = micrographs.filter(({ name, reasons }) => name.toLowerCase().includes(wanted) && (!onlyFlagged || reasons.length));
  const sign = descending ? -1 : 1;
  const names = new Intl.Collator("en", { numeric: true });
  if (by === "name") return chosen.sort((a, b) => sign * names.compare(a.name, b.name) || a.index - b.index);
  const value = SORT_VALUES[by];
  const known = (micrograph) => value(micrograph) !== null && !(micrograph.status === "failed" && by !== "attention" && by !== "run");
  return chosen.sort((a, b) => {
    if (!known(a) || !known(b)) return known(b) - known(a) || a.index - b.index;
    return sign * (value(a) - value(b)) || a.index - b.index;
  });
}

function createCard(micrograph) {
  const { name, score, seconds, status, reasons } = micrograph;
  const frame = createFrame(micrograph);
  const button = element("button", { type: "button", className: "open" }, frame);
  button.setAttribute("aria-label", `Open ${name}`);
  button.addEventListener("click", () => openDetail(micrograph));
  const count = element("span", { className: "count" });
  const facts = [score === null ? null : `score ${formatNumber(score, 3)}`, `${formatNumber(seconds)} s`];
  const line = element("p", { className: "line" }, count, element("span", { className: "muted" }, facts.filter(Boolean).join(" · ")));
  const className = `card${status === "failed" ? " failed" : reasons.length ? " flagged" : ""}`;
  const card = element("li", { className }, button, element("p", { className: "name", title: name }, name), line);
  if (reasons.length) card.append(element("p", { className: "reason", title: reasons.join("\n") }, reasons[0]));
  card.dataset.name = name;
  cards.set(card, { micrograph, frame, count, drawn: false });
  writeCount(cards.get(card));
  return card;
}

/** Height and width; where they are unknown, those of another micrograph. */
function shapeOf(micrograph) {
  return micrograph.shape ?? micrographs.find((other) => other.shape !== null)?.shape ?? [1, 1];
}

function createFrame(micrograph) {
  const frame = element("div", { className: "frame" });
  const [height, width] = shapeOf(micrograph);
  frame.style.aspectRatio = `${width} / ${height}`;
  if (micrograph.image === null) frame.append(element("span", { className: "nothing" }, micrograph.status === "failed" ? "failed" : "no image"));
  return frame;
}

function drawCard(card) {
  if (card === undefined) return;
  card.drawn = true;
  showImage(card.frame, card.micrograph);
}

function clearCard(card) {
  if (card === undefined || !card.drawn) return;
  card.drawn = false;
  for (const old of card.frame.querySelectorAll("img, canvas")) old.remove();
}

/** Put the image of a micrograph and its circles into a frame. */
function showImage(frame, micrograph) {
  if (frame.querySelector("canvas") === null) {
    if (micrograph.image !== null) frame.append(element("img", { src: micrograph.image, alt: "", decoding: "async" }));
    frame.append(element("canvas"));
  }
  drawMarks(frame.querySelector("canvas"), micrograph);
}

function redrawGallery() {
  for (const card of cards.values()) {
    writeCount(card);
    if (card.drawn) drawMarks(card.frame.querySelector("canvas"), card.micrograph);
  }
}

function writeCount({ micrograph, count }) {
  count.textContent = micrograph.status === "failed" ? "failed" : counted(micrograph.kept, "pick");
}

/** Draw the kept picks and the ground truth; `data-circles` says how many picks were drawn. */
function drawMarks(canvas, micrograph) {
  const frame = canvas.parentElement.getBoundingClientRect();
  const density = window.devicePixelRatio || 1;
  canvas.width = Math.round(frame.width * density);
  canvas.height = Math.round(frame.height * density);
  const context = canvas.getContext("2d");
  context.scale(density, density);
  context.lineWidth = frame.width > 500 ? 1.8 : 1.2;
  canvas.dataset.circles = state.showPicks && micrograph.positions !== null ? drawPicks(context, micrograph, frame) : 0;
  if (state.showTruth && micrograph.truth !== null) drawTruth(context, micrograph.truth, frame);
}

function drawPicks(context, micrograph, { width, height }) {
  const { circle, positions, scores } = micrograph;
  const radius = circle === null ? 4 : Math.max(1.5, (circle * width) / 2);
  let drawn = 0;
  for (let index = 0; index < positions.length / 2; index++) {
    if (!isKept(micrograph, index)) continue;
    context.strokeStyle = scoreColour(scores === null ? null : scores[index]);
    context.beginPath();
    context.arc(positions[2 * index] * width, positions[2 * index + 1] * height, radius, 0, 2 * Math.PI);
    context.stroke();
    drawn++;
  }
  return drawn;
}

function drawTruth(context, positions, { width, height }) {
  const arm = width > 500 ? 5 : 3;
  context.strokeStyle = TRUTH_COLOUR;
  context.beginPath();
  for (let index = 0; index < positions.length; index += 2) {
    const [x, y] = [positions[index] * width, positions[index + 1] * height];
    context.moveTo(x - arm, y);
    context.lineTo(x + arm, y);
    context.moveTo(x, y - arm);
    context.lineTo(x, y + arm);
  }
  context.stroke();
}

/** Orange for the lowest score of the run, green for the highest and for picks without scores. */
function scoreColour(score) {
  const [low, high] = state.range ?? [0, 0];
  const part = score !== null && high > low ? (score - low) / (high - low) : 1;
  const mix = (from, to) => Math.round(from + (to - from) * part);
  return `rgb(${mix(LOW_SCORE.r, HIGH_SCORE.r)} ${mix(LOW_SCORE.g, HIGH_SCORE.g)} ${mix(LOW_SCORE.b, HIGH_SCORE.b)})`;
}
