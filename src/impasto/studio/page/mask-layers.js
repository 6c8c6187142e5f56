// The layers of a mask: one canvas for each label, opaque where the label covers the photo.

const JPEG_NOISE = 16; // masks are loaded as JPEGs: values this close to 0 or 255 are rounded

export async function loadImage(url) {
  const image = new Image();
  image.src = url;
  await image.decode();
  return image;
}

/** The opacity of each pixel of some layers together. */
function opacities(...layers) {
  const { width, height } = layers[0].canvas;
  const union = Object.assign(document.createElement("canvas"), { width, height }).getContext("2d", { willReadFrequently: true });
  for (const { canvas } of layers) union.drawImage(canvas, 0, 0);
  const { data } = union.getImageData(0, 0, width, height);
  return Uint8Array.from({ length: width * height }, (_, index) => data[4 * index + 3]);
}

export class MaskLayers {
  constructor(width, height, labels) {
    this.size = [width, height];
    this.layers = new Map(labels.map((label) => [label, this.createLayer()]));
  }

  createLayer(fill) {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = this.size;
    const context = canvas.getContext("2d");
    context.lineCap = context.lineJoin = "round";
    if (fill) {
      context.fillStyle = fill;
      context.fillRect(0, 0, ...this.size);
    }
    return context;
  }

  /** Remove all strokes. `base` has what each layer shows without strokes. */
  reset(base) {
    for (const [label, layer] of this.layers) {
      layer.globalCompositeOperation = "source-over";
      layer.clearRect(0, 0, ...this.size);
      if (base?.has(label)) layer.drawImage(base.get(label), 0, 0);
    }
  }

  /** Load masks as one canvas, opaque where they are white, or with `inverted` where all are black; null if it is empty. */
  async loadMasks(masks, inverted = false) {
    const layer = this.createLayer();
    layer.globalCompositeOperation = "lighter";
    for (const mask of masks) layer.drawImage(await loadImage(`/api/files/${mask.sha256}/thumbnail?side=1024`), 0, 0, ...this.size);
    const image = layer.getImageData(0, 0, ...this.size);
    const { data } = image;
    let isEmpty = true;
    for (let at = 0; at < data.length; at += 4) {
      const value = data[at] < JPEG_NOISE ? 0 : data[at] > 255 - JPEG_NOISE ? 255 : data[at];
      data.set([255, 255, 255, inverted ? 255 - value : value], at);
      isEmpty &&= data[at + 3] === 0;
    }
    if (isEmpty) return null;
    layer.putImageData(image, 0, 0);
    return layer.canvas;
  }

  /** Draw a part of a stroke on its layer, and erase it from all others. */
  drawStroke({ label, width }, points) {
    for (const [name, layer] of this.layers) {
      layer.globalCompositeOperation = name === label ? "source-over" : "destination-out";
      layer.strokeStyle = "#fff";
      layer.lineWidth = width;
      layer.beginPath();
      layer.moveTo(...points[0]);
      for (const point of points.slice(1)) layer.lineTo(...point);
      if (points.length === 1) layer.lineTo(points[0][0] + 0.01, points[0][1]);
      layer.stroke();
    }
  }

  isEmpty(label) {
    return !opacities(this.layers.get(label)).some((opacity) => opacity > 0);
  }

  /** True if the layers cover the whole photo. Soft edges between strokes count as covered. */
  coverEverything() {
    return opacities(...this.layers.values()).every((opacity) => opacity > 127);
  }

  tinted(label, color) {
    const layer = this.createLayer(color);
    layer.globalCompositeOperation = "destination-in";
    layer.drawImage(this.layers.get(label).canvas, 0, 0);
    return layer.canvas;
  }

  /** Encode labels as a PNG, white on black, or with `inverted` white everywhere else. */
  toPng(labels, inverted = false) {
    const white = this.createLayer(inverted ? "#fff" : undefined);
    if (inverted) white.globalCompositeOperation = "destination-out";
    for (const label of labels) white.drawImage(this.layers.get(label).canvas, 0, 0);
    const black = this.createLayer("#000");
    black.drawImage(white.canvas, 0, 0);
    return new Promise((resolve) => black.canvas.toBlob(resolve, "image/png"));
  }
}
