// The list of micrographs at the left.

export class List {
  constructor(container, onChoose) {
    this.container = container;
    this.items = [];
    this.rows = [];
    container.addEventListener("click", (event) => {
      const item = event.target.closest("li");
      if (item) onChoose(Number(item.dataset.index));
    });
    this.search = document.getElementById("search");
    this.filter = document.getElementById("filter");
    this.search.addEventListener("input", () => this.sift());
    this.filter.addEventListener("change", () => this.sift());
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
    const isolated = `\u2066${row.name}\u2069`; // the column cuts long names at their beginning, which must not turn their dots
    if (name.textContent !== isolated) name.textContent = isolated;
    item.title = row.name;
    picks.textContent = row.bad ? "bad" : row.picks.toLocaleString("en");
    item.className = ["touched", "reviewed", "bad"].filter((kind) => row[kind]).join(" ");
    item.hidden = !this.fits(row);
  }

  sift() {
    this.rows.forEach((row, index) => (this.items[index].hidden = !this.fits(row)));
  }

  fits(row) {
    const kind = this.filter.value;
    const fitting = kind === "all" || (kind === "open" ? isOpen(row) : row[kind]);
    return fitting && row.name.toLowerCase().includes(this.search.value.trim().toLowerCase());
  }

  mark(index) {
    this.container.querySelector("[aria-current=true]")?.removeAttribute("aria-current");
    this.items[index].setAttribute("aria-current", "true");
    this.items[index].scrollIntoView({ block: "nearest" });
  }

  // The nearest listed micrograph in a direction, from `index` on and never itself; null at the end.
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

export function isOpen(row) {
  return !row.reviewed && !row.bad;
}
