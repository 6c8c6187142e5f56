"""Compiles each instruction set with its own flags into one library without Python's interface."""

from __future__ import annotations

import platform
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

X86_FLAGS = {
    "avx2": ["-march=x86-64-v3"],
    "avx512": ["-march=x86-64-v4"],
    "avx512_bf16": ["-march=x86-64-v4", "-mavx512bf16"],
}
FLAGS = ["-std=c++17", "-O3", "-g0", "-fvisibility=hidden", "-Wno-psabi"]
SOURCES = Path("csrc")


def sources() -> list[str]:
    """Return the sources for this processor."""
    # First those that run on every processor: inline functions of the standard library are linked from the first file
    # that has them.
    names = ["api", "parallel", "baseline"]
    if platform.machine().lower() in ("x86_64", "amd64"):
        names += X86_FLAGS
    return [str(SOURCES / f"{name}.cpp") for name in names]


class BuildKernels(build_ext):
    """Builds the library."""

    def build_extension(self, ext: Extension) -> None:
        """Compile each source with its flags, and link."""
        objects = []
        for source in ext.sources:
            flags = FLAGS + X86_FLAGS.get(Path(source).stem, [])
            objects += self.compiler.compile([source], self.build_temp, extra_postargs=flags, depends=ext.depends)
        self.compiler.link_shared_object(
            objects, self.get_ext_fullpath(ext.name), extra_postargs=["-pthread"], target_lang="c++"
        )

    def get_ext_filename(self, fullname: str) -> str:
        """Return a file name that does not depend on the version of Python."""
        return str(Path(*fullname.split("."))) + ".so"


class PlatformWheel(bdist_wheel):
    """A wheel for one platform and every version of Python 3."""

    def get_tag(self) -> tuple[str, str, str]:
        """Return the tags of the file name."""
        return "py3", "none", super().get_tag()[2]


setup(
    ext_modules=[
        Extension(
            "impasto_kernels.kernels",
            sources(),
            depends=[str(path) for pattern in ("*.inc", "*.h") for path in SOURCES.glob(pattern)],
        )
    ],
    cmdclass={"build_ext": BuildKernels, "bdist_wheel": PlatformWheel},
)
