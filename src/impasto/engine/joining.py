"""The pooling at which tiles are joined, and the memory of the passes before and after it. Bytes per pixel.

Above a pooling, features are many and receptive fields small; below it, a feature map of the whole image is small.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from impasto.config.networks import Layer, Network

__all__ = ["joined_bytes", "pass_bytes", "poolings", "precise_join", "rest_bytes", "values_per_pixel"]

INDEX_BYTES = 8
"""Bytes of the place of a maximum, which the backward pass of a pooling needs."""


def values_per_pixel(network: Network, layer: str) -> float:
    """Return the values of a layer per pixel of the image."""
    return network.channels(layer) / network.stride(layer) ** 2


def pass_bytes(network: Network, chain: Sequence[Layer], value_bytes: int) -> float:
    """Compute the bytes of a forward and a backward pass through a part of a network."""
    kept = largest = 0.0
    for layer in chain:
        values = values_per_pixel(network, layer.name)
        largest = max(largest, values)
        if layer.kind == "relu":
            kept += value_bytes * values
        elif layer.kind == "pool":
            kept += (value_bytes + INDEX_BYTES) * values
    # A gradient, the next one, and the workspace of a convolution.
    return kept + 3 * value_bytes * largest


def poolings(network: Network, layers: Iterable[str]) -> list[str]:
    """Return the poolings at which tiles can be joined, if these layers are measured, from the first one on."""
    deepest = network.deepest(layers)
    return [layer.name for layer in network.upto(deepest) if layer.kind == "pool" and layer.name != deepest]


def joined_bytes(network: Network, join: str, value_bytes: int) -> float:
    """Compute the bytes of the joined features and their gradient."""
    return 2 * value_bytes * values_per_pixel(network, join)


def rest_bytes(network: Network, layers: Iterable[str], join: str, value_bytes: int) -> float:
    """Compute the bytes of a forward and a backward pass from the joined features on."""
    rest = network.upto(network.deepest(layers))[len(network.upto(join)) :]
    return joined_bytes(network, join, value_bytes) + pass_bytes(network, rest, value_bytes)


def precise_join(network: Network, layers: Iterable[str], join: str | None) -> str | None:
    """Return where to join in float32, in the memory of bfloat16 that is joined at `join`; None: that is whole.

    None if no pooling is deep enough.
    """
    names = list(layers)
    chain, places = network.upto(network.deepest(names)), poolings(network, names)
    room = pass_bytes(network, chain, 2) if join is None else rest_bytes(network, names, join, 2)
    first = 0 if join is None else places.index(join)
    return next((place for place in places[first:] if rest_bytes(network, names, place, 4) <= room), None)
