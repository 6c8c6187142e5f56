// The layers of a mask: a sheet for each label, as opaque as it covers the photo, and what is made of them.

const NOISE = 16;

export async function loaded(address) {
  const image = new Image();
  image.src = address;
  await image.decode();
  return image;
}

/** Of each pixel of sheets that lie on each other. */
function opacities(...sheets) {
  const { width, height } = sheets[0].canvas;
  const all = Object.assign(document.createElement("canvas"), { width, height }).getContext("2d", { willReadFrequently: true });
  for (const { canvas } of sheets) all.drawImage(canvas, 0, 0);
  const { data } = all.getImageData(0, 0, width, height);
  return Uint8Array.from({ length: width * height }, (_, at) => data[4 * at + 3]);
}

export class Layers {
  constructor(width, height, labels) {
    this.size = [width, height];
    this.layers = new Map(labels.map((label) => [label, this.sheet()]));
  }

  sheet(fill) {
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

  /** Nothing, or what was there before the first stroke. */
  clear(ground) {
    for (const [name, layer] of this.layers) {
      layer.globalCompositeOperation = "source-over";
      layer.clearRect(0, 0, ...this.size);
      if (ground?.has(name)) layer.drawImage(ground.get(name), 0, 0);
    }
  }

  /** A sheet that is as opaque as white pictures say together, or as they leave it; nothing if it would be empty. */
  async covered(pictures, left = false) {
    const sheet = this.sheet();
    sheet.globalCompositeOperation = "lighter";
    for (const picture of pictures) sheet.drawImage(await loaded(`/api/files/${picture.sha256}/thumbnail?side=1024`), 0, 0, ...this.size);
    const image = sheet.getImageData(0, 0, ...this.size);
    const { data } = image;
    let some = false;
    for (let at = 0; at < data.length; at += 4) {
      // Looks are JPEGs: what is nearly nothing is nothing, and what is nearly all is all.
      const said = data[at] < NOISE ? 0 : data[at] > 255 - NOISE ? 255 : data[at];
      data.set([255, 255, 255, left ? 255 - said : said], at);
      some ||= data[at + 3] > 0;
    }
    if (!some) return null;
    sheet.putImageData(image, 0, 0);
    return sheet.canvas;
  }

  /** A part of a stroke: where it is put on one layer, it is taken from all others. */
  line({ label, width }, points) {
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

  /** Whether nothing is painted on a layer. */
  bare(label) {
    return !opacities(this.layers.get(label)).some((opacity) => opacity > 0);
  }

  /** Whether something is painted everywhere; seams of strokes are no room. */
  full() {
    return opacities(...this.layers.values()).every((opacity) => opacity > 127);
  }

  tinted(label, color) {
    const sheet = this.sheet(color);
    sheet.globalCompositeOperation = "destination-in";
    sheet.drawImage(this.layers.get(label).canvas, 0, 0);
    return sheet.canvas;
  }

  /** White on black as a PNG; `but` is white everywhere but there. */
  png(labels, but = false) {
    const white = this.sheet(but ? "#fff" : undefined);
    if (but) white.globalCompositeOperation = "destination-out";
    for (const label of labels) white.drawImage(this.layers.get(label).canvas, 0, 0);
    const black = this.sheet("#000");
    black.drawImage(white.canvas, 0, 0);
    return new Promise((resolve) => black.canvas.toBlob(resolve, "image/png"));
  }
}
