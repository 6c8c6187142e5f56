// A viewer that turns an equirectangular picture: by mouse, touch, or arrow keys; two fingers zoom. It draws with
// WebGL 2, or, where a browser has none, point by point. Nothing moves by itself. The studio's page and reports share it.

const FIELD = { usual: 75, least: 30, most: 110 }; // of view, from top to bottom, in degrees
const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
const KEY_TURN = 10; // degrees
const ZOOM_KEYS = { "+": 1 / 1.2, "=": 1 / 1.2, "-": 1.2 };
const DRAWN_PX = 360; // the width of the view without WebGL
const HELP = "Drag or use the arrow keys to turn, two fingers or plus and minus to zoom, 0 to return.";

const VERTEX = `#version 300 es
in vec2 corner;
out vec2 place;
void main() { place = corner; gl_Position = vec4(corner, 0.0, 1.0); }`;

const FRAGMENT = `#version 300 es
precision highp float;
uniform sampler2D picture;
uniform vec2 turn;
uniform vec2 reach;
in vec2 place;
out vec4 color;
void main() {
  vec3 ray = normalize(vec3(place * reach, -1.0));
  vec2 c = cos(turn), s = sin(turn);
  ray = vec3(ray.x, ray.y * c.y - ray.z * s.y, ray.z * c.y + ray.y * s.y);
  ray = vec3(ray.x * c.x - ray.z * s.x, ray.y, ray.z * c.x + ray.x * s.x);
  vec2 at = vec2(0.5 + atan(ray.x, -ray.z) / 6.28318530718, 0.5 - asin(clamp(ray.y, -1.0, 1.0)) / 3.14159265359);
  color = texture(picture, at);
}`;

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const toRadians = (degrees) => (degrees * Math.PI) / 180;

/** Return a canvas that shows a panorama. `image` is an image element that is loaded or will be. */
export function viewPanorama(image, label) {
  const canvas = document.createElement("canvas");
  canvas.className = "panorama";
  canvas.tabIndex = 0;
  canvas.title = HELP;
  for (const [name, value] of Object.entries({ role: "img", "aria-roledescription": "360° view", "aria-label": `${label}. ${HELP}` })) {
    canvas.setAttribute(name, value);
  }
  const view = { yaw: 0, pitch: 0, field: FIELD.usual };
  let draw = null;
  let isDue = false;
  const update = () => {
    view.yaw = ((((view.yaw + 180) % 360) + 360) % 360) - 180;
    view.pitch = clamp(view.pitch, -90, 90);
    view.field = clamp(view.field, FIELD.least, FIELD.most);
    Object.assign(canvas.dataset, { yaw: Math.round(view.yaw), pitch: Math.round(view.pitch), field: Math.round(view.field) });
    if (!draw || isDue) return;
    isDue = true;
    requestAnimationFrame(() => {
      isDue = false;
      draw?.(view);
    });
  };
  const start = () => {
    draw = drawWithWebGL(canvas, image) ?? drawByPoints(canvas, image);
    // A browser that runs out of memory takes the texture away, and may give it back.
    canvas.addEventListener("webglcontextlost", (event) => {
      event.preventDefault();
      draw = null;
    });
    canvas.addEventListener("webglcontextrestored", () => {
      draw = drawWithWebGL(canvas, image);
      update();
    });
    new ResizeObserver(update).observe(canvas);
    update();
  };
  if (image.complete && image.naturalWidth) start();
  else image.addEventListener("load", start, { once: true });
  addControls(canvas, view, update);
  update();
  return canvas;
}

/** Return the middle of points, and how far apart they are. */
function measure(points) {
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [x, y] = [0, 1].map((side) => mean(points.map((point) => point[side])));
  return { x, y, spread: mean(points.map((point) => Math.hypot(point[0] - x, point[1] - y))) };
}

function addControls(canvas, view, update) {
  const pointers = new Map(); // the mouse, or each finger, and where it is
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, [event.clientX, event.clientY]);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!pointers.has(event.pointerId)) return;
    const before = measure([...pointers.values()]);
    pointers.set(event.pointerId, [event.clientX, event.clientY]);
    const after = measure([...pointers.values()]);
    const degrees = view.field / canvas.clientHeight; // of a pixel
    view.yaw -= (after.x - before.x) * degrees;
    view.pitch += (after.y - before.y) * degrees;
    if (pointers.size > 1) view.field *= Math.max(before.spread, 1) / Math.max(after.spread, 1);
    update();
  });
  for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, (event) => pointers.delete(event.pointerId));
  canvas.addEventListener("wheel", (event) => {
    if (document.activeElement !== canvas) return; // the page scrolls
    event.preventDefault();
    view.field *= Math.exp(event.deltaY / 600);
    update();
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const turn = KEYS[event.key];
    if (turn) {
      view.yaw += KEY_TURN * turn[0];
      view.pitch += KEY_TURN * turn[1];
    } else if (ZOOM_KEYS[event.key]) view.field *= ZOOM_KEYS[event.key];
    else if (event.key === "0") Object.assign(view, { yaw: 0, pitch: 0, field: FIELD.usual });
    else return;
    event.preventDefault();
    update();
  });
}

