"""Checkpoints: a run stopped anywhere and resumed gives the same bits as an uninterrupted one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders.objectives import evaluate_plain, measure_losses, plain_objective, resolve_config
from builders.pixels import read_pixels
from builders.processes import Program
from safetensors import safe_open

import impasto
from impasto.cli import main
from impasto.config import Config
from impasto.core.encoder import Encoder
from impasto.core.evaluate import Evaluation, Evaluator
from impasto.core.method import Progress
from impasto.core.optimize import descend
from impasto.core.optimizer_state import OptimizerState
from impasto.errors import OutputError, RecipeError
from impasto.run import Observer, Result, Run, drive, prepare_run
from impasto.run.checkpoint import read_checkpoint

SMALL: dict[str, Any] = {"size": 48, "iterations": 5, "scales": 2}
SHALLOW: dict[str, Any] = {"content_layers": "relu2_1", "style_layers": "relu1_1,relu2_1"}
"""Layers for tests that are not about them: all would take five times as long."""

RUN = ["stylize", "photo.jpg", "painting.png", "-o", "out.png", "--size", "48", "--quiet"]
RUN[1:1] = [part for name, value in SHALLOW.items() for part in (f"--{name.replace('_', '-')}", value)]


# ---- Descent -------------------------------------------------------------------------------------


@pytest.fixture
def surface(tiny: Encoder) -> Evaluator:
    generator = torch.Generator().manual_seed(5)
    content, style = (torch.rand(1, 3, 20, 16, generator=generator) for _ in range(2))
    config = resolve_config(style_layers=("relu1_1", "relu2_1"), content_layers=("relu2_1",), alpha=5)
    objective = plain_objective(tiny, content, style, config)
    assert float(measure_losses(tiny, objective, content).content) == 0
    return lambda image: evaluate_plain(tiny, objective, image)


def copy_state(state: OptimizerState) -> OptimizerState:
    """Return a copy, through the form that a checkpoint stores."""
    tensors = {name: tensor.clone() for name, tensor in state.tensors().items()}
    return type(state).restore(tensors, json.loads(json.dumps(state.numbers())))


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
@pytest.mark.parametrize("parametrization", ["fourier", "pixels"])
@pytest.mark.parametrize("bounded", [True, False])
def test_descent_resumes_exactly_from_any_step(
    optimizer: str, parametrization: str, bounded: bool, surface: Evaluator
) -> None:
    config = resolve_config(optimizer=optimizer, parametrization=parametrization, clamp=bounded, lbfgs_history=4)
    start = torch.rand(1, 3, 20, 16, generator=torch.Generator().manual_seed(1))

    def coarse(image: torch.Tensor) -> Evaluation:
        result = surface(image)
        return Evaluation(result.losses, (result.gradient * 64).round() / 64 + result.gradient)

    uninterrupted = [copy_state(state) for state, _ in descend(coarse, start, config, 15, precise=surface)]
    for first in uninterrupted:
        states = [state for state, _ in descend(coarse, first.image, config, 15, precise=surface, state=first)]
        assert [state.iteration for state in states] == list(range(first.iteration + 1, 16))
        for state in states:
            other = uninterrupted[state.iteration - 1]
            assert torch.equal(state.image, other.image), (first.iteration, state.iteration)
            assert (state.evaluations, state.restarts) == (other.evaluations, other.restarts)


def test_converged_descent_stays_converged(surface: Evaluator) -> None:
    """On a surface that no step lowers, a resumed descent does not repeat failed attempts."""
    start = torch.rand(1, 3, 20, 16, generator=torch.Generator().manual_seed(1))
    calls = 0

    def uphill(image: torch.Tensor) -> Evaluation:
        nonlocal calls
        calls += 1
        result = surface(image)
        return result if torch.equal(image, start) else Evaluation(surface(start + 1).losses, result.gradient)

    config = resolve_config(clamp=False, parametrization="pixels")
    uninterrupted = [copy_state(state) for state, _ in descend(uphill, start, config, 6)]
    spent, calls = calls, 0
    again = [state for state, _ in descend(uphill, start, config, 6, state=uninterrupted[2])]
    assert spent > 5
    assert calls == 1  # the current point, once
    assert [state.evaluations for state in again] == [state.evaluations for state in uninterrupted[3:]]


# ---- Runs ----------------------------------------------------------------------------------------


def cut_at(run: Run, number: int, path: Path) -> Progress:
    for count, progress in enumerate(run.steps(), start=1):
        if count == number:
            run.save_checkpoint(path)
            return progress
    raise AssertionError("the run ended too early")


@pytest.fixture(scope="module")
def uninterrupted(photo: Path, painting: Path) -> Result:
    """Return the result of a run that nothing stops."""
    return drive(prepare_run(photo, painting, **SMALL))


@pytest.mark.weights
@pytest.mark.parametrize("number", [1, 3, 5, 6, 8])
def test_run_resumes_exactly_from_a_file(
    number: int, uninterrupted: Result, photo: Path, painting: Path, tmp_path: Path
) -> None:
    first = prepare_run(photo, painting, **SMALL)
    cut_at(first, number, tmp_path / "run.impasto")
    checkpoint = read_checkpoint(tmp_path / "run.impasto")
    second = Run(first.inputs, first.config, first.options, recorded_plan=checkpoint.recipe.plan)
    drive(second, checkpoint=checkpoint)
    result = second.result()
    assert torch.equal(result.image, uninterrupted.image)
    assert result.recipe == uninterrupted.recipe  # including its trace
    assert result.evaluations == uninterrupted.evaluations
    assert result.losses == uninterrupted.losses


@pytest.mark.weights
@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": "adam"} | SHALLOW,
        {"color": "luminance"} | SHALLOW,
        {"memory": "600MB", "size": 192, "scales": 1} | SHALLOW,
        {"network": "vgg19", "size": 64, "style_loss": "wasserstein", "tv_weight": 1} | SHALLOW,
        {"network": "vgg19", "style_loss": "neighbor", "scales": 2},
    ],
    ids=lambda options: next(iter(options)),
)
def test_all_kinds_of_runs_resume(options: dict[str, Any], photo: Path, painting: Path, tmp_path: Path) -> None:
    options = SMALL | options
    uninterrupted = drive(prepare_run(photo, painting, **options))
    first = prepare_run(photo, painting, **options)
    cut_at(first, 4, tmp_path / "run.impasto")
    checkpoint = read_checkpoint(tmp_path / "run.impasto")
    assert (first.plan.tile_px is not None) == ("memory" in options)
    second = Run(first.inputs, first.config, first.options, recorded_plan=checkpoint.recipe.plan)
    drive(second, checkpoint=checkpoint)
    assert torch.equal(second.result().image, uninterrupted.image)


@pytest.mark.weights
def test_checkpoint_is_safetensors_without_paths(photo: Path, painting: Path, tmp_path: Path) -> None:
    run = prepare_run(photo, painting, **(SMALL | SHALLOW))
    progress = cut_at(run, 4, tmp_path / "run.impasto")
    with safe_open(tmp_path / "run.impasto", framework="pt") as file:
        assert torch.equal(file.get_tensor("image"), progress.state.image)
        assert {"step_0", "change_0"} <= set(file.keys())
    assert str(tmp_path).encode() not in (tmp_path / "run.impasto").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["run.impasto"]


@pytest.fixture
def cut(photo: Path, painting: Path, tmp_path: Path) -> tuple[Run, Path]:
    """Start a run and save a checkpoint of it."""
    run = prepare_run(photo, painting, **(SMALL | SHALLOW))
    cut_at(run, 3, tmp_path / "run.impasto")
    return run, tmp_path / "run.impasto"


@pytest.mark.weights
@pytest.mark.parametrize(
    "damage", ["cut short", "a flipped bit", "empty", "a picture", "longer", "header", "version", "a number"]
)
def test_invalid_checkpoint_is_a_one_line_error(damage: str, cut: tuple[Run, Path], photo: Path) -> None:
    run, path = cut
    data = bytearray(path.read_bytes())
    if damage == "cut short":
        data = data[:-7]
    elif damage == "a flipped bit":
        data[-1000] ^= 4
    elif damage == "empty":
        data = bytearray()
    elif damage == "a picture":
        data = bytearray(photo.read_bytes())
    elif damage == "longer":
        data += b"more"
    elif damage == "header":
        data[40] ^= 1
    elif damage == "a number":
        assert b'\\"iteration\\": 3' in data
        data = bytearray(bytes(data).replace(b'\\"iteration\\": 3', b'\\"iteration\\": 4'))
    else:
        assert b"impasto-checkpoint-4" in data
        data = bytearray(bytes(data).replace(b"impasto-checkpoint-4", b"impasto-checkpoint-9"))
    path.write_bytes(data)
    with pytest.raises(RecipeError) as caught:
        list(run.steps(read_checkpoint(path)))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.weights
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"alpha": Config().alpha + 1}, f"alpha = {Config().alpha}, not {Config().alpha + 1}"),
        ({"size": 72}, "size"),
        ({"seed": 1}, "seed"),
        ({"content": "painting"}, "other pictures"),
        ({"version": "9.9"}, "by Impasto"),
    ],
)
def test_refuses_a_checkpoint_of_another_run(
    changes: dict[str, Any],
    message: str,
    cut: tuple[Run, Path],
    photo: Path,
    painting: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, path = cut
    changes = dict(changes)
    monkeypatch.setattr("impasto.run.run.__version__", changes.pop("version", impasto.__version__))
    content = painting if changes.pop("content", None) else photo
    other = prepare_run(content, painting, **(SMALL | SHALLOW | changes))
    other = Run(other.inputs, other.config, other.options, recorded_plan=run.plan)
    with pytest.raises(RecipeError, match=message):
        list(other.steps(read_checkpoint(path)))


@pytest.mark.weights
def test_failed_write_keeps_the_old_checkpoint(cut: tuple[Run, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    run, path = cut
    before = path.read_bytes()
    next(run.steps())

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OutputError, match="No space left"):
        run.save_checkpoint(path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


# ---- The command line ----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.weights
def test_killed_command_resumes_from_its_checkpoint(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk)
    arguments = [*RUN, "--iterations", "40", "--checkpoint", "run.impasto", "--checkpoint-every", "0", "--resume"]
    for _ in range(3):
        with Program([sys.executable, "-m", "impasto", *arguments], cwd=desk) as process:
            start, before = time.monotonic(), (desk / "run.impasto").exists() and (desk / "run.impasto").stat().st_mtime
            while time.monotonic() - start < 300 and process.poll() is None:
                if (desk / "run.impasto").exists() and (desk / "run.impasto").stat().st_mtime != before:
                    time.sleep(0.05)
                    break
                time.sleep(0.02)
            process.send_signal(signal.SIGKILL)
    assert (desk / "run.impasto").exists()
    assert not (desk / "out.png").exists()
    assert main(arguments) == 0
    # Compare with an uninterrupted run that uses the same plan.
    assert main(["reproduce", "out.png", "-o", "whole.png", "--quiet"]) == 0
    assert np.array_equal(read_pixels(desk / "out.png"), read_pixels(desk / "whole.png"))
    assert not (desk / "run.impasto").exists()  # deleted at the end


@pytest.mark.weights
def test_never_overwrites_a_checkpoint_of_another_run(
    desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(desk)
    (desk / "run.impasto").write_bytes(b"existing")
    for options, message in (
        (["--checkpoint", "run.impasto"], "--resume"),
        (["--checkpoint", "run.impasto", "--resume"], "is not a usable checkpoint"),
        (["--checkpoint", "photo.jpg", "--resume"], "is not a usable checkpoint"),
        (["--resume"], "--checkpoint"),
        (["--checkpoint", "nowhere/run.impasto"], "no directory"),
    ):
        assert main([*RUN, "--iterations", "2", *options]) == 2
        assert message in capsys.readouterr().err
    assert (desk / "run.impasto").read_bytes() == b"existing"
    assert not (desk / "out.png").exists()


@pytest.mark.weights
def test_interrupted_run_resumes_from_its_checkpoint(desk: Path) -> None:
    arguments = [*RUN[:-1], "--iterations", "400", "--scales", "1", "--checkpoint", "run.impasto", "--resume", "--json"]
    with Program(
        [sys.executable, "-m", "impasto", *arguments, "--save-every", "3"], cwd=desk, stdout=subprocess.PIPE, text=True
    ) as process:
        while not (desk / "out-0003.png").exists() and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        report = json.loads(process.communicate(timeout=300)[0])
    assert process.returncode == 130
    iteration = report["stopped"]["iteration"]
    recipe_less = read_checkpoint(desk / "run.impasto").recipe
    assert recipe_less.stopped is None
    with safe_open(desk / "run.impasto", framework="np") as file:
        state = json.loads(file.metadata()["impasto"])["state"]
    assert state["iteration"] == iteration


@pytest.mark.weights
def test_signal_after_the_observers_of_a_step_costs_no_checkpoint(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def send_signal(run: Run, progress: Progress) -> None:
        if progress.iteration == 2:
            os.kill(os.getpid(), signal.SIGINT)

    def drive_with_signal(run: Run, observers: list[Observer], *rest: Any, **options: Any) -> Result:
        return drive(run, [*observers, send_signal], *rest, **options)

    monkeypatch.setattr("impasto.cli.run_command.drive", drive_with_signal)
    monkeypatch.chdir(desk)
    arguments = [*RUN, "--iterations", "8", "--scales", "1", "--checkpoint", "run.impasto"]
    assert main(arguments) == 130
    assert read_checkpoint(Path("run.impasto")).position == (1, 3)
