// Which files are clips: videos by their type or name, GIF and WebP if they have several images.

const SUFFIXES = /\.(mp4|m4v|mov|mkv|webm|avi|mpe?g|ts|mts|ogv|mxf|3gp|wmv|flv)$/i;
const ANIMATIONS = /\.(gif|webp)$/i;
const HEAD_BYTES = 1 << 24; // the first image of a GIF ends before

export const CLIP_TYPES = "video/*,.mkv,.mov,.avi,.mxf,.ts";

/** True if a file should be painted as a clip. The server checks what is really in it. */
export async function isClipFile(file) {
  if (file.type.startsWith("video/") || SUFFIXES.test(file.name)) return true;
  if (!ANIMATIONS.test(file.name) && !["image/gif", "image/webp"].includes(file.type)) return false;
  const bytes = new Uint8Array(await file.slice(0, HEAD_BYTES).arrayBuffer());
  const text = String.fromCharCode(...bytes.slice(0, 16));
  if (text.startsWith("RIFF")) return text.slice(12, 16) === "VP8X" && (bytes[20] & 2) !== 0;
  return text.startsWith("GIF8") && hasSeveralImages(bytes);
}

/** True if a GIF has a second image. Its blocks are walked through: extensions (0x21) and images (0x2c). */
function hasSeveralImages(bytes) {
  const colorTable = (flags) => (flags & 0x80 ? 3 << ((flags & 7) + 1) : 0);
  let count = 0;
  for (let at = 13 + colorTable(bytes[10]); at < bytes.length && count < 2; ) {
    if (bytes[at] === 0x2c) {
      count += 1;
      at += 11 + colorTable(bytes[at + 9]);
    } else if (bytes[at] === 0x21) {
      at += 2;
    } else {
      break;
    }
    while (bytes[at]) at += bytes[at] + 1; // sub-blocks, the last of which is empty
    at += 1;
  }
  return count > 1;
}
