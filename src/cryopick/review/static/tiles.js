// The image: tiles of the level that suits the zoom, above coarser ones that are shown while finer ones load.

const CACHE_SIZE = 240; // tiles in memory
const PARALLEL_REQUESTS = 6;
const RETRY_AFTER = 2000; // ms, for a tile that could not be loaded
const SMOOTH_BELOW = 3; // screen pixels per image pixel; above, pixels are drawn as squares

export class TileLayer {
  constructor(canvas, viewport, redraw) {
    this.canvas = canvas;
    this.viewport = viewport;
    this.redraw = redraw;
    this.tiles = new Map(); // in the order in which they were requested
    this.wanted = [];
    this.loading = 0;
    this.missing = 0; // tiles that the present view needs and that are not loaded
    this.source = null;
    this.previous = null; // the former view of the same micrograph, drawn until the new one is loaded
  }

  // source: { index, kind: "plain" | "denoised", blur, shape, levels, first, tile }; null shows nothing
  show(source) {
    if (this.source?.index !== source?.index) this.previous = null;
    else if (this.hasImage) this.previous = this.source;
    this.source = source;
  }

  // Whether there is an image to see, even if it is coarse.
  get hasImage() {
    return !this.source || isLoaded(this.tiles.get(tileUrl(this.source, this.source.levels - 1, 0, 0)));
  }

  // Whether every tile of the present view has been drawn.
  get complete() {
    return this.missing === 0;
  }

  draw() {
    const { canvas, viewport, source } = this;
    const ratio = window.devicePixelRatio || 1;
    fitCanvas(canvas, viewport, ratio);
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, viewport.width, viewport.height);
    this.wanted = [];
    this.missing = 0;
    if (!source) return;
    context.imageSmoothingEnabled = viewport.scale < SMOOTH_BELOW;
    if (this.previous && !this.hasImage) this.drawLevels(context, this.previous, ratio, false);
    this.drawLevels(context, source, ratio, true);
    this.loadNext();
  }

  drawLevels(context, source, ratio, load) {
    const coarsest = source.levels - 1;
    const best = Math.min(coarsest, Math.max(source.first, Math.floor(0.35 - Math.log2(this.viewport.scale * ratio))));
    for (const level of new Set([coarsest, best + 2, best + 1, best])) {
      if (level >= best && level <= coarsest) this.drawLevel(context, source, level, load && (level === coarsest || level === best));
    }
  }

  // Load the coarsest level of another micrograph.
  preload(source) {
    this.wanted.push({ source, level: source.levels - 1, column: 0, row: 0 });
    this.loadNext();
  }

  drawLevel(context, source, level, load) {
    const { viewport } = this;
    const side = source.tile * 2 ** level * viewport.scale; // of a tile, on the screen
    const [columns, rows] = [source.shape[1], source.shape[0]].map((size) => Math.ceil(Math.ceil(size / 2 ** level) / source.tile));
    const from = [Math.max(0, Math.floor(-viewport.left / side)), Math.max(0, Math.floor(-viewport.top / side))];
    const to = [Math.min(columns, Math.ceil((viewport.width - viewport.left) / side)), Math.min(rows, Math.ceil((viewport.height - viewport.top) / side))];
    for (let row = from[1]; row < to[1]; row++) {
      for (let column = from[0]; column < to[0]; column++) {
        const image = this.tiles.get(tileUrl(source, level, column, row));
        if (isLoaded(image)) {
          const zoom = 2 ** level * viewport.scale;
          context.drawImage(image, viewport.left + column * side, viewport.top + row * side, image.naturalWidth * zoom, image.naturalHeight * zoom);
        } else if (load) {
          this.missing++;
          if (!image) this.wanted.push({ source, level, column, row });
        }
      }
    }
  }

  loadNext() {
    while (this.wanted.length && this.loading < PARALLEL_REQUESTS) {
      const { source, level, column, row } = this.wanted.shift();
      const key = tileUrl(source, level, column, row);
      if (this.tiles.has(key)) continue;
      const image = new Image();
      this.tiles.set(key, image);
      this.loading++;
      image.onload = () => this.settle();
      image.onerror = () => {
        setTimeout(() => this.tiles.delete(key), RETRY_AFTER);
        this.settle();
      };
      image.src = key;
    }
    for (const key of this.tiles.keys()) {
      if (this.tiles.size <= CACHE_SIZE) break;
      this.tiles.delete(key);
    }
  }

  settle() {
    this.loading--;
    this.redraw();
  }
}

// Give a canvas as many pixels as it has on the screen.
export function fitCanvas(canvas, viewport, ratio) {
  const [width, height] = [Math.round(viewport.width * ratio), Math.round(viewport.height * ratio)];
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
}

function isLoaded(image) {
  return Boolean(image?.complete && image.naturalWidth);
}

function tileUrl(source, level, column, row) {
  const blur = source.blur ? `?blur=${source.blur}` : "";
  return `/tiles/${source.index}/${source.kind}/${level}/${column}/${row}.jpg${blur}`;
}
