"""The widget for notebooks: in a thread, in an event loop, in a kernel, and in JupyterLab."""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
import runpy
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders.runs import FixedCache, picture
from builders.slow_steps import NAME, set_slow
from builders.waiting import wait_until
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

import impasto
from impasto.config.presets import load_preset
from impasto.core.encoder import Encoder
from impasto.core.evaluate import AutogradEngine
from impasto.errors import ConfigError, ImageError, ImpastoError, InputError
from impasto.notebook import painting
from impasto.notebook.page import build_module
from impasto.notebook.painting_widget import PaintingWidget
from impasto.run import drive, prepare_run

SCRIPT = runpy.run_path(str(Path(__file__).parent.parent / "scripts" / "draw_notebook.py"))
WAIT_MS = 120_000
MANY_STEPS = 2000

SMALL: dict[str, Any] = {
    "content_layers": "relu2_1",
    "style_layers": "relu1_1,relu2_1",
    "threads": 1,
    "precision": "float32",
}
SMALL |= {"size": 56, "scales": 1, "iterations": 3, "alpha": 2.0}
"""Options for the tiny network."""

Build = Callable[..., PaintingWidget]


@pytest.fixture
def build(tiny: Encoder) -> Iterator[Build]:
    """Return a function that builds widgets of the tiny network, all stopped at the end."""
    widgets: list[PaintingWidget] = []

    def build_widget(content: Any = None, **options: Any) -> PaintingWidget:
        given: dict[str, Any] = SMALL | {"cache": FixedCache(AutogradEngine(tiny))} | options
        widget = impasto.widget(picture(1) if content is None else content, picture(2), **given)
        widgets.append(widget)
        return widget

    yield build_widget
    for widget in widgets:
        widget.close()
        with contextlib.suppress(MemoryError):
            widget.wait()


