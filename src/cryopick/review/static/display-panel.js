// The panel for view, filter and contrast. The browser remembers these settings; the server does not know them.

import { element } from "./dom.js";

const STORE = "cryopick-review-look"; // in the local storage
const FINEST = 2; // pixels, smallest detail of the low-pass filter
const COARSEST = 1 / 12; // of the longest side, largest detail
const SIGMAS = 0.1874; // standard deviation of the Gaussian that halves the amplitude of detail of size 1: sqrt(2 ln 2) / 2 pi

export class DisplayPanel {
  constructor(onChange) {
    this.onChange = onChange;
    this.look = { view: "lowpass", cutoff: null, contrast: 1, brightness: 1, invert: false, circles: true, ...storedLook() };
    for (const name of ["contrast", "brightness", "cutoff"]) {
      element(name).addEventListener("input", (event) => this.set(name, Number(event.target.value)));
    }
    for (const name of ["invert", "circles"]) element(name).addEventListener("change", (event) => this.set(name, event.target.checked));
    element("views").addEventListener("click", (event) => event.target.dataset.view && this.set("view", event.target.dataset.view));
  }

  set(name, value) {
    this.look[name] = value;
    localStorage.setItem(STORE, JSON.stringify(this.look));
    this.show();
    this.onChange();
  }

  toggle(name) {
    this.set(name, !this.look[name]);
  }

  // Adapt the range of the sliders to a micrograph, `{shape, pixelSize, diameter}`.
  describe(detail) {
    this.detail = detail;
    this.show();
  }

  show() {
    const { look, detail } = this;
    for (const button of element("views").children) button.setAttribute("aria-pressed", button.dataset.view === look.view);
    element("cutoff-label").hidden = look.view !== "lowpass";
    for (const name of ["contrast", "brightness"]) {
      element(name).value = look[name];
      element(`${name}-value`).textContent = look[name].toFixed(2);
    }
    element("invert").checked = look.invert;
    element("circles").checked = look.circles;
    element("image").style.filter = `brightness(${look.brightness}) contrast(${look.contrast})${look.invert ? " invert(1)" : ""}`;
    if (!detail?.shape) return;
    element("cutoff").value = this.position;
    const finest = this.detailSize;
    element("cutoff-value").textContent = detail.pixelSize ? `${(finest * detail.pixelSize).toPrecision(2)} Å` : `${finest.toPrecision(2)} px`;
  }

  // Position of the slider, 0 to 1, logarithmic in the size of the detail.
  get position() {
    if (this.look.cutoff !== null) return this.look.cutoff;
    const wanted = (this.detail.diameter ?? 40) / 5;
    return Math.min(1, Math.max(0, Math.log(wanted / FINEST) / Math.log(this.coarsest / FINEST)));
  }

  get coarsest() {
    return Math.max(...this.detail.shape) * COARSEST;
  }

  // Smallest detail that the low-pass filter keeps, in pixels.
  get detailSize() {
    return FINEST * (this.coarsest / FINEST) ** this.position;
  }

  // Standard deviation of the Gaussian in pixels; 0 without a filter.
  get blur() {
    return this.look.view === "lowpass" ? Math.min(200, Math.round(this.detailSize * SIGMAS * 10) / 10) : 0;
  }
}

function storedLook() {
  try {
    return JSON.parse(localStorage.getItem(STORE) ?? "{}");
  } catch {
    return {};
  }
}
