"""The target image between scales: how it starts, and how it grows."""

from __future__ import annotations

import torch
from torch import Tensor

from impasto.config import ResolvedConfig
from impasto.config.wrap import Dims, wrapped_dims
from impasto.core.image import Picture, resize
from impasto.core.pyramid import Scale
from impasto.core.seam import close_seam
from impasto.core.tensor_store import TensorStore, clone, iter_chunks

__all__ = ["initial_target", "pink_noise", "resize_to_scale", "upscale_target"]


def initial_target(picture: Picture | None, config: ResolvedConfig, scale: Scale, store: TensorStore) -> Tensor:
    """Return the target at the coarsest scale: a picture, or seeded noise around gray."""
    if picture is not None:
        return _fit_start(picture.pixels, config, scale, store)
    # Drawn on the CPU whatever the device, so that a seed means the same everywhere.
    generator = torch.Generator().manual_seed(config.seed)
    target = store.empty((1, 3, scale.height, scale.width))
    for channel in range(3):  # one at a time takes a third of the memory
        noise = torch.randn(scale.height, scale.width, generator=generator)
        if config.init_noise == "pink":
            noise = pink_noise(noise)
        target[0, channel] = noise.mul_(config.noise_std).add_(0.5)
        store.release(target)
    return target


def _fit_start(pixels: Tensor, config: ResolvedConfig, scale: Scale, store: TensorStore) -> Tensor:
    """Return a new target from the picture that it starts from."""
    wrap = wrapped_dims(config.wrap)
    if not wrap:
        return clone(store, resize_to_cover(pixels, scale))
    if config.init in ("content", "recolored"):  # nothing is cropped, so that edges that meet still do
        return clone(store, resize_to_scale(pixels, scale, wrap))
    return close_seam(resize_to_cover(pixels, scale), wrap, store)


def pink_noise(white: Tensor) -> Tensor:
    """Filter white noise (H, W) to an amplitude of 1/f, as in natural images, with unit variance."""
    height, width = white.shape
    spectrum = torch.fft.rfft2(white)
    fy = torch.fft.fftfreq(height)[:, None]
    fx = torch.fft.rfftfreq(width)[None, :]
    spectrum /= torch.hypot(fy, fx).clamp_(min=1 / max(height, width))
    noise: Tensor = torch.fft.irfft2(spectrum, s=(height, width))
    return noise.sub_(noise.mean()).div_(noise.std(correction=0).clamp(min=1e-12))


def upscale_target(
    target: Tensor, content: Tensor, before: Scale, scale: Scale, config: ResolvedConfig, store: TensorStore
) -> Tensor:
    """Resize the target to the next scale, and add the detail that the content gains there.

    Measured at 384 px: 1 % less loss after 50 steps, 5 % less with α = 50. Detail that the style does not want is soon
    painted over.
    """
    wrap = wrapped_dims(config.wrap)
    larger = clone(store, resize(target, scale.height, scale.width, wrap))
    if config.detail_transfer and config.content_weight:
        sharp = resize_to_scale(content, scale, wrap)
        blurred = resize(resize_to_scale(sharp, before, wrap), scale.height, scale.width, wrap)
        for pixels, fine, coarse in iter_chunks(store, larger, sharp, blurred):
            pixels.add_((fine - coarse).to(pixels.device), alpha=config.detail_transfer)
    return larger


def resize_to_scale(pixels: Tensor, scale: Scale, wrap: Dims = ()) -> Tensor:
    """Resize an image to exactly the size of a scale, clamped to [0, 1]."""
    if pixels.shape[2:] == (scale.height, scale.width):
        return pixels
    return resize(pixels, scale.height, scale.width, wrap).clamp_(0, 1)


def resize_to_cover(pixels: Tensor, scale: Scale) -> Tensor:
    """Resize an image to cover a scale, cropping the excess equally from both ends."""
    height, width = pixels.shape[2:]
    factor = max(scale.height / height, scale.width / width)
    tall, wide = max(scale.height, round(height * factor)), max(scale.width, round(width * factor))
    top, left = (tall - scale.height) // 2, (wide - scale.width) // 2
    resized = resize(pixels, tall, wide).clamp(0, 1)
    return resized[:, :, top : top + scale.height, left : left + scale.width].contiguous()
