// Writing the results: picks in any format, and labels for fine-tuning.

import { counted, element } from "./dom.js";
import { request } from "./sync.js";

const STEPS = ["Fine-tune on the reviewed micrographs", "Pick again with the new weights", "Compare before and after"];

export function bindExport({ formats, compare }, onError) {
  element("format").append(...formats.map((name) => new Option(name, name, name === "star", name === "star")));
  element("compare").hidden = !compare;
  element("export").addEventListener("click", () => writePicks().catch(onError));
  element("train").addEventListener("click", () => showTraining().catch(onError));
}

async function writePicks() {
  const { path } = await request("/api/export", { format: element("format").value });
  element("exported").textContent = `Wrote ${path}`;
}

async function showTraining() {
  const { micrographs, particles, commands } = await request("/api/labels", {});
  element("training-summary").textContent = `Wrote labels for ${counted(micrographs, "reviewed micrograph")} with ${counted(particles, "particle")}.`;
  element("training-steps").replaceChildren(...commands.map((command, step) => {
    const item = document.createElement("li");
    item.append(STEPS[step], Object.assign(document.createElement("code"), { textContent: command }));
    return item;
  }));
  element("training").showModal();
}
