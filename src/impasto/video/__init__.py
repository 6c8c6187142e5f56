"""Clips: reading them frame by frame, and writing them with their sound."""

from impasto.video.clip import Clip, open_clip, select_frames
from impasto.video.color import ColorTags
from impasto.video.metadata import read_clip_metadata
from impasto.video.sound import Sound
from impasto.video.writing import ClipWriter, require_clip_output

__all__ = [
    "Clip",
    "ClipWriter",
    "ColorTags",
    "Sound",
    "open_clip",
    "read_clip_metadata",
    "require_clip_output",
    "select_frames",
]
