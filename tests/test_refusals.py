"""Refusals of the command line: one line on standard error, an exit status and no changed file."""

from __future__ import annotations

import shlex
import shutil
import socket
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from impasto.cli import main
from impasto.jobs import JobStore
from impasto.samples import photo_path

REFUSED = [
    # stylize
    ("stylize nothere.jpg painting.png", 2, "nothere.jpg: no such file"),
    ("stylize . painting.png", 2, "is a directory"),
    ("stylize text.png painting.png", 2, "text.png"),
    ("stylize photo.jpg painting.png --style-weights 1,2", 2, "2 values for 1 style."),
    ("stylize photo.jpg painting.png --style-weights=-1", 2, "0 or more"),
    ("stylize photo.jpg painting.png --style-weights 0", 2, "every share is 0"),
    ("stylize photo.jpg painting.png --style-loss grm", 2, "or neighbor. Did you mean 'gram'"),
    ("stylize photo.jpg painting.png --style-mask text.png", 2, "text.png"),
    ("stylize bomb.png painting.png", 2, "100000x100000"),
    ("stylize photo.jpg painting.png --alpha nan", 2, "alpha"),
    ("stylize photo.jpg painting.png --alpha=-1", 2, "alpha"),
    ("stylize photo.jpg painting.png --alpha much", 2, "--alpha much: give a number."),
    ("stylize photo.jpg painting.png --alpha", 2, "--alpha needs a value. See: impasto stylize --help"),
    ("stylize photo.jpg painting.png --iterations many", 2, "--iterations many: give a whole number, or auto."),
    ("stylize photo.jpg painting.png --size 256.5", 2, "--size 256.5: give a whole number."),
    ("jobs show 2.7", 2, "JOB 2.7: give a whole number."),
    ("stylize photo.jpg painting.png --device gpu", 2, "--device gpu: give cpu, cuda, mps, or auto."),
    ("stylize photo.jpg painting.png --style-layers relu9_9", 2, "no layer 'relu9_9'"),
    ("stylize photo.jpg painting.png --network alexnet --content-layers relu4_2", 2, "alexnet has no"),
    ("stylize photo.jpg painting.png --network resnet", 2, "network"),
    ("stylize photo.jpg painting.png -o nowhere/out.png", 2, "no directory nowhere"),
    ("stylize photo.jpg painting.png -o out.xyz", 2, ".xyz is not supported"),
    ("stylize photo.jpg painting.png -o .", 2, "out"),
    ("stylize photo.jpg painting.png -o out.jpg --bits 16", 2, "holds 8 bits"),
    ("stylize photo.jpg painting.png --memory much", 2, "Write 4GB"),
    ("stylize photo.jpg painting.png --memory 200MB", 2, "does not fit 0.2 GB of memory"),
    ("stylize photo.jpg painting.png --preset clasic", 2, "Did you mean 'classic'"),
    ("stylize photo.jpg painting.png --preset bad.toml", 2, "Did you mean 'alpha'"),
    ("stylize photo.jpg painting.png --weights none.pth", 2, "none.pth: no such file"),
    ("stylize photo.jpg painting.png --weights text.png", 2, "does not hold the weights of vgg19"),
    ("stylize photo.jpg painting.png --alhpa 3", 2, "alhpa"),
    ("stylize photo.jpg painting.png --init image", 2, "image"),
    ("stylize photo.jpg painting.png --init nothere.png", 2, "nothere.png: no such file"),
    ("stylize photo.jpg sample:nothing", 2, "sample:cat, sample:swirl"),
    ("stylize sample:nothing photo.jpg", 2, "sample:cat, sample:swirl"),
    ("stylize photo.jpg", 2, "STYLE is missing. See: impasto stylize --help"),
    ("paint", 2, 'Did you mean "stylize"?'),
    # reproduce
    ("reproduce photo.jpg", 2, "has no recipe"),
    ("reproduce nothere.png", 2, "no such file"),
    # score
    ("score photo.jpg painting.png nothere.png", 2, "nothere.png: no such file"),
    ("score nothere.jpg painting.png photo.jpg", 2, "nothere.jpg: no such file"),
    ("score photo.jpg text.png photo.jpg", 2, "text.png"),
    ("score photo.jpg painting.png dot.png", 2, "dot.png at 1x1 px is too small for a score"),
    ("score photo.jpg dot.png photo.jpg", 2, "dot.png at 1x1 px is too small for a score"),
    ("score photo.jpg painting.png bomb.png", 2, "100000x100000"),
    ("score photo.jpg sample:nothing photo.jpg", 2, "nothing"),
    ("score photo.jpg painting.png", 2, "IMAGE"),
    ("score photo.jpg painting.png photo.jpg --max-megapixels 0.001", 2, "0.135 megapixels"),
    # presets
    ("presets show clasic", 2, "Did you mean 'classic'"),
    ("presets show nice", 2, "Use one of painterly, "),
    ("presets list", 2, "'list': this command takes no more arguments. See: impasto presets --help"),
    # weights
    ("weights import nothere.pth", 2, "no such file"),
    ("weights import text.png", 2, "damaged, or none of the known files"),
    ("weights pull resnet", 2, "resnet"),
    # places of outputs
    ("stylize photo.jpg painting.png -o photo.jpg", 2, "Choose another name"),
    ("stylize photo.jpg painting.png -o photo.jpg/out.png", 2, "no directory"),
    ("stylize photo.jpg painting.png --timelapse film.avi", 2, "film.avi"),
    (
        "stylize photo.jpg painting.png --timelapse film.gif --timelapse-seconds 0",
        2,
        "timelapse-seconds",
    ),
    (
        "stylize photo.jpg painting.png --report -o out.webp --timelapse out.webp",
        2,
        "Choose another name",
    ),
    ("stylize photo.jpg painting.png -o new.webp --timelapse new.webp", 2, "Choose another name"),
    ("stylize photo.jpg painting.png -o new.png --checkpoint new.png", 2, "Choose another name"),
    (
        "stylize photo.jpg painting.png -o new.png --checkpoint ./new.html --report",
        2,
        "Choose another name",
    ),
    (
        "stylize photo.jpg painting.png --checkpoint new.gif --timelapse new.gif",
        2,
        "Choose another name",
    ),
    (
        "stylize photo.jpg painting.png --protect photo.jpg --timelapse out.webp -o photo.jpg",
        2,
        "Choose another name",
    ),
    (
        "stylize photo.jpg painting.png --checkpoint run.impasto --checkpoint-every nan",
        2,
        "--checkpoint-every",
    ),
    ("stylize photo.jpg painting.png --checkpoint-every 5", 2, "--checkpoint FILE"),
    ("stylize photo.jpg painting.png --timelapse-seconds 5", 2, "--timelapse FILE"),
    # insight
    ("insight features photo.jpg --layers relu9_9", 2, "relu9_9"),
    ("insight features nowhere.jpg", 2, "nowhere.jpg"),
    ("insight features photo.jpg --strongest 0", 2, "strongest"),
    ("insight features photo.jpg -o photo.jpg", 2, "Choose another name"),
    ("insight features photo.jpg -o sheet.xyz", 2, ".xyz"),
    ("insight texture painting.png --init photo.jpg -o photo.jpg", 2, "Choose another name"),
    ("insight recombine painting.png --styles painting.png --init photo.jpg -o photo.jpg", 2, "another"),
    ("insight sweep painting.png painting.png --over init=noise,photo.jpg -o photo.jpg", 2, "another"),
    ("insight sweep photo.jpg painting.png --over alpa=1", 2, "alpa"),
    ("insight sweep photo.jpg painting.png --over alpha=much", 2, "much"),
    ("insight sweep photo.jpg painting.png", 2, "over"),
    ("insight sweep photo.jpg painting.png --over alpha=1,2 --alpha 3", 2, "alpha is given, and swept"),
    ("insight texture painting.png --alpha 3", 2, "--alpha"),
    ("insight texture painting.png --color match", 2, "--color"),
    ("insight reconstruct photo.jpg --style-scale 2", 2, "--style-scale"),
    ("insight features photo.jpg --iterations 3", 2, "--iterations"),
    ("insight recombine photo.jpg", 2, "styles"),
    # batch
    ("batch empty --styles paintings -o out", 2, "no picture for the contents in empty"),
    ("batch photos --styles 'nowhere/*.jpg' -o out", 2, "no picture for the styles in nowhere"),
    ("batch photos -o out", 2, "--styles"),
    ("batch photos --styles paintings --pairs x.csv -o out", 2, "either --styles"),
    ("batch photos --pairs x.csv -o out", 2, "Remove the other contents"),
    ("batch --pairs nowhere.csv -o out", 2, "cannot be read as CSV"),
    ("batch --pairs bad.csv -o out", 2, "line 2"),
    ("batch --pairs head.csv -o out", 2, "no pairs"),
    ("batch --pairs option.csv -o out", 2, "alpah"),
    ("batch photos --styles paintings --names '{content}.png' -o out", 2, "Two pictures would be named"),
    ("batch photos --styles paintings --names '{nobody}.png' -o out", 2, "cannot name pictures"),
    ("batch photos --styles paintings --names '{content.__class__}{number}.gif' -o out", 2, "cannot"),
    ("batch photos --styles paintings --names '{number}.gif' -o out", 2, ".gif is not supported"),
    ("batch photos --styles paintings --sweep alpha -o out", 2, "--sweep"),
    ("batch photos --styles paintings --sweep alpha= -o out", 2, "no values"),
    ("batch photos --styles -o out", 2, "--styles"),
    ("batch --styles paintings -o out", 2, "no contents"),
    ("batch photos --styles paintings --sweep alpha=1,x -o out", 2, "alpha"),
    ("batch photos --styles paintings --workers -1 -o out", 2, "--workers"),
    ("batch photos --styles paintings --protect 'masks/{content}.png' -o out", 2, "no file masks/cat.png, nor any"),
    ("batch photos --styles paintings --protect '{contnet}.png' -o out", 2, "neither {content} nor {style}"),
    ("batch photos --styles paintings --protect bad.csv -o out", 2, "cannot be read as an image"),
    ("batch photos --styles paintings --weights bad.csv -o out", 2, "does not hold the weights"),
    ("batch photos --styles paintings --weights nowhere.pth -o out", 2, "no file nowhere.pth"),
    ("batch photos --styles paintings --style-weights 1,2 -o out", 2, "2 values for 1 style"),
    ("batch --pairs long.csv -o out", 2, "line 2: more values"),
    ("batch photos --styles paintings -o photos/cat.jpg", 2, "cannot be created"),
    # jobs
    ("jobs add nowhere.jpg painting.png", 2, "nowhere.jpg"),
    ("jobs add photo.jpg painting.png --alpha -1", 2, "alpha"),
    ("jobs add photo.jpg painting.png -o out.xyz", 2, ".xyz"),
    ("jobs show 7", 2, "no job 7"),
    ("jobs cancel 7", 2, "no job 7"),
    ("jobs list --data-dir photo.jpg", 2, "--data-dir"),
    # studio
    ("studio --no-browser --host 0.0.0.0", 2, "--token"),
    ("studio --no-browser --host 0.0.0.0 --token short", 2, "16"),
    ("studio --no-browser --port 99999", 2, "0 to 65535"),
    ("studio --no-browser --workers -1", 2, "0 to 64"),
    ("studio --no-browser --host 256.1.1.1 --token xxxxxxxxxxxxxxxxxxxx", 2, "Give --host an address of this machine"),
    ("studio --no-browser --port '{taken}'", 2, "Another studio may be running there."),
    ("studio --no-browser --data-dir file", 2, "cannot be created"),
    # cluster
    ("stylize photo.jpg painting.png --on 127.0.0.1:1", 2, "does not answer"),
]
"""Arguments, exit status and a part of the message."""

