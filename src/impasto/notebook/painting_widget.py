"""The widget: traits that the notebook shows and changes, and the run behind them."""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
import threading
from collections.abc import Generator, Mapping, Sequence
from typing import Any

import anywidget
import traitlets

from impasto import images
from impasto.config import Config
from impasto.config.model import choices_of, label_of
from impasto.config.presets import PRESETS, load_preset
from impasto.config.print_size import NO_PRINT
from impasto.core.image import thumbnail
from impasto.core.method import Progress
from impasto.errors import ImpastoError, one_line
from impasto.insight.inputs import display_names
from impasto.notebook.page import build_module
from impasto.notebook.painting import POLL_S, PREVIEW_PX, Painting
from impasto.run import ModelCache, Result, Run, as_tuple, prepare_run

__all__ = ["PaintingWidget"]

FIELDS = ("alpha", "size", "effort", "iterations")
"""The options of `Config` that the widget shows."""


class OptionTrait(traitlets.TraitType[Any, Any]):
    """A trait that is checked as the option of `Config` of the same name. Raises `ConfigError`."""

    def validate(self, widget: Any, value: Any) -> Any:
        """Return the value as the option has it."""
        return getattr(Config(**{str(self.name): value}), str(self.name))


class PresetTrait(traitlets.TraitType[str, str]):
    """The name of a preset, or the path of a TOML file. Raises `ConfigError`."""

    def validate(self, widget: Any, value: Any) -> str:
        """Return the value if there is such a preset."""
        load_preset(value)
        return str(value)


class PaintingWidget(anywidget.AnyWidget):
    """A picture being painted in a notebook, with controls. `impasto.widget` builds one.

    `alpha`, `size`, `preset`, `effort` and `iterations` are what the controls show; assigning to them changes them.
    All but `alpha` apply to the next start. `state` is "ready", "painting", "stopping", "done", "stopped" or "failed";
    `error` is the reason of a failure. `await widget` waits without blocking the event loop.
    """

    _esm = build_module()

    alpha = OptionTrait().tag(sync=True)
    size = OptionTrait().tag(sync=True)
    effort = OptionTrait().tag(sync=True)
    iterations = OptionTrait(allow_none=True).tag(sync=True)
    preset = PresetTrait().tag(sync=True)
    state = traitlets.Unicode("ready").tag(sync=True)
    error = traitlets.Unicode().tag(sync=True)
    picture = traitlets.Bytes().tag(sync=True)
    progress = traitlets.Dict().tag(sync=True)
    losses = traitlets.Dict().tag(sync=True)
    form = traitlets.Dict().tag(sync=True)

    def __init__(self, content: Any, style: Any, preset: str, **options: Any) -> None:
        self._lock = threading.RLock()
        self._painting: Painting | None = None
        # A stream can be read once, and every start needs the pictures.
        self._content, *self._styles = map(_open_stream, (content, *as_tuple(style)))
        self._options = {"cache": ModelCache(cache_measurements=True)} | options
        run = self._prepare(load_preset(preset))
        values = {name: getattr(run.config, name) for name in FIELDS}
        self._options = {name: value for name, value in self._options.items() if name not in FIELDS}
        super().__init__(
            **values,
            preset=preset,
            picture=_load_thumbnail(run.opened_inputs.content),
            form=_describe_form(run, preset, display_names([content, *as_tuple(style)])),
        )
        # ipykernel 7.4 routes messages of the page to the subshell that last published on the comm. The painting thread
        # publishes for the cell that is running, so α and Stop would wait for its end. Without a route, each message
        # goes to the subshell that it names.
        if hasattr(self.comm, "_reply_subshell_for"):
            self.comm._reply_subshell_for = None
        self.on_msg(self._answer)
        self.observe(self._apply_preset, "preset")

    @property
    def result(self) -> Result | None:
        """The picture that was painted last; None while one is being painted, and after a failure."""
        return self._painting.result if self._painting is not None else None

    def start(self) -> None:
        """Start to paint with the options as they are now. Raises `ImpastoError`; does nothing while it paints."""
        with self._lock:
            if self._painting is not None and self._painting.is_active:
                return
            self._publish(error="", progress={}, losses={})
            try:
                run = self._prepare(load_preset(self.preset), **{name: getattr(self, name) for name in FIELDS})
            except ImpastoError as error:
                self._publish(state="failed", error=one_line(error))
                raise
            self._painting = Painting(run, lambda: float(self.alpha), self._show, self._end)
            self._publish(state="painting")
            self._painting.start()

    def stop(self) -> None:
        """Stop after the current step. The picture so far is the result."""
        with self._lock:
            if self._painting is not None and self._painting.is_active:
                self._publish(state="stopping")
                self._painting.stop()

    def wait(self, timeout_s: float | None = None) -> Result | None:
        """Wait until the picture is painted, and return it; None if nothing was started, or after `timeout_s`.

        Raises what painting raised. An interrupt of the kernel stops the run; `result` then has the picture so far.
        """
        if self._painting is None:
            return None
        self._painting.wait(timeout_s)
        if self._painting.error is not None:
            raise self._painting.error
        return self.result

    def __await__(self) -> Generator[Any, None, Result | None]:
        return self._wait_for_end().__await__()

    async def _wait_for_end(self) -> Result | None:
        try:
            while self._painting is not None and self._painting.is_active:
                await asyncio.sleep(POLL_S)
        except asyncio.CancelledError:  # an interrupt of the kernel cancels the cell
            self.stop()
            raise
        return self.wait()

    def close(self) -> None:
        """Stop, and remove the widget from the notebook."""
        self.stop()
        super().close()

    def set_state(self, sync_data: Mapping[str, Any]) -> None:
        """Take values from the notebook, where JupyterLab may call from a thread. Invalid ones become an `error`."""
        with self._lock:
            try:
                super().set_state(sync_data)
            except ImpastoError as error:
                self._publish(error=one_line(error))

    def _publish(self, **values: Any) -> None:
        """Set traits from any thread, and send them together."""
        with self._lock, self.hold_sync():
            for name, value in values.items():
                setattr(self, name, value)

    def _prepare(self, config: Config, **values: Any) -> Run:
        """Prepare a run, and raise now what would end it before its first step."""
        options = self._options | values
        if options.get("print", config.print) != NO_PRINT:  # it sets the pixels
            options.pop("size", None)
        run = prepare_run(self._content, self._styles, config, **options)
        run.workload  # noqa: B018 - opens the pictures
        run.profile  # noqa: B018
        return run

    def _apply_preset(self, change: Mapping[str, Any]) -> None:
        """Show the options of a newly chosen preset. The size stays, unless the preset has one."""
        config = load_preset(change["new"])
        changed = {name: getattr(config, name) for name in FIELDS if name != "size" or name in config.overrides()}
        self._publish(**changed, form=self.form | {"alpha_middle": _alpha_middle(config)})

    def _show(self, run: Run, progress: Progress, data: bytes) -> None:
        self._publish(picture=data, progress=_describe_progress(progress), losses=_describe_losses(run, progress))

    def _end(self, painting: Painting) -> None:
        """Show the end of a run."""
        if painting.error is not None:
            self._publish(state="failed", error=one_line(painting.error))
        if painting.result is not None and painting.run.latest is not None:
            small = thumbnail(painting.result.image, PREVIEW_PX)
            self._show(painting.run, painting.run.latest, images.encode_jpeg(small))
            self._publish(state="done" if painting.result.recipe.stopped is None else "stopped")

    def _answer(self, _: object, content: Mapping[str, Any], __: object) -> None:
        """Answer a button of the notebook."""
        with contextlib.suppress(ImpastoError):  # the widget shows it
            match content.get("type"):
                case "start":
                    self.start()
                case "stop":
                    self.stop()
                case "save":
                    self._send_file(str(content["id"]))

    def _send_file(self, request: str) -> None:
        """Send the result with its recipe, to the view that asked for it."""
        if (result := self.result) is None:
            return
        suffix, file = "tif" if result.profile.space == "cmyk" else "png", io.BytesIO()
        result.save(file, format=suffix)
        self.send({"type": "file", "id": request, "name": f"painted.{suffix}"}, [file.getvalue()])


