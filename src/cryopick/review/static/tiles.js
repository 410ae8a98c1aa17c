// The picture itself: tiles of the level that fits the zoom, coarser ones below them while those are on their way.

const KEPT = 240; // tiles in memory
const AT_ONCE = 6;
const SMOOTH_BELOW = 3; // screen pixels for a pixel; above, single pixels are shown as squares

export class TileLayer {
  constructor(canvas, view, redraw) {
    this.canvas = canvas;
    this.view = view;
    this.redraw = redraw;
    this.tiles = new Map(); // in the order of use
    this.wanted = [];
    this.loading = 0;
    this.source = null;
    this.before = null; // the view of the same micrograph that stays until the new one has arrived
  }

  // source: { index, kind: "plain" | "denoised", blur, shape, levels, first, tile }
  show(source) {
    if (this.source?.index !== source?.index) this.before = null;
    else if (this.arrived) this.before = this.source;
    this.source = source;
  }

  // Whether there is anything of the picture to see, be it coarse.
  get arrived() {
    return !this.source || isLoaded(this.tiles.get(address(this.source, this.source.levels - 1, 0, 0)));
  }

  draw() {
    const { canvas, view, source } = this;
    const ratio = window.devicePixelRatio || 1;
    fitCanvas(canvas, view, ratio);
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, view.width, view.height);
    this.wanted = [];
    if (!source) return;
    context.imageSmoothingEnabled = view.scale < SMOOTH_BELOW;
    if (this.before && !this.arrived) this.drawLevels(context, this.before, ratio, false);
    this.drawLevels(context, source, ratio, true);
    this.loadNext();
  }

  drawLevels(context, source, ratio, load) {
    const coarsest = source.levels - 1;
    const best = Math.min(coarsest, Math.max(source.first, Math.floor(0.35 - Math.log2(this.view.scale * ratio))));
    for (const level of new Set([coarsest, best + 2, best + 1, best])) {
      if (level >= best && level <= coarsest) this.drawLevel(context, source, level, load && (level === coarsest || level === best));
    }
  }

  // Start loading what is shown first of another micrograph.
  warm(source) {
    this.wanted.push({ source, level: source.levels - 1, column: 0, row: 0 });
    this.loadNext();
  }

  drawLevel(context, source, level, load) {
    const { view } = this;
    const side = source.tile * 2 ** level * view.scale; // of a tile, on the screen
    const [columns, rows] = [source.shape[1], source.shape[0]].map((size) => Math.ceil(Math.ceil(size / 2 ** level) / source.tile));
    const from = [Math.max(0, Math.floor(-view.left / side)), Math.max(0, Math.floor(-view.top / side))];
    const to = [Math.min(columns, Math.ceil((view.width - view.left) / side)), Math.min(rows, Math.ceil((view.height - view.top) / side))];
    for (let row = from[1]; row < to[1]; row++) {
      for (let column = from[0]; column < to[0]; column++) {
        const picture = this.tiles.get(address(source, level, column, row));
        if (isLoaded(picture)) {
          const grow = 2 ** level * view.scale;
          context.drawImage(picture, view.left + column * side, view.top + row * side, picture.naturalWidth * grow, picture.naturalHeight * grow);
        } else if (load && !picture) {
          this.wanted.push({ source, level, column, row });
        }
      }
    }
  }

  loadNext() {
    while (this.wanted.length && this.loading < AT_ONCE) {
      const { source, level, column, row } = this.wanted.shift();
      const key = address(source, level, column, row);
      if (this.tiles.has(key)) continue;
      const picture = new Image();
      this.tiles.set(key, picture);
      this.loading++;
      picture.onload = () => this.settle();
      picture.onerror = () => {
        setTimeout(() => this.tiles.delete(key), 2000);
        this.settle();
      };
      picture.src = key;
    }
    for (const key of this.tiles.keys()) {
      if (this.tiles.size <= KEPT) break;
      this.tiles.delete(key);
    }
  }

  settle() {
    this.loading--;
    this.redraw();
  }
}

export function fitCanvas(canvas, view, ratio) {
  const [width, height] = [Math.round(view.width * ratio), Math.round(view.height * ratio)];
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
}

function isLoaded(picture) {
  return Boolean(picture?.complete && picture.naturalWidth);
}

function address(source, level, column, row) {
  const blur = source.blur ? `?blur=${source.blur}` : "";
  return `/tiles/${source.index}/${source.kind}/${level}/${column}/${row}.jpg${blur}`;
}
