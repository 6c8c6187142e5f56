// References to pictures and clips: samples by name, uploaded files by hash.

/** The side of a small copy. Those of sample paintings are there before the paintings are drawn. */
export const SMALL_PX = 192;

/** The URL of a frame of a clip, whose long side is at most `side` pixels. */
export const frameUrl = (clip, number, side) => `/api/clips/${clip.sha256}/frames/${number}?side=${side}`;

/** The URL of a picture whose long side is at most `side` pixels; of a clip, that of its first frame. */
export function thumbnailUrl(picture, side) {
  if (picture.isClip) return frameUrl(picture, 0, side);
  return picture.sample ? `/api/samples/${picture.sample}/thumbnail?side=${side}` : `/api/files/${picture.sha256}/thumbnail?side=${side}`;
}

/** A picture as the API expects it. */
export const toReference = (picture) => (picture.sample ? { sample: picture.sample } : { sha256: picture.sha256, name: picture.name });

export const isSamePicture = (one, other) => Boolean(one && other) && thumbnailUrl(one, 16) === thumbnailUrl(other, 16);
