"""Paint one pair with several values of alpha, as a sheet and as numbers.

python examples/sweep_alpha.py [alphas.jpg]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from impasto import images, insight, samples


def main(output: str = "alphas.jpg", *, size: int = 192, **options: Any) -> None:
    """Paint, write the sheet, and print both losses for each alpha."""
    photo, painting = samples.photo_path("cat"), samples.paint("swirl", size_px=size)
    swept = insight.sweep(photo, painting, {"alpha": (1, 5, 25)}, size=size, **options)
    images.save(Path(output), swept.grid.paint())
    for row in swept.table():
        print(f"alpha {row['alpha']:>3}: content {row['content']:.3f}, style {row['style']:.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
