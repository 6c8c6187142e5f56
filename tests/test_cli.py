"""The command line: outputs, errors and interruption."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from builders.commands import CommandResult, run_command, run_process
from builders.objectives import measure_losses, plain_objective
from builders.pixels import read_pixels
from builders.processes import Program
from builders.systems import LINUX_ONLY
from builders.waiting import wait_until
from PIL import Image

import impasto
from impasto.run import read_recipe

QUICK = ["--size", "64", "--iterations", "3"]


def refused(result: CommandResult) -> str:
    """Return the one-line error of a command that was refused."""
    assert result.returncode == 2, result.stderr
    assert result.stdout == ""
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("impasto: ")
    return lines[0]


@pytest.mark.weights
def test_stylize_writes_the_reported_file(desk: Path) -> None:
    result = run_process("stylize", "photo.jpg", "painting.png", "-o", "out.png", "--json", *QUICK, cwd=desk)
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert len(result.stdout.strip().splitlines()) == 1
    assert {
        "output", "width", "height", "losses", "iterations", "evaluations", "seconds", "seed", "device", "network",
        "weights_sha256", "config",
    } <= report.keys()  # fmt: skip
    assert (report["output"], report["width"], report["height"]) == ("out.png", 64, 43)
    assert {"total", "content", "style", "tv", "content.relu4_2", "style.relu1_1"} <= report["losses"].keys()
    assert report["iterations"] == 3
    assert read_pixels(desk / "out.png").shape == (43, 64, 3)
    assert read_recipe(desk / "out.png").config.model_dump(mode="json") == report["config"]


@pytest.mark.weights
def test_reported_losses_match_the_file(desk: Path) -> None:
    """Measure the 16-bit file with the library."""
    arguments = ["stylize", "photo.jpg", "painting.png", "-o", "out.png", "--json", "--bits", "16", *QUICK]
    report = json.loads(run_command(*arguments, cwd=desk).stdout)
    from impasto.images import load
    from impasto.run import prepare_run

    run = prepare_run(desk / "photo.jpg", desk / "painting.png", size=64)
    content = load(desk / "photo.jpg", long_side_px=64).pixels
    style = load(desk / "painting.png", long_side_px=64).pixels
    objective = plain_objective(run.encoder, content, style, run.config)
    again = measure_losses(run.encoder, objective, load(desk / "out.png").pixels).as_floats()
    assert again == pytest.approx(report["losses"], rel=1e-3)


@pytest.mark.weights
def test_default_output_never_overwrites(desk: Path) -> None:
    for expected in ("photo_painting.png", "photo_painting_2.png"):
        result = run_command("stylize", "photo.jpg", "painting.png", *QUICK, cwd=desk)
        assert result.returncode == 0, result.stderr
        assert result.stdout.startswith(expected)
    assert len(list(desk.glob("photo_painting*.png"))) == 2


@pytest.mark.weights
def test_reproduce_gives_the_same_pixels(desk: Path) -> None:
    stylized = run_command(
        "stylize", "photo.jpg", "painting.png", "-o", "out.tif", "--bits", "16", "--seed", "5", *QUICK, cwd=desk
    )
    assert stylized.returncode == 0, stylized.stderr
    again = run_command("reproduce", "out.tif", "-o", "new.tif", cwd=desk)
    assert again.returncode == 0, again.stderr
    from impasto.images import load

    assert torch.equal(load(desk / "out.tif").pixels, load(desk / "new.tif").pixels)

    (desk / "photo.jpg").rename(desk / "moved.jpg")
    assert "photo.jpg is missing" in refused(run_command("reproduce", "out.tif", cwd=desk))
    Image.new("RGB", (30, 30)).save(desk / "photo.jpg")
    assert "has changed" in refused(run_command("reproduce", "out.tif", cwd=desk))
    given = run_command("reproduce", "out.tif", "--content", "moved.jpg", "-o", "third.tif", cwd=desk)
    assert given.returncode == 0, given.stderr
    assert torch.equal(load(desk / "out.tif").pixels, load(desk / "third.tif").pixels)


@pytest.mark.weights
def test_reproduces_two_styles_in_content_colors(desk: Path) -> None:
    Image.open(desk / "painting.png").transpose(Image.Transpose.ROTATE_90).save(desk / "other.png")
    options = ["--style-weights", "2,1", "--style-scale", "1,40px", "--color", "luminance"]
    stylized = run_command(
        "stylize", "photo.jpg", "painting.png", "other.png", "-o", "out.png", *options, *QUICK, cwd=desk
    )
    assert stylized.returncode == 0, stylized.stderr
    assert run_command("reproduce", "out.png", "-o", "new.png", cwd=desk).returncode == 0
    assert (read_pixels(desk / "new.png") == read_pixels(desk / "out.png")).all()

    (desk / "painting.png").rename(desk / "moved.png")
    assert "painting.png is missing" in refused(run_command("reproduce", "out.png", cwd=desk))
    one = run_command("reproduce", "out.png", "--style", "moved.png", cwd=desk)
    assert "--style was given 1 times, and the recipe has 2" in refused(one)
    both = ["--style", "moved.png", "--style", "other.png"]
    assert run_command("reproduce", "out.png", *both, "-o", "third.png", cwd=desk).returncode == 0
    assert (read_pixels(desk / "third.png") == read_pixels(desk / "out.png")).all()


@pytest.mark.weights
def test_demo_paints_and_is_reproduced(tmp_path: Path) -> None:
    assert run_process("demo", "-o", "demo.png", *QUICK, cwd=tmp_path).returncode == 0
    assert run_process("reproduce", "demo.png", "-o", "again.png", cwd=tmp_path).returncode == 0
    assert (read_pixels(tmp_path / "demo.png") == read_pixels(tmp_path / "again.png")).all()


@pytest.mark.weights
def test_quiet_prints_nothing_and_progress_goes_to_stderr(desk: Path) -> None:
    quiet = run_command("stylize", "photo.jpg", "painting.png", "-o", "a.png", "--quiet", *QUICK, cwd=desk)
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    plain = run_command("stylize", "photo.jpg", "painting.png", "-o", "b.png", *QUICK, cwd=desk)
    assert "64x43" in plain.stdout
    assert "step 3/3" in plain.stderr
    assert "\x1b" not in plain.stderr


@pytest.mark.weights
def test_save_every_writes_snapshots(desk: Path) -> None:
    arguments = ["stylize", "photo.jpg", "painting.png", "-o", "out.png", "--save-every", "2", "--scales", "1"]
    result = run_command(*arguments, "--size", "64", "--iterations", "5", cwd=desk)
    assert result.returncode == 0, result.stderr
    assert sorted(path.name for path in desk.glob("out*.png")) == ["out-0002.png", "out-0004.png", "out.png"]
    assert read_pixels(desk / "out-0002.png").shape == (43, 64, 3)


@pytest.mark.weights
def test_flags_override_a_preset_file(desk: Path) -> None:
    (desk / "mine.toml").write_text('alpha = 2\nsize = 64\niterations = 2\nstyle_layers = "relu1_1,relu2_1"\n')
    arguments = [
        "stylize",
        "photo.jpg",
        "painting.png",
        "-o",
        "o.png",
        "--preset",
        "mine.toml",
        "--alpha",
        "9",
        "--json",
    ]
    config = json.loads(run_command(*arguments, cwd=desk).stdout)["config"]
    assert (config["alpha"], config["iterations"], config["style_layers"]) == (9, 2, "relu1_1,relu2_1")


@pytest.mark.weights
def test_recipe_names_the_start_image(desk: Path) -> None:
    Image.new("RGB", (60, 40), "red").save(desk / "start.png")
    arguments = ["stylize", "photo.jpg", "painting.png", "-o", "o.png", "--init", "start.png", *QUICK]
    assert run_command(*arguments, cwd=desk).returncode == 0
    recipe = read_recipe(desk / "o.png")
    assert recipe.config.init == "image"
    assert recipe.inputs["init"].name == "start.png"
    assert run_command("reproduce", "o.png", "-o", "p.png", cwd=desk).returncode == 0
    assert (read_pixels(desk / "o.png") == read_pixels(desk / "p.png")).all()


@pytest.mark.weights
def test_transparency_is_preserved(desk: Path) -> None:
    image = Image.new("RGBA", (64, 48), (200, 30, 30, 255))
    image.paste((0, 0, 0, 0), (0, 0, 32, 48))
    image.save(desk / "cutout.png")
    for name in ("o.png", "o.webp"):
        arguments = ["stylize", "cutout.png", "painting.png", "-o", name, *QUICK]
        assert run_command(*arguments, cwd=desk).returncode == 0
        alpha = read_pixels(desk / name)[..., 3]
        assert (alpha[:, :31] == 0).all()
        assert (alpha[:, 33:] == 255).all()


# ---- interruption --------------------------------------------------------------------------------


@pytest.mark.weights
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_saves_its_picture(desk: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-u", "-m", "impasto", "stylize", "photo.jpg", "painting.png", "-o", "out.png"]
    with Program(
        [*command, "--size", "96", "--iterations", "2000", "--save-every", "4", "--json"],
        cwd=desk, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        wait_until(lambda: (desk / "out-0004.png").exists() or process.poll() is not None)
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 128 + number, stderr
    report = json.loads(stdout)
    assert report["stopped"]["iteration"] >= 4
    assert read_pixels(desk / "out.png").shape == (64, 96, 3)
    recipe = read_recipe(desk / "out.png")
    assert recipe.stopped is not None
    assert recipe.stopped.iteration == report["stopped"]["iteration"]
    again = run_command("reproduce", "out.png", "-o", "again.png", cwd=desk)
    assert again.returncode == 0, again.stderr
    assert (read_pixels(desk / "out.png") == read_pixels(desk / "again.png")).all()


def test_error_shows_no_traceback(desk: Path) -> None:
    assert "no such file" in refused(run_process("stylize", "x.jpg", "painting.png", cwd=desk))


@pytest.mark.weights
@LINUX_ONLY
def test_full_disk_keeps_the_old_file(desk: Path) -> None:
    """A limit on file sizes simulates a full disk."""
    import resource

    (desk / "out.tif").write_bytes(b"old")

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    arguments = ["stylize", "photo.jpg", "painting.png", "-o", "out.tif", "--bits", "16", *QUICK]
    result = run_process(*arguments, "--quiet", cwd=desk, preexec_fn=limit)
    assert "could not be written" in refused(result)
    assert (desk / "out.tif").read_bytes() == b"old"
    assert not list(desk.glob(".*"))


# ---- the smaller commands ------------------------------------------------------------------------


def test_version_and_help(tmp_path: Path) -> None:
    assert run_process("--version", cwd=tmp_path).stdout.strip() == f"impasto {impasto.__version__}"
    for run, arguments in ((run_process, ["--help"]), (run_command, ["stylize", "--help"])):
        result = run(*arguments, cwd=tmp_path)
        assert result.returncode == 0
        assert "Usage: impasto" in result.stdout


def test_presets_are_listed_and_shown(tmp_path: Path) -> None:
    listed = run_command("presets", cwd=tmp_path)
    assert listed.returncode == 0
    assert {"painterly", "classic"} <= set(listed.stdout.split())
    shown = run_command("presets", "show", "classic", cwd=tmp_path)
    assert shown.returncode == 0
    (tmp_path / "again.toml").write_text(shown.stdout)
    assert impasto.load_preset(tmp_path / "again.toml") == impasto.load_preset("classic")


@pytest.mark.weights
def test_weights_are_listed_and_verified(tmp_path: Path) -> None:
    assert run_command("weights", "pull", "vgg19", cwd=tmp_path).returncode == 0
    for arguments in (["weights"], ["weights", "list"], ["weights", "verify", "vgg19"]):
        result = run_command(*arguments, cwd=tmp_path)
        assert result.returncode == 0
        assert "vgg19" in result.stdout


@pytest.mark.usefixtures("score_networks")
def test_heads_are_listed_and_verified_like_networks(tmp_path: Path) -> None:
    for arguments in (["weights", "list"], ["weights", "verify"], ["weights", "verify", "lpips"]):
        result = run_command(*arguments, cwd=tmp_path)
        assert result.returncode == 0
        assert "lpips" in result.stdout


def test_samples_are_listed_and_written(tmp_path: Path) -> None:
    listed = run_command("samples", cwd=tmp_path)
    assert listed.returncode == 0
    assert "sample:swirl" in listed.stdout
    (tmp_path / "ink.png").write_bytes(b"mine")
    assert run_command("samples", "write", ".", "--size", "64", cwd=tmp_path).returncode == 0
    assert (tmp_path / "ink.png").read_bytes() == b"mine"
    assert read_pixels(tmp_path / "swirl.png").shape[1] == 64
    assert (tmp_path / "cat.jpg").stat().st_size > 1000


# ---- edge cases ----------------------------------------------------------------------------------


@pytest.mark.weights
def test_snapshots_never_overwrite_a_file(desk: Path) -> None:
    (desk / "o-0001.png").write_bytes(b"precious")
    arguments = ["stylize", "photo.jpg", "painting.png", "-o", "o.png", "--save-every", "1", "--quiet", *QUICK]
    assert run_command(*arguments, cwd=desk).returncode == 0
    assert (desk / "o-0001.png").read_bytes() == b"precious"
    assert read_pixels(desk / "o-0001_2.png").shape == (43, 64, 3)


@pytest.mark.weights
def test_accepts_any_file_name(desk: Path) -> None:
    strange = os.fsdecode(b"caf\xe9 [red] -x.jpg")
    shutil.copy(desk / "photo.jpg", desk / strange)
    long = "p" * 200 + ".jpg"
    shutil.copy(desk / "photo.jpg", desk / long)
    for run, name in ((run_process, strange), (run_command, long)):
        result = run("stylize", name, "painting.png", "--quiet", *QUICK, cwd=desk)
        assert result.returncode == 0, result.stderr
    assert len(list(desk.glob("*_painting.png"))) == 2


def test_inputs_are_checked_before_downloading_weights(
    desk: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path / "empty"))
    result = run_command("stylize", "no.jpg", "painting.png", "--network", "alexnet", cwd=desk)
    assert "no.jpg: no such file" in refused(result)
    assert not (tmp_path / "empty").exists()


@pytest.mark.weights
def test_unusable_recipe_is_a_clear_error(desk: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this is that machine")
    from impasto import images

    assert run_command("stylize", "photo.jpg", "painting.png", "-o", "o.png", *QUICK, cwd=desk).returncode == 0
    recipe = read_recipe(desk / "o.png").to_json()
    for old, new, message in [
        ('"device":"cpu"', '"device":"cuda"', "this machine has none"),
        ('"threads":', '"threads":-', "threads"),
        ('"engine":"manual"', '"engine":"nonsense"', "engine"),
        ('"stopped":null', '"stopped":{"scale":0,"iteration":1}', "scale"),
        ('"content":{', '"canvas":{', "canvas"),
        ('"style":{', '"style_5":{', "style_5"),
        ('"content":{', '"protect":{', "content is missing"),
    ]:
        assert old in recipe
        in_plan = old in ('"device":"cpu"', '"threads":')  # the run options have the same names, and come first
        plan = new.join(recipe.rsplit(old, 1)) if in_plan else recipe.replace(old, new)
        images.save(desk / "edited.png", torch.rand(1, 3, 8, 8), note=plan)
        assert message in refused(run_command("reproduce", "edited.png", cwd=desk))


@pytest.mark.slow
@pytest.mark.weights
def test_interrupt_while_loading_exits(desk: Path) -> None:
    """Interrupt at several times before the first step. libvips swallows exceptions in its callbacks."""
    for delay_s in (0.4, 1.2, 1.8, 2.2, 2.6):
        arguments = ["stylize", "photo.jpg", "painting.png", "-o", "out.png", "--iterations", "100000", "--size", "64"]
        with Program(
            [sys.executable, "-m", "impasto", *arguments],
            cwd=desk,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            time.sleep(delay_s)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=300)
        assert process.returncode in (130, -signal.SIGINT), delay_s


@pytest.mark.weights
def test_survives_ascii_output_and_full_stdout(desk: Path) -> None:
    shutil.copy(desk / "photo.jpg", desk / "фото.jpg")
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii"}
    arguments = ["stylize", "фото.jpg", "painting.png", "--iterations", "1", "--size", "64", "--scales", "1"]
    result = run_process(*arguments, cwd=desk, env=ascii_only)
    assert result.returncode == 0, result.stderr
    command = f"{sys.executable} -m impasto presets > /dev/full"
    full = subprocess.run(command, cwd=desk, shell=True, capture_output=True, text=True, check=False)
    assert "Traceback" not in full.stderr.replace("Exception ignored", "")
    assert full.returncode != 0
