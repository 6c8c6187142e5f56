"""Clips: reading them frame by frame, and writing them with their sound."""

from impasto.clips.clip import Clip, open_clip, select_frames
from impasto.clips.color import ColorTags
from impasto.clips.metadata import read_clip_metadata
from impasto.clips.sound import Sound
from impasto.clips.writing import ClipWriter, require_clip_output

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
