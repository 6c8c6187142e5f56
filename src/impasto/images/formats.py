"""Formats of picture files, recognized by their first bytes and never by their names."""

from __future__ import annotations

from pathlib import Path
from typing import IO

from impasto.errors import ImageError
from impasto.images.exr import import_openexr

__all__ = [
    "ACCEPTED",
    "FORMATS",
    "HEAD_BYTES",
    "WITHOUT_LIBVIPS",
    "detect_format",
    "require_no_camera_raw",
    "require_readable",
    "require_readable_file",
]

FORMATS = {
    "jpeg": "jpegload_source",
    "png": "pngload_source",
    "webp": "webpload_source",
    "avif": "heifload_source",
    "tiff": "tiffload_source",
    "gif": "gifload_source",
}
"""Each format that libvips reads, with the loader to use. Chosen by itself, libvips may take another: 8.18 gives JPEGs
with a gain map to a loader of HDR pictures."""

WITHOUT_LIBVIPS = ("bmp", "heic", "psd", "exr")
"""Formats that libvips' distribution on PyPI does not read. HEIC and OpenEXR need the extras `heic` and `exr`."""

ACCEPTED = "JPEG, PNG, WebP, AVIF, TIFF, GIF, BMP, PSD or EXR"

HEAD_BYTES = 512

NEW_SUBFILE_TYPE, PHOTOMETRIC, DNG_VERSION = 254, 262, 50706
SENSOR_VALUES = (32803, 34892)  # color filter array, linear raw

SIGNATURES = (
    (0, b"\xff\xd8\xff", "jpeg"),
    (0, b"\x89PNG\r\n\x1a\n", "png"),
    (0, b"GIF8", "gif"),
    (8, b"WEBP", "webp"),
    (8, b"CR\x02\0", "camera raw"),
    (0, b"II*\0", "tiff"),
    (0, b"MM\0*", "tiff"),
    (0, b"II+\0", "tiff"),
    (0, b"MM\0+", "tiff"),
    (0, b"BM", "bmp"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"%PDF", "PDF"),
    (0, b"8BPS", "psd"),
    (0, b"v/1\x01", "exr"),
    (0, b"#?RADIANCE", "Radiance HDR"),
    (0, b"IIRO", "camera raw"),
    (0, b"IIU\0", "camera raw"),
    (0, b"FUJIFILMCCD-RAW", "camera raw"),
    (0, b"\0\0\x01\0", "icon"),
)

BRANDS = {
    b"avif": "avif",
    b"avis": "avif",
    b"crx ": "camera raw",
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"), "heic"),
    **dict.fromkeys((b"isom", b"mp41", b"mp42", b"qt  ", b"M4V "), "video"),
}
"""Brands of ISO media files (ISO/IEC 14496-12), the most specific ones first."""


def detect_format(head: bytes) -> str | None:
    """Return the format of a file from its first `HEAD_BYTES`, or None if it is unknown."""
    if head[4:8] == b"ftyp":
        size = min(int.from_bytes(head[:4], "big"), len(head))
        brands = {head[8:12], *(head[start : start + 4] for start in range(16, size, 4))}
        return next((name for brand, name in BRANDS.items() if brand in brands), None)
    for offset, signature, name in SIGNATURES:
        if head[offset : offset + len(signature)] == signature:
            return name
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return "SVG" if text.startswith((b"<svg", b"<?xml")) and b"<svg" in head.lower() else None


def require_readable_file(path: Path) -> None:
    """Raise `ImageError` if a file's first bytes are not those of a picture that can be read here."""
    try:
        with path.open("rb") as file:
            if require_readable(file.read(HEAD_BYTES), str(path)) == "tiff":
                require_no_camera_raw(file, str(path))
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error.strerror}.") from error


def require_readable(head: bytes, label: str) -> str:
    """Return the format of a file from its first bytes. Raises `ImageError` if it is not read here."""
    name = detect_format(head)
    if name in FORMATS or name in ("bmp", "psd"):
        return str(name)
    if name == "exr":
        if import_openexr() is None:
            raise ImageError(f"{label}: OpenEXR is not read here. Export it as TIFF, or install impasto[exr].")
        return name
    if name == "heic":
        try:
            import pillow_heif  # noqa: F401 - only to see if it is there
        except ImportError:
            raise ImageError(f"{label}: HEIC is not read here. Export it as JPEG, or install impasto[heic].") from None
        return name
    if name is not None:
        raise ImageError(f"{label} is in an unsupported format, {name}. Give {ACCEPTED}.")
    raise ImageError(f"{label} cannot be read as an image. Is it a complete {ACCEPTED}?")


def require_no_camera_raw(file: IO[bytes], label: str) -> None:
    """Raise `ImageError` for a camera raw file in the form of a TIFF, such as DNG, NEF or ARW.

    Its first image is a thumbnail or the values of the sensor (TIFF 6.0, NewSubfileType; DNG 1.7, DNGVersion).
    """
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    file.seek(0)
    head = file.read(8)
    try:
        directory = ImageFileDirectory_v2(head + file.read(8) if head[2:4] in (b"+\0", b"\0+") else head)
        file.seek(directory.next)
        directory.load(file)
        is_thumbnail = bool(directory.get(NEW_SUBFILE_TYPE, 0) & 1)
        is_raw = DNG_VERSION in directory or directory.get(PHOTOMETRIC) in SENSOR_VALUES
    except Exception:  # Pillow raises any type; libvips says what is wrong with a damaged file
        return
    if is_thumbnail or is_raw:
        raise ImageError(f"{label} is a camera raw file, which holds no finished picture. Export it as TIFF or JPEG.")
