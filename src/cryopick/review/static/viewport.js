// Where the image lies on the screen. Points are in the image frame: the centre of the first pixel is (0, 0), so the edges of the
// image are at -0.5. This is the only module that handles the half pixel.

const LARGEST_SCALE = 24; // screen pixels per pixel of the micrograph
const MARGIN = 60; // screen pixels of the image that stay visible

export class Viewport {
  constructor() {
    this.scale = 1; // CSS pixels per pixel of the micrograph
    this.left = 0; // position of the left edge of the image, in CSS pixels
    this.top = 0; // and of its top edge
    this.width = 1;
    this.height = 1;
    this.shape = [1, 1];
  }

  resize(width, height) {
    this.width = width;
    this.height = height;
  }

  // Show the whole image.
  fit([height, width] = this.shape) {
    this.shape = [height, width];
    this.scale = this.fitScale();
    this.left = (this.width - width * this.scale) / 2;
    this.top = (this.height - height * this.scale) / 2;
  }

  fitScale() {
    return 0.97 * Math.min(this.width / this.shape[1], this.height / this.shape[0]);
  }

  // Zoom about a point of the screen, by default the middle.
  zoom(factor, x = this.width / 2, y = this.height / 2) {
    const wanted = Math.min(LARGEST_SCALE, Math.max(this.fitScale() / 2, this.scale * factor));
    const ratio = wanted / this.scale;
    this.left = x - (x - this.left) * ratio;
    this.top = y - (y - this.top) * ratio;
    this.scale = wanted;
  }

  pan(dx, dy) {
    const [height, width] = this.shape;
    this.left = Math.min(this.width - MARGIN, Math.max(MARGIN - width * this.scale, this.left + dx));
    this.top = Math.min(this.height - MARGIN, Math.max(MARGIN - height * this.scale, this.top + dy));
  }

  toScreen(x, y) {
    return [this.left + (x + 0.5) * this.scale, this.top + (y + 0.5) * this.scale];
  }

  toImage(screenX, screenY) {
    return [(screenX - this.left) / this.scale - 0.5, (screenY - this.top) / this.scale - 0.5];
  }

  contains([x, y]) {
    return x >= 0 && y >= 0 && x <= this.shape[1] - 1 && y <= this.shape[0] - 1;
  }
}
