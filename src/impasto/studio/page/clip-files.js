// Which files are clips: videos by their type or name, GIF and WebP if they have several images.

const SUFFIXES = /\.(mp4|m4v|mov|mkv|webm|avi|mpe?g|ts|mts|ogv|mxf|3gp|wmv|flv)$/i;
const ANIMATIONS = /\.(gif|webp)$/i;
const HEAD_BYTES = 1 << 20;
const GIF_IMAGE = [0x21, 0xf9, 0x04]; // the start of the graphic control extension, which each image of an animation has

export const CLIP_TYPES = "video/*,.mkv,.mov,.avi,.mxf,.ts";

/** True if a file should be painted as a clip. The server checks what is really in it. */
export async function isClipFile(file) {
  if (file.type.startsWith("video/") || SUFFIXES.test(file.name)) return true;
  if (!ANIMATIONS.test(file.name) && !["image/gif", "image/webp"].includes(file.type)) return false;
  const bytes = new Uint8Array(await file.slice(0, HEAD_BYTES).arrayBuffer());
  const text = String.fromCharCode(...bytes.slice(0, 16));
  if (text.startsWith("RIFF")) return text.slice(12, 16) === "VP8X" && (bytes[20] & 2) !== 0;
  if (!text.startsWith("GIF8")) return false;
  const startsAt = (at) => GIF_IMAGE.every((value, offset) => bytes[at + offset] === value);
  let count = 0;
  for (let at = 0; at < bytes.length && count < 2; at++) count += startsAt(at);
  return count > 1;
}