/** Return how far the view reaches to the right and up, at a distance of 1. */
function reachOf(view, width, height) {
  const up = Math.tan(toRadians(view.field / 2));
  return [(up * width) / height, up];
}

/** Return a function that draws a view with WebGL 2; null without it. */
function drawWithWebGL(canvas, image) {
  const gl = canvas.getContext("webgl2");
  if (!gl) return null;
  const program = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  gl.useProgram(program);
  gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
  gl.bufferData(gl.ARRAY_BUFFER, new Float32Array([-1, -1, 3, -1, -1, 3]), gl.STATIC_DRAW); // a triangle around all
  const corner = gl.getAttribLocation(program, "corner");
  gl.enableVertexAttribArray(corner);
  gl.vertexAttribPointer(corner, 2, gl.FLOAT, false, 0, 0);
  gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, fitTexture(image, gl.getParameter(gl.MAX_TEXTURE_SIZE)));
  // Mipmaps would show a line where the longitude jumps.
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
  const [turn, reach] = ["turn", "reach"].map((name) => gl.getUniformLocation(program, name));
  canvas.dataset.renderer = "webgl";
  return (view) => {
    canvas.width = Math.max(1, Math.round(canvas.clientWidth * devicePixelRatio));
    canvas.height = Math.max(1, Math.round(canvas.clientHeight * devicePixelRatio));
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.uniform2f(turn, toRadians(view.yaw), toRadians(view.pitch));
    gl.uniform2f(reach, ...reachOf(view, canvas.width, canvas.height));
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  };
}

/** Return the image, or a smaller copy if it is too large for a texture. */
function fitTexture(image, limit) {
  const scale = Math.min(1, limit / Math.max(image.naturalWidth, image.naturalHeight));
  return scale === 1 ? image : copyImage(image, Math.floor(image.naturalWidth * scale), Math.floor(image.naturalHeight * scale));
}

function copyImage(image, width, height) {
  const copy = Object.assign(document.createElement("canvas"), { width, height });
  copy.getContext("2d", { willReadFrequently: true }).drawImage(image, 0, 0, width, height);
  return copy;
}

/** Return a function that draws a view pixel by pixel, at a low resolution. */
function drawByPoints(canvas, image) {
  const copy = copyImage(image, Math.min(image.naturalWidth, 2048), Math.min(image.naturalHeight, 1024));
  const { width, height } = copy;
  const pixels = new Uint32Array(copy.getContext("2d").getImageData(0, 0, width, height).data.buffer);
  const context = canvas.getContext("2d");
  canvas.dataset.renderer = "2d";
  return (view) => {
    canvas.width = DRAWN_PX;
    canvas.height = Math.max(1, Math.round((DRAWN_PX * canvas.clientHeight) / Math.max(canvas.clientWidth, 1)));
    const drawn = context.createImageData(canvas.width, canvas.height);
    const target = new Uint32Array(drawn.data.buffer);
    const [right, up] = reachOf(view, canvas.width, canvas.height);
    const [yaw, pitch] = [toRadians(view.yaw), toRadians(view.pitch)];
    for (let row = 0, at = 0; row < canvas.height; row++) {
      const y = up * (1 - (2 * row + 1) / canvas.height);
      const [high, far] = [y * Math.cos(pitch) + Math.sin(pitch), Math.cos(pitch) - y * Math.sin(pitch)];
      for (let column = 0; column < canvas.width; column++, at++) {
        const x = right * ((2 * column + 1) / canvas.width - 1);
        const longitude = yaw + Math.atan2(x, far);
        const latitude = Math.atan2(high, Math.hypot(x, far));
        const turns = longitude / (2 * Math.PI) + 0.5;
        const u = Math.floor((turns - Math.floor(turns)) * width);
        const v = clamp(Math.floor((0.5 - latitude / Math.PI) * height), 0, height - 1);
        target[at] = pixels[v * width + Math.min(u, width - 1)];
      }
    }
    context.putImageData(drawn, 0, 0);
  };
}
