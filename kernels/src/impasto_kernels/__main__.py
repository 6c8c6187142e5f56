"""Tells the instruction set that is used on this processor."""

from impasto_kernels import Kernels, best_set

name = best_set()
try:
    Kernels(name, bfloat16=True)
    print(f"{name}, float32 and bfloat16")
except ValueError:
    print(f"{name}, float32")
