// A scale bar of a round length at the lower left, where the pixel size is known.

const LONGEST = 160; // screen pixels
const ROUND = [1, 2, 5];

export function drawScaleBar(box, viewport, detail) {
  box.hidden = !detail?.pixelSize;
  if (box.hidden) return;
  const most = (LONGEST / viewport.scale) * detail.pixelSize;
  const power = 10 ** Math.floor(Math.log10(most));
  const length = Math.max(...ROUND.map((factor) => factor * power).filter((value) => value <= most));
  box.firstElementChild.style.width = `${(length / detail.pixelSize) * viewport.scale}px`;
  box.lastElementChild.textContent = length >= 10 ? `${length / 10} nm` : `${length} Å`;
}