def in_thread(call: Callable[[], Any]) -> Any:
    """Return the result of a call in a thread: a browser's event loop may be running in this one."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(call()))
    thread.start()
    thread.join()
    return results[0]


def jpeg_size(data: bytes) -> tuple[int, int]:
    image = Image.open(io.BytesIO(data))
    assert image.format == "JPEG"
    return image.size


def test_paints_without_blocking(build: Build) -> None:
    widget = build()
    assert (widget.state, widget.result, widget.wait()) == ("ready", None, None)
    assert jpeg_size(widget.picture) == (56, 40)
    content = widget.picture
    widget.start()
    result = widget.wait()
    assert result is not None
    assert result is widget.result
    assert (widget.state, widget.error) == ("done", "")
    assert result.recipe.stopped is None
    assert widget.picture != content
    assert widget.losses["step"] == [1, 2, 3]
    assert widget.losses["total"][-1] < widget.losses["total"][0]
    assert (widget.progress["step"], widget.progress["steps"], widget.progress["fraction"]) == (3, 3, 1)
    assert widget.progress["scales"] == [[40, 56, 3]]


def test_result_is_that_of_stylize(build: Build, tiny: Encoder) -> None:
    widget = build()
    widget.start()
    result = widget.wait()
    assert result is not None
    again = drive(prepare_run(picture(1), picture(2), **SMALL, cache=FixedCache(AutogradEngine(tiny))))
    assert np.array_equal(again.to_numpy(), result.to_numpy())


def test_alpha_is_changed_between_steps(build: Build) -> None:
    widget = build(iterations=MANY_STEPS, optimizer="adam")
    widget.start()
    wait_until(lambda: widget.progress)
    widget.alpha = 40
    wait_until(lambda: widget.progress["alpha"] == 40)
    widget.stop()
    result = widget.wait()
    assert result is not None
    assert [change.alpha for change in result.recipe.alpha_changes] == [40]
    assert result.recipe.config.alpha == 2


def test_stop_keeps_the_picture_so_far_and_start_begins_again(build: Build) -> None:
    widget = build(iterations=MANY_STEPS, optimizer="adam")
    widget.start()
    widget.start()  # does nothing: it paints
    wait_until(lambda: widget.progress)
    assert widget.wait(0.01) is None
    widget.stop()
    result = widget.wait()
    assert widget.state == "stopped"
    assert result is not None
    assert result.recipe.stopped is not None
    widget.stop()
    assert widget.state == "stopped"
    widget.iterations = 2
    widget.size = 40
    widget.start()
    again = widget.wait()
    assert widget.state == "done"
    assert again is not None
    assert again.image.shape[3] == 40
    assert widget.losses["step"] == [1, 2]


@pytest.mark.parametrize(
    ("content", "options", "error"),
    [
        ("missing.jpg", {}, ImageError),
        (np.zeros((0, 5, 3), np.uint8), {}, ImageError),
        (b"", {}, ImageError),
        ("sample:dog", {}, InputError),
        (None, {"alpha": -1}, ConfigError),
        (None, {"sizes": 3}, ConfigError),
        (None, {"preset": "painterley"}, ConfigError),
        (None, {"profile": "missing.icc"}, ConfigError),
    ],
)
def test_bad_input_is_refused_at_once(build: Build, content: Any, options: dict[str, Any], error: type) -> None:
    with pytest.raises(error, match=r"^[^\n]+$"):
        build(content, **options)


def test_picture_that_is_gone_is_an_error_of_the_next_start(build: Build, desk: Path) -> None:
    widget = build(desk / "photo.jpg")
    (desk / "photo.jpg").unlink()
    with pytest.raises(ImageError, match="no such file"):
        widget.start()
    assert widget.state == "failed"
    assert widget.error.endswith("photo.jpg: no such file. Check the path.")


def test_failure_in_the_thread_is_shown_and_raised(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError("no\nroom")

    monkeypatch.setattr(painting, "drive", fail)
    widget = build()
    widget.start()
    with pytest.raises(MemoryError):
        widget.wait()
    assert (widget.state, widget.error, widget.result) == ("failed", "no room", None)


def test_options_are_checked_when_assigned(build: Build) -> None:
    widget = build()
    for name, value in {"alpha": -1, "size": 0, "iterations": 0, "effort": "much", "preset": "none"}.items():
        before = getattr(widget, name)
        with pytest.raises(ConfigError, match=str(value)):
            setattr(widget, name, value)
        assert getattr(widget, name) == before
    widget.set_state({"alpha": -3})  # as the page would
    assert widget.alpha == 2
    assert "alpha = -3 is refused" in widget.error


def test_preset_sets_what_it_says(build: Build) -> None:
    widget = build()
    widget.preset = "sketch"
    sketch = load_preset("sketch")
    assert (widget.alpha, widget.effort, widget.iterations) == (sketch.alpha, sketch.effort, sketch.iterations)
    assert widget.size == 56
    widget.preset = "gatys2016"
    assert widget.form["alpha_middle"] == load_preset("gatys2016").alpha
    own = build(preset="sketch", alpha=3)
    assert (own.preset, own.alpha) == ("sketch", 3)


def test_print_sets_the_size(build: Build) -> None:
    widget = impasto.widget(picture(1), picture(2), print="2x2cm", dpi=40)
    assert not widget.form["has_size"]
    assert widget._prepare(load_preset("painterly"), size=99).config.size != 99


def test_stream_can_be_painted_twice(build: Build, photo: Path) -> None:
    widget = build(io.BytesIO(photo.read_bytes()), iterations=1)
    for _ in range(2):
        widget.start()
        assert widget.wait() is not None


def test_waits_in_an_event_loop_without_blocking_it(build: Build) -> None:
    widget = build()

    async def paint() -> tuple[Any, int]:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0.001)

        counter = asyncio.create_task(count())
        widget.start()
        result = await widget
        counter.cancel()
        return result, turns

    result, turns = in_thread(lambda: asyncio.run(paint()))
    assert result is widget.result
    assert turns > 1


def test_cancelled_await_stops_the_run(build: Build) -> None:
    widget = build(iterations=MANY_STEPS, optimizer="adam")

    async def paint() -> None:
        widget.start()
        await asyncio.wait_for(widget, 0.5)

    def run() -> str:
        try:
            asyncio.run(paint())
        except TimeoutError:
            return "cancelled"
        return "done"

    assert in_thread(run) == "cancelled"
    assert widget.wait() is not None
    assert widget.state == "stopped"


def test_works_in_another_thread(build: Build) -> None:
    def paint() -> Any:
        widget = build()
        widget.start()
        return widget.wait()

    assert in_thread(paint) is not None


def test_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "anywidget", None)
    with pytest.raises(ImpastoError, match=re.escape("pip install 'impasto[notebook]'")):
        impasto.widget(picture(1), picture(2))


def test_module_needs_no_other_file() -> None:
    module = build_module()
    assert not re.search(r"^(import|export (?!default))", module, re.MULTILINE)
    assert module.rstrip().endswith("export default { render };")


CELL = f"""import impasto
options = {{"size": 64, "scales": 1, "content_layers": "relu2_1", "style_layers": "relu1_1,relu2_1"}}
w = impasto.widget("sample:cat", "sample:swirl", iterations=9000, style_loss="{NAME}", **options)
w"""
"""A cell that shows a widget whose run lasts: its steps wait."""


@pytest.fixture
def slow_widget(slow_loss: None) -> None:
    """Make the steps of the cell's widget wait."""
    set_slow(True)


