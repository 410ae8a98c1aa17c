// The keys of the review page: what they do, and what the help says about them.

import { element } from "./dom.js";

export function keyTable(page) {
  return [
    { keys: ["Enter"], help: "Mark as reviewed and go to the next to review", run: () => page.markReviewed() },
    { keys: ["r"], help: "Mark or unmark as reviewed", run: () => page.toggleReviewed() },
    { keys: ["m"], help: "Mark or unmark as bad", run: () => page.toggleBad() },
    { keys: ["n", "ArrowRight"], help: "Next micrograph", run: () => page.step(1) },
    { keys: ["p", "ArrowLeft"], help: "Previous micrograph", run: () => page.step(-1) },
    { keys: ["u"], help: "Next micrograph to review", run: () => page.open(page.list.nextOpen(page.target)) },
    { keys: ["z", "Ctrl+z"], help: "Undo", run: () => page.undo() },
    { keys: ["Shift+z", "Ctrl+Shift+z", "Ctrl+y"], help: "Redo", run: () => page.redo() },
    { keys: ["x", "Delete"], help: "Remove the pick under the pointer", run: () => page.tools.removeHovered() },
    { keys: [",", "ArrowDown"], help: "Lower the threshold", run: () => page.threshold.nudge(-1) },
    { keys: [".", "ArrowUp"], help: "Raise the threshold", run: () => page.threshold.nudge(1) },
    { keys: ["e"], help: "Edit picks", run: () => page.chooseTool("edit") },
    { keys: ["l"], help: "Lasso", run: () => page.chooseTool("lasso") },
    { keys: ["b"], help: "Brush for bad areas", run: () => page.chooseTool("brush") },
    { keys: ["["], help: "Smaller brush", run: () => page.tools.resizeBrush(1 / 1.25) },
    { keys: ["]"], help: "Larger brush", run: () => page.tools.resizeBrush(1.25) },
    { keys: ["h"], help: "Move the image", run: () => page.chooseTool("hand") },
    { keys: ["1"], help: "Plain image", run: () => page.panel.set("view", "plain") },
    { keys: ["2"], help: "Low-pass filter", run: () => page.panel.set("view", "lowpass") },
    { keys: ["3"], help: "Denoised image", run: () => page.panel.set("view", "denoised") },
    { keys: ["i"], help: "Invert contrast", run: () => page.panel.toggle("invert") },
    { keys: ["c"], help: "Show or hide picks", run: () => page.panel.toggle("circles") },
    { keys: ["+", "="], help: "Zoom in", run: () => page.zoom(1.3) },
    { keys: ["-"], help: "Zoom out", run: () => page.zoom(1 / 1.3) },
    { keys: ["f", "0"], help: "Fit the micrograph to the window", run: () => (page.viewport.fit(), page.redraw()) },
    { keys: ["/"], help: "Search for a micrograph", run: () => element("search").focus() },
    { keys: ["?"], help: "Show these keys", run: () => element("help").showModal() },
    { keys: ["Escape"], run: () => page.tools.cancel() },
  ];
}
