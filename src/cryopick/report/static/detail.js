// The dialog that shows one micrograph enlarged.

let opened = null;

function prepareDetail() {
  const dialog = byId("detail");
  byId("close").addEventListener("click", () => dialog.close());
  byId("previous").addEventListener("click", () => stepDetail(-1));
  byId("next").addEventListener("click", () => stepDetail(1));
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => (opened = null));
  document.addEventListener("keydown", (event) => {
    if (opened === null) return;
    if (event.key === "ArrowLeft") stepDetail(-1);
    if (event.key === "ArrowRight") stepDetail(1);
  });
}

/** Go to a neighbour in the order of the gallery. */
function stepDetail(by) {
  const place = listed.indexOf(opened) + by;
  if (place >= 0 && place < listed.length) openDetail(listed[place]);
}

function openDetail(micrograph) {
  opened = micrograph;
  const dialog = byId("detail");
  if (!dialog.open) dialog.showModal();
  byId("detail-name").textContent = micrograph.name;
  byId("detail-reasons").replaceChildren(...micrograph.reasons.map((reason) => element("li", {}, reason)));
  const frame = createFrame(micrograph);
  frame.id = "detail-frame";
  const [height, width] = shapeOf(micrograph);
  frame.style.setProperty("--ratio", width / height);
  byId("detail-frame").replaceWith(frame);
  byId("previous").disabled = listed.indexOf(micrograph) <= 0;
  byId("next").disabled = listed.indexOf(micrograph) === listed.length - 1;
  redrawDetail();
}

function redrawDetail() {
  if (opened === null) return;
  showImage(byId("detail-frame"), opened);
  const { picks, kept, score, diameter, unit, shape, seconds, path, status } = opened;
  const done = status === "done";
  const facts = [
    ["Picks", !done ? "–" : kept === picks ? formatCount(picks) : `${formatCount(kept)} of ${formatCount(picks)}`],
    ["Median score", score === null ? "–" : formatNumber(score, 3)],
    ["Diameter", diameter === null ? "–" : `${formatNumber(diameter)} ${unit}`],
    ["Size", shape === null ? "–" : `${shape[1]} × ${shape[0]} px`],
    ["Time", `${formatNumber(seconds)} s`],
    ["File", path],
  ];
  byId("detail-facts").replaceChildren(...facts.map(([term, value]) => element("div", {}, element("dt", {}, term), element("dd", {}, value))));
}