WITH_WEIGHTS = [
    ("stylize half.jpg painting.png", 2, "half.jpg"),
    ("stylize dot.png painting.png", 2, "1x1 px is too small for relu5_1"),
    ("stylize line.png painting.png --size 5000", 2, "1x5000 px is too small for relu5_1"),
    ("stylize photo.jpg dot.png", 2, "The style dot.png at 1x1 px is too small for relu5_1"),
    ("stylize photo.jpg painting.png --content-mask tall.png", 2, "must have the aspect ratio of its picture"),
    ("stylize photo.jpg painting.png --content-mask black.png", 2, "Content mask 1 is empty"),
    ("stylize photo.jpg painting.png --memory 200MB --quiet --network vgg16", 2, "does not fit"),
    ("insight gram photo.jpg --size 8", 2, "too small"),
]
"""Refusals that need pretrained weights."""

SLOW = [
    ("batch photos --styles paintings -o out --on 127.0.0.1:1", 2, "does not answer"),
    ("batch photos --styles paintings -o out --on ray://127.0.0.1:1", 2, "does not answer"),
    ("batch photos --styles paintings -o out --on mars", 2, "is not an address"),
]
"""Refusals by Ray, in a separate process."""

CASES = [
    pytest.param(*row, id=row[0], marks=marks)
    for rows, marks in ((REFUSED, []), (WITH_WEIGHTS, [pytest.mark.weights]), (SLOW, [pytest.mark.slow]))
    for row in rows
]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory, photo: Path, painting: Path) -> Path:
    """Make a folder of pictures and of invalid files of every kind."""
    folder = tmp_path_factory.mktemp("inputs")
    for name in ("photos", "paintings", "empty"):
        (folder / name).mkdir()
    for path in (folder / "photo.jpg", folder / "photos" / "cat.jpg", folder / "paintings" / "fur.jpg"):
        shutil.copy(photo_path("cat"), path)
    for path in (folder / "painting.png", folder / "photos" / "dog.png", folder / "paintings" / "swirl.png"):
        shutil.copy(painting, path)
    (folder / "file").write_bytes(b"")
    (folder / "text.png").write_text("not an image\n" * 20)
    whole = (folder / "photo.jpg").read_bytes()
    (folder / "half.jpg").write_bytes(whole[: len(whole) // 2])
    Image.new("RGB", (1, 1)).save(folder / "dot.png")
    Image.new("RGB", (1, 5000)).save(folder / "line.png")
    header = bytearray((folder / "dot.png").read_bytes())
    header[16:24] = (100_000).to_bytes(4, "big") * 2
    header[29:33] = zlib.crc32(bytes(header[12:29])).to_bytes(4, "big")
    (folder / "bomb.png").write_bytes(bytes(header))
    (folder / "bad.toml").write_text("alhpa = 3\n")
    Image.new("L", (40, 90), 255).save(folder / "tall.png")
    Image.new("L", (96, 64), 0).save(folder / "black.png")
    (folder / "bad.csv").write_text("a,b\n1,2\n")
    (folder / "head.csv").write_text("content,style\n")
    (folder / "long.csv").write_text("content,style\na.jpg,b.jpg,3\n")
    (folder / "option.csv").write_text("content,style,alpah\na.jpg,b.jpg,3\n")
    for name in ("kept.png", "out.webp"):
        (folder / name).write_bytes(b"existing")
    return folder


@pytest.fixture
def folder(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Enter a copy of these files, with the job queue in another folder."""
    copied = shutil.copytree(inputs, tmp_path / "folder")
    monkeypatch.chdir(copied)
    monkeypatch.setenv("IMPASTO_DATA", str(tmp_path / "queue"))
    return copied


@pytest.fixture(scope="module")
def port_in_use() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of all files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("arguments", "status", "message"), CASES)
def test_refuses_in_one_line_and_changes_nothing(
    arguments: str, status: int, message: str, folder: Path, port_in_use: int, capsys: pytest.CaptureFixture[str]
) -> None:
    command = shlex.split(arguments.replace("{taken}", str(port_in_use)))
    if command[0] == "stylize" and "-o" not in command:
        command += ["-o", "kept.png"]
    before = contents(folder)
    assert main(command) == status
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.strip().splitlines()) == 1, captured.err
    assert captured.err.startswith("impasto: ")
    assert message in captured.err
    assert contents(folder) == before
    assert JobStore(folder.parent / "queue").jobs() == []
