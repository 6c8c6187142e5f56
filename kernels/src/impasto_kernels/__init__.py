"""Compiled kernels for tensors in memory, which are passed by their addresses.

Tensors are channels-last, contiguous, in float32 or bfloat16; numbers of channels are multiples of 64. Nothing of this
is checked here: a wrong address or size ends the process.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import c_char_p, c_double, c_float, c_int, c_ssize_t, c_void_p
from functools import cache
from pathlib import Path

__version__ = "0.1.0"

__all__ = ["INTERFACE", "Kernels", "__version__", "best_set"]

INTERFACE = 1
"""Changes with the meaning of any function. Programs use the interface that they know, and no other."""

LIBRARY = Path(__file__).with_name("kernels.so")


def best_set() -> str:
    """Return the name of the best instruction set of this processor."""
    name: bytes = _load().impasto_best_set()
    return name.decode()


@cache
def _load() -> ctypes.CDLL:
    library = ctypes.CDLL(str(LIBRARY))
    library.impasto_best_set.restype, library.impasto_find.restype = c_char_p, c_void_p
    return library


class Kernels:
    """The kernels for one instruction set and one type of numbers.

    `start_team` is the address of GOMP_parallel in the OpenMP runtime that the process uses already; without it, each
    call starts threads of its own. `threads` is asked for their number at each call. Raises `OSError` if the library
    cannot be loaded, `ValueError` if this processor lacks the instruction set.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        bfloat16: bool = False,
        threads: Callable[[], int] = lambda: 1,
        start_team: int = 0,
    ) -> None:
        self.name, self._threads = name or best_set(), threads
        self._library = _load()
        self._kernels = c_void_p(self._library.impasto_find(self.name.encode(), bfloat16))
        if not self._kernels:
            numbers = "bfloat16" if bfloat16 else "float32"
            raise ValueError(f"This processor has no {numbers} kernels for the instruction set {self.name!r}.")
        self._library.impasto_set_start_team(c_void_p(start_team or None))

    def pack(self, kernel: int, packed: int, inputs: int, outputs: int) -> None:
        """Transform a kernel (outputs, inputs, 3, 3) of float32 into 36 · inputs · outputs values for `convolve`."""
        self._library.impasto_pack_kernel(
            self._kernels, c_void_p(kernel), c_void_p(packed), c_int(inputs), c_int(outputs), c_int(self._threads())
        )

    def convolve(
        self,
        image: int,
        kernel: int,
        bias: int,
        out: int,
        height: int,
        width: int,
        inputs: int,
        outputs: int,
        *,
        relu: bool,
    ) -> None:
        """Convolve (height, width, inputs) with a packed kernel. A bias of 0 is none."""
        self._library.impasto_convolve(
            self._kernels,
            *map(c_void_p, (image, kernel, bias or None, out)),
            *map(c_int, (height, width, inputs, outputs, relu)),
            c_int(self._threads()),
        )

    def add_moments(self, rows: int, count: int, channels: int, total: int, outer: int) -> None:
        """Add the sum of rows (count, channels) to `total`, and that of their outer products to `outer`, float32."""
        self._library.impasto_add_moments(
            self._kernels,
            c_void_p(rows),
            c_ssize_t(count),
            c_int(channels),
            c_void_p(total),
            c_void_p(outer),
            c_int(self._threads()),
        )

    def add_products(self, total: int, rows: int, matrix: int, vector: int, count: int, channels: int) -> None:
        """Add rows · matrix + vector to `total` (count, channels). A vector of 0 is none."""
        self._library.impasto_add_products(
            self._kernels,
            *map(c_void_p, (total, rows, matrix, vector or None)),
            c_ssize_t(count),
            c_int(channels),
            c_int(self._threads()),
        )

    def measure_difference(self, values: int, target: int, count: int) -> tuple[float, float]:
        """Sum the squares and the absolute values of the differences from a target in float32."""
        sums = (c_double * 2)()
        self._library.impasto_measure_difference(
            self._kernels, c_void_p(values), c_void_p(target), c_ssize_t(count), sums, c_int(self._threads())
        )
        return sums[0], sums[1]

    def add_difference(
        self, total: int, values: int, target: int, count: int, by_square: float, by_absolute: float
    ) -> None:
        """Add the gradient of by_square · Σd² + by_absolute · Σ|d| to `total`, with d the difference from a target."""
        self._library.impasto_add_difference(
            self._kernels,
            *map(c_void_p, (total, values, target)),
            c_ssize_t(count),
            c_float(by_square),
            c_float(by_absolute),
            c_int(self._threads()),
        )

    def pool(self, image: int, out: int, height: int, width: int, channels: int) -> None:
        """Take the maximum of each 2×2 pixels."""
        self._library.impasto_pool(
            self._kernels,
            c_void_p(image),
            c_void_p(out),
            *map(c_int, (height, width, channels)),
            c_int(self._threads()),
        )

    def pool_backward(self, image: int, gradient: int, out: int, height: int, width: int, channels: int) -> None:
        """Give the gradient of each 2×2 pixels to the first that is their maximum."""
        self._library.impasto_pool_backward(
            self._kernels,
            *map(c_void_p, (image, gradient, out)),
            *map(c_int, (height, width, channels)),
            c_int(self._threads()),
        )