def _open_stream(picture: Any) -> Any:
    """Open a stream, so that it can be used several times. Other pictures can."""
    return images.open_image(picture) if hasattr(picture, "read") else picture


def _load_thumbnail(opened: images.OpenedImage) -> bytes:
    return images.encode_jpeg(images.load(opened, long_side_px=PREVIEW_PX).pixels)


def _alpha_middle(config: Config) -> float:
    """Return the middle of the slider. In absolute units, typical values of α depend on the picture."""
    return config.alpha if config.units == "absolute" else Config().alpha


def _describe_form(run: Run, preset: str, names: Sequence[str]) -> dict[str, Any]:
    """Return the names of the pictures, and what the page needs to know of the controls."""
    known = {name: text for name, (text, _) in PRESETS.items()}
    return {
        "names": list(names),
        "labels": {name: label_of(name, Config.model_fields[name]) for name in FIELDS},
        "presets": known if preset in known else {preset: "Your own preset."} | known,
        "efforts": choices_of(Config.model_fields["effort"]),
        "has_size": run.config.print == NO_PRINT,
        "alpha_middle": _alpha_middle(run.config),
    }


def _describe_progress(progress: Progress) -> dict[str, Any]:
    return {
        "step": progress.step,
        "steps": progress.planned_steps,
        "fraction": progress.fraction,
        "scale": progress.scale,
        "scales": [[scale.height, scale.width, scale.iterations] for scale in progress.inputs.scales],
        "remaining_s": progress.elapsed_s * (1 / progress.fraction - 1),
        "alpha": progress.alpha,
    }


def _describe_losses(run: Run, progress: Progress) -> dict[str, Sequence[float]]:
    """Return the curves as columns; steps are those of all scales together."""
    if (trace := run.trace.columns()) is None:
        return {}
    before = [0, *itertools.accumulate(scale.iterations for scale in progress.inputs.scales)]
    steps = [before[scale - 1] + iteration for scale, iteration in zip(trace.scale, trace.iteration, strict=True)]
    return {"step": steps} | {name: trace.numbers[name] for name in ("total", "content", "style")}
