"""Results, progress and sheets as a notebook displays them."""

from __future__ import annotations

import base64
import copy
import io
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders.runs import build_run, picture
from PIL import Image
from torch import Tensor

from impasto import insight
from impasto.config import Config
from impasto.core.display import MAX_PX, Sheet, encode_png
from impasto.core.encoder import Encoder
from impasto.insight import GridCell, RunGrid
from impasto.render.grid import draw_grid
from impasto.run import Run, drive

SMALL = Config(content_layers="relu2_1", style_layers="relu1_1,relu2_1", size=56, scales=1, iterations=2)


def read_png(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    assert image.format == "PNG"
    return image


def small_run(encoder: Encoder, **inputs: Any) -> Run:
    return build_run(encoder, SMALL, **inputs)


def test_result_is_a_picture_and_a_short_line(tiny: Encoder) -> None:
    result = drive(small_run(tiny))
    assert np.array_equal(np.asarray(read_png(result._repr_png_())), result.to_numpy())
    assert re.fullmatch(r"Result\(56×40 px in \S+ s, total \S+ content \S+ style \S+\)", repr(result))


def test_result_with_alpha_is_shown_with_it(tiny: Encoder) -> None:
    alpha = torch.ones(1, 1, 40, 56)
    alpha[..., :20] = 0
    shown = np.asarray(read_png(drive(small_run(tiny, content=torch.cat([picture(1), alpha], 1)))._repr_png_()))
    assert shown.shape == (40, 56, 4)
    assert shown[20, 5, 3] == 0
    assert shown[20, 50, 3] == 255


def test_large_picture_is_reduced() -> None:
    assert read_png(encode_png(torch.rand(1, 3, 30, 2 * MAX_PX))).size == (MAX_PX, 15)


def test_progress_is_a_picture_with_its_losses(tiny: Encoder) -> None:
    steps = small_run(tiny).steps()
    progress = next(steps)
    html = progress._repr_html_()
    (data,) = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    assert read_png(base64.b64decode(data)).size == (56, 40)
    assert f"<figcaption>{progress!r}</figcaption>" in html
    assert re.fullmatch(r"Progress\(step 1 of 2, 56×40 px, total \S+ content \S+ style \S+\)", repr(progress))
    steps.close()


def test_sheet_is_a_tensor_that_shows_itself(tmp_path: Path) -> None:
    sheet = draw_grid([[torch.rand(1, 3, 20, 30)]])
    assert np.array_equal(np.asarray(read_png(sheet._repr_png_())) / np.float32(255), sheet[0].permute(1, 2, 0).numpy())
    for plain in (sheet * 0.5, sheet[0], torch.cat([sheet, sheet])):
        assert type(plain) is Tensor
    for same in (copy.deepcopy(sheet), pickle.loads(pickle.dumps(sheet))):
        assert type(same) is Sheet
        assert torch.equal(same, sheet)


def test_grid_shows_what_is_painted(tiny: Encoder) -> None:
    grid = RunGrid([[GridCell("one", small_run(tiny))]])
    before = grid._repr_png_()
    assert read_png(before).width > 56
    grid.paint()
    assert grid._repr_png_() != before


@pytest.mark.weights
def test_views_show_themselves(photo: Path, painting: Path) -> None:
    features = insight.features(photo, layers="relu1_1", strongest=2, size=64)
    gram = insight.gram([photo, painting], layers="relu1_1", size=64)
    sweep = insight.sweep(photo, painting, {"alpha": (1, 5)}, size=64)
    for view in (features, gram, sweep):
        assert read_png(view._repr_png_()).width > 64
