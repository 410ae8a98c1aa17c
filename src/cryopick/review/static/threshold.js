// The slider of a threshold and the histogram of scores above it.

import { scoreColour } from "./colours.js";

export class ThresholdSlider {
  // onDrag(value) is called while the slider moves, onSet(value) when it is released.
  constructor({ canvas, slider, output }, onDrag, onSet) {
    Object.assign(this, { canvas, slider, output, scores: null });
    slider.addEventListener("input", () => {
      this.show(this.value);
      onDrag(this.value);
    });
    slider.addEventListener("change", () => onSet(this.value));
    this.onSet = onSet;
  }

  // scores: { low, high, counts }; null without scores
  setScores(scores) {
    this.scores = scores;
    this.slider.disabled = !scores;
    if (scores) Object.assign(this.slider, { min: scores.low, max: scores.high, step: (scores.high - scores.low) / 1000 });
    else this.output.textContent = "not available";
  }

  get value() {
    return Number(this.slider.value);
  }

  get range() {
    return this.scores ? [this.scores.low, this.scores.high] : [0, 0];
  }

  show(value) {
    if (!this.scores) return;
    const { low, high } = this.scores;
    this.slider.value = value ?? low;
    this.output.textContent = value === null || value <= low ? "all" : Number(value).toPrecision(3);
    this.draw(value ?? low);
  }

  // Move by steps of a fiftieth of the range.
  nudge(steps) {
    if (!this.scores) return;
    const { low, high } = this.scores;
    this.show(Math.max(low, Math.min(high, this.value + (steps * (high - low)) / 50)));
    this.onSet(this.value);
  }

  draw(value) {
    const { canvas, scores } = this;
    const ratio = window.devicePixelRatio || 1;
    canvas.width = canvas.clientWidth * ratio;
    canvas.height = canvas.clientHeight * ratio;
    const context = canvas.getContext("2d");
    const tallest = Math.sqrt(Math.max(...scores.counts));
    const width = canvas.width / scores.counts.length;
    scores.counts.forEach((count, bin) => {
      const score = scores.low + ((bin + 1) / scores.counts.length) * (scores.high - scores.low);
      const height = (Math.sqrt(count) / tallest) * canvas.height;
      context.fillStyle = scoreColour(score, scores.low, scores.high);
      context.globalAlpha = score < value ? 0.18 : 0.9;
      context.fillRect(bin * width, canvas.height - height, Math.max(1, width - ratio), height);
    });
  }
}
