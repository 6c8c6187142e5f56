"""OpenCV, which comes with the extra `video`."""

from impasto.errors import VideoError

try:
    import cv2
except ImportError as error:
    raise VideoError("Painting clips needs OpenCV. Run pip install 'impasto[video]'.") from error

__all__ = ["cv2"]
