"""`impasto insight features` and `gram`: views that paint nothing."""

from __future__ import annotations

import json as json_format
from typing import Annotated, Any

from cyclopts import Parameter

from impasto import images, insight
from impasto.cli.insight.shared import Layers, Output, Picture, Pictures, open_pictures, with_view_options
from impasto.cli.parameters import Json, Quiet

__all__ = ["features", "gram"]


@with_view_options("features")
def features(
    picture: Picture,
    /,
    *,
    layers: Layers = None,
    strongest: Annotated[int, Parameter(help="Number of feature maps to show for each layer.")] = 8,
    output: Output = None,
    quiet: Quiet = False,
    **options: Any,
) -> int:
    """Show the strongest feature maps of each layer, early layers to deep."""
    path, (image,) = open_pictures("features", [picture], output, options, quiet=quiet)
    images.save(path, insight.features(image, layers=layers, strongest=strongest, **options))
    if not quiet:
        print(path)
    return 0


@with_view_options("gram")
def gram(
    pictures: Pictures,
    /,
    *,
    layers: Layers = None,
    halves: Annotated[
        bool | None, Parameter(help="Cut each picture into two halves of one texture. Default: only a single picture.")
    ] = None,
    output: Output = None,
    json: Json = False,
    quiet: Quiet = False,
    **options: Any,
) -> int:
    """Show Gram matrices as heat maps, and the distances between the styles of pictures."""
    path, found = open_pictures("gram", pictures, output, options, quiet=quiet)
    view = insight.gram(found, layers=layers, halves=halves, **options)
    images.save(path, view.sheet)
    if json:
        report = {"output": str(path), "names": view.names, "distances": view.distances.tolist()}
        print(json_format.dumps(report | {"shuffle_error": view.shuffle_error}))
    elif not quiet:
        print(path)
    return 0
