// The list of micrographs on the left.

import { element, formatCount } from "./dom.js";

export class MicrographList {
  constructor(container, onChoose) {
    this.container = container;
    this.items = [];
    this.rows = [];
    container.addEventListener("click", (event) => {
      const item = event.target.closest("li");
      if (item) onChoose(Number(item.dataset.index));
    });
    this.search = element("search");
    this.filter = element("filter");
    this.search.addEventListener("input", () => this.applyFilter());
    this.filter.addEventListener("change", () => this.applyFilter());
  }

  fill(rows) {
    this.rows = rows;
    this.items = rows.map((row, index) => {
      const item = document.createElement("li");
      item.dataset.index = index;
      item.append(...["mark", "name", "picks"].map((name) => Object.assign(document.createElement("span"), { className: name })));
      return item;
    });
    rows.forEach((row, index) => this.update(index, row));
    this.container.replaceChildren(...this.items);
  }

  update(index, row) {
    this.rows[index] = row;
    const item = this.items[index];
    const [, name, picks] = item.children;
    const isolated = `\u2066${row.name}\u2069`; // long names are cut at their beginning, with right-to-left text; this keeps their own order
    if (name.textContent !== isolated) name.textContent = isolated;
    item.title = row.name;
    picks.textContent = row.bad ? "bad" : formatCount(row.picks);
    item.className = ["edited", "reviewed", "bad"].filter((kind) => row[kind]).join(" ");
    item.hidden = !this.matches(row);
  }

  applyFilter() {
    this.rows.forEach((row, index) => (this.items[index].hidden = !this.matches(row)));
  }

  matches(row) {
    const kind = this.filter.value;
    const matching = kind === "all" || (kind === "open" ? isOpen(row) : row[kind]);
    return matching && row.name.toLowerCase().includes(this.search.value.trim().toLowerCase());
  }

  mark(index) {
    this.container.querySelector("[aria-current=true]")?.removeAttribute("aria-current");
    this.items[index].setAttribute("aria-current", "true");
    this.items[index].scrollIntoView({ block: "nearest" });
  }

  // The next listed micrograph after `index` in a direction; null at the end.
  step(index, direction, wanted = () => true) {
    for (let place = index + direction; place >= 0 && place < this.rows.length; place += direction) {
      if (!this.items[place].hidden && wanted(this.rows[place])) return place;
    }
    return null;
  }

  nextOpen(index) {
    return this.step(index, 1, isOpen) ?? this.step(-1, 1, isOpen);
  }
}

// Whether a micrograph is still to be reviewed.
export function isOpen(row) {
  return !row.reviewed && !row.bad;
}
