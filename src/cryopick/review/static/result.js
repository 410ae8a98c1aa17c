// What comes out: files of picks, and the way from corrections to weights.

import { ask } from "./sync.js";

const STEPS = ["Learn from the reviewed micrographs", "Pick again with the new weights", "Look at before and after"];

export function bindResult({ formats, compare }, onError) {
  element("format").append(...formats.map((name) => new Option(name, name, name === "star", name === "star")));
  element("compare").hidden = !compare;
  element("export").addEventListener("click", () => writePicks().catch(onError));
  element("train").addEventListener("click", () => showTraining().catch(onError));
}

async function writePicks() {
  const { path } = await ask("/api/export", { format: element("format").value });
  element("exported").textContent = `Wrote ${path}`;
}

async function showTraining() {
  const { micrographs, particles, commands } = await ask("/api/labels", {});
  const plural = micrographs === 1 ? "" : "s";
  element("training-summary").textContent = `Written as labels: ${micrographs} reviewed micrograph${plural}, ${particles.toLocaleString("en")} particles.`;
  element("training-steps").replaceChildren(...commands.map((command, step) => {
    const item = document.createElement("li");
    item.append(STEPS[step], Object.assign(document.createElement("code"), { textContent: command }));
    return item;
  }));
  element("training").showModal();
}

function element(id) {
  return document.getElementById(id);
}