@pytest.fixture
def kernel(tmp_path: Path, slow_widget: None) -> Iterator[tuple[KernelManager, BlockingKernelClient]]:
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(cwd=str(tmp_path))
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=WAIT_MS / 1000)
    yield manager, client
    client.stop_channels()
    if manager.is_alive():
        manager.shutdown_kernel(now=True)
    manager.cleanup_resources()


def run_cell(client: BlockingKernelClient, code: str) -> str:
    """Return what a cell prints."""
    printed: list[str] = []

    def hear(message: dict[str, Any]) -> None:
        if message["msg_type"] == "stream":
            printed.append(message["content"]["text"])

    reply = client.execute_interactive(code, output_hook=hear, timeout=WAIT_MS / 1000)
    assert reply["content"]["status"] == "ok", reply["content"]
    return "".join(printed).strip()


@pytest.mark.weights
def test_interrupted_kernel_stops_the_run_and_keeps_the_picture(
    kernel: tuple[KernelManager, BlockingKernelClient],
) -> None:
    manager, client = kernel
    run_cell(client, CELL)
    request = client.execute("w.start(); w.wait()", stop_on_error=False)  # else the next cell may be aborted, too

    def is_painting() -> bool:
        message = client.get_iopub_msg(timeout=WAIT_MS / 1000)
        state = message["content"].get("data", {}).get("state", {}) if message["msg_type"] == "comm_msg" else {}
        return bool(state.get("progress"))

    wait_until(is_painting)  # while the cell blocks the kernel
    manager.interrupt_kernel()
    reply: Any = wait_until(lambda: next_reply(client, request))
    assert reply["content"]["ename"] == "KeyboardInterrupt"
    assert run_cell(client, "print(w.state, w.result.recipe.stopped is not None)") == "stopped True"


def next_reply(client: BlockingKernelClient, request: str) -> dict[str, Any] | None:
    reply: dict[str, Any] = client.get_shell_msg(timeout=WAIT_MS / 1000)
    return reply if reply["parent_header"]["msg_id"] == request else None


@pytest.mark.weights
def test_kernel_that_paints_ends_by_itself(kernel: tuple[KernelManager, BlockingKernelClient]) -> None:
    manager, client = kernel
    run_cell(client, f"{CELL}.start()")
    manager.shutdown_wait_time = WAIT_MS / 1000  # then it is killed
    process = manager.provisioner.process  # type: ignore[union-attr]
    manager.shutdown_kernel()
    assert process.returncode == 0


@pytest.fixture
def notebook(browser: Browser, tmp_path: Path, slow_widget: None) -> Iterator[Page]:
    """Open a notebook in JupyterLab."""
    running_lab: Callable[..., AbstractContextManager[str]] = SCRIPT["running_lab"]
    with running_lab(tmp_path, [CELL, "w.wait()"]) as address:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(WAIT_MS)
        expect.set_options(timeout=WAIT_MS)
        page.goto(address)
        page.get_by_text("| Idle").wait_for()
        yield page
        page.close()


@pytest.mark.weights
@pytest.mark.browser
def test_paints_in_jupyterlab(notebook: Page, tmp_path: Path) -> None:
    page = notebook

    def button(name: str) -> Locator:
        return page.get_by_role("button", name=name, exact=True)

    SCRIPT["run_cell"](page, 0)
    image = page.get_by_alt_text("cat as swirl")
    expect(image).to_be_visible()
    sources = [image.get_attribute("src")]
    button("Start").click()
    expect(page.get_by_text(re.compile(r"^Step \d+ of 9000 · 64 × \d+ px · .*left$"))).to_be_visible()
    wait_until(lambda: image.get_attribute("src") not in sources)
    # Controls work while a cell runs, and JupyterLab takes no key from them: B would insert a cell.
    SCRIPT["run_cell"](page, 1)
    slider = page.get_by_label("Style strength (α)", exact=True)
    slider.focus()
    for key in ("ArrowRight", "ArrowRight", "b"):
        page.keyboard.press(key)
    status = page.get_by_text(re.compile("after the current step"))
    expect(status).to_have_count(0)
    expect(page.get_by_role("img", name=re.compile("^Losses up to step"))).to_be_visible()
    button("Stop").click()
    expect(page.get_by_text("Stopped", exact=True)).to_be_visible()
    assert page.locator(".jp-Cell").count() == 2
    with page.expect_download() as download:
        button("Download").click()
    download.value.save_as(tmp_path / "painted.png")
    recipe = impasto.read_recipe(tmp_path / "painted.png")
    assert recipe.stopped is not None
    assert [change.alpha > 5 for change in recipe.alpha_changes][-1:] == [True]
