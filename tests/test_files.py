"""Atomic writes: a file is complete or absent, and no other module replaces files."""

from __future__ import annotations

import ast
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import impasto
from impasto import files
from impasto.errors import OutputError
from impasto.files import (
    ScratchFolder,
    atomic_folder,
    atomic_write,
    remove_abandoned_folders,
    require_distinct,
    require_writable,
)

ROOT = Path(impasto.__file__).parent
REPLACING = ("os.replace", "os.rename", "os.renames", "shutil.move", "tempfile.mkstemp", "tempfile.NamedTemporaryFile")
WRITING = (".write_bytes", ".write_text", ".copyfile", ".copy2")
WRITERS = ("atomic_write", "tempfile.TemporaryDirectory", "ScratchFolder")
IN_THE_CALLERS_FOLDER = ("weights/download.py", "studio/pictures.py")
"""Modules that write into a temporary folder that their caller made."""

MODULES = sorted(ROOT.rglob("*.py"))


def calls_in(path: Path) -> list[ast.Call]:
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]


def replaces_a_file(call: ast.Call) -> bool:
    """Return True for `os.replace(a, b)` and `path.replace(b)`, not for `text.replace("a", "b")`."""
    if not isinstance(call.func, ast.Attribute):
        return False
    of_a_path = call.func.attr in ("replace", "rename") and len(call.args) == 1 and not call.keywords
    return of_a_path or ast.unparse(call.func) in REPLACING


def test_only_files_module_replaces_files() -> None:
    replacing = [path for path in MODULES if any(map(replaces_a_file, calls_in(path)))]
    assert not set(replacing) - {ROOT / "files.py"}


def test_files_are_written_atomically() -> None:
    unsafe = []
    for path in MODULES:
        names = [ast.unparse(call.func) for call in calls_in(path)]
        if any(name.endswith(WRITING) for name in names) and not any(map(names.count, WRITERS)):
            unsafe.append(path.relative_to(ROOT).as_posix())
    assert not set(unsafe) - set(IN_THE_CALLERS_FOLDER)


def test_file_appears_when_complete(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    with atomic_write(path) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".txt"
        temporary.write_text("complete")
        assert not path.exists()
    assert path.read_text() == "complete"
    assert list(tmp_path.iterdir()) == [path]


def write_and_fail(path: Path, failure: BaseException) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text("new, but not all of it")
        raise failure


@pytest.mark.parametrize("failure", [ValueError("a bug"), OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_failure_keeps_the_old_file(tmp_path: Path, failure: BaseException) -> None:
    path = tmp_path / "out.txt"
    path.write_text("old")
    expected = OutputError if isinstance(failure, OSError) else type(failure)
    with pytest.raises(expected):
        write_and_fail(path, failure)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError("encoder error -2"), "encoder error"),
    ],
)
def test_error_names_the_file_and_reason(tmp_path: Path, error: OSError, reason: str) -> None:
    with pytest.raises(OutputError, match=rf"out\.gif could not be written: {reason}.*Free some space") as caught:
        write_and_fail(tmp_path / "out.gif", error)
    assert "\n" not in str(caught.value)


def test_nested_output_error_keeps_its_message(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"^mine$"):
        write_and_fail(tmp_path / "out.txt", OutputError("mine"))


@pytest.mark.parametrize("name", ["missing/out.png", "folder", "x" * 300])
def test_refuses_an_unwritable_path(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError):
        require_writable(tmp_path / name)
    with pytest.raises(OutputError), atomic_write(tmp_path / name) as temporary:
        temporary.write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.mark.skipif(os.name == "nt", reason="Windows needs a privilege for symbolic links")
def test_symbolic_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    folder, target = tmp_path / "elsewhere", tmp_path / "elsewhere" / "picture.bin"
    folder.mkdir()
    link, to_nothing = tmp_path / "out.png", tmp_path / "new.png"
    target.write_text("old")
    link.symlink_to(target)
    to_nothing.symlink_to(folder / "new.bin")
    for path in (link, to_nothing):
        require_writable(path)
        with atomic_write(path) as temporary:
            assert (temporary.parent, temporary.suffix) == (folder, ".png")
            temporary.write_text("new")
        assert path.is_symlink()
        assert path.resolve().read_text() == "new"
    loop = tmp_path / "loop.png"
    loop.symlink_to(loop)
    with pytest.raises(OutputError, match="symbolic links"):
        require_writable(loop)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
@pytest.mark.parametrize("mode", [0o600, 0o664])
def test_replaced_file_keeps_its_mode(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "out.png"
    path.write_text("old")
    path.chmod(mode)
    with atomic_write(path) as temporary:
        assert stat.S_IMODE(temporary.stat().st_mode) == mode
        temporary.write_text("new")
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new", mode)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only an administrator can give files away")
def test_replaced_file_keeps_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "out.png"
    path.write_text("old")
    os.chown(path, 1234, 1234)
    with atomic_write(path) as temporary:
        temporary.write_text("new")
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 1234)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such pipes")
def test_refuses_to_replace_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    with pytest.raises(OutputError, match="is a device or a pipe"):
        require_writable(pipe)
    with pytest.raises(OutputError, match="is a device or a pipe"), atomic_write(pipe):
        pass
    assert pipe.is_fifo()


def test_outputs_must_differ_from_each_other_and_inputs(tmp_path: Path) -> None:
    photo, link = tmp_path / "photo.png", tmp_path / "link.png"
    photo.write_text("")
    os.link(photo, link)
    require_distinct([tmp_path / "a.png", tmp_path / "b.png"], [photo, None, object()])
    for outputs in ([photo], [link], [tmp_path / "." / "photo.png"], [tmp_path / "a.png", tmp_path / "a.png"]):
        with pytest.raises(OutputError, match="is an input of this run, or given for two outputs"):
            require_distinct(outputs, [photo])


KILLED = """
import os, sys
from pathlib import Path
from impasto.files import ScratchFolder
folder = ScratchFolder(Path(sys.argv[1]))
(folder.path / "photo.jpg").write_text("private")
print(folder.path, flush=True)
sys.stdin.read()
"""


def test_scratch_folder_of_a_killed_process_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "NEW_S", 0.0)
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdin is not None
    with process:
        abandoned = Path(process.stdout.readline().strip())
        with ScratchFolder(tmp_path) as own:
            (tmp_path / "impasto-picture").mkdir()  # without a lock file, so not a scratch folder
            remove_abandoned_folders(tmp_path)
            assert {own, abandoned} <= set(tmp_path.iterdir())
            process.kill()
            process.wait()
            remove_abandoned_folders(tmp_path)
            assert set(tmp_path.iterdir()) == {own, tmp_path / "impasto-picture"}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_scratch_folder_is_private_and_removed_at_its_end(tmp_path: Path) -> None:
    with ScratchFolder(tmp_path) as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "picture.png").write_text("")
    assert list(tmp_path.iterdir()) == []


def test_folder_is_replaced_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    with atomic_folder(folder) as temporary:
        (temporary / "1.png").write_text("old")
    with pytest.raises(OutputError, match="could not be written"), atomic_folder(folder) as temporary:
        (temporary / "none" / "1.png").write_text("new")
    assert (folder / "1.png").read_text() == "old"
    with atomic_folder(folder) as temporary:
        (temporary / "2.png").write_text("new")
    assert [one.name for one in folder.iterdir()] == ["2.png"]
    assert list(tmp_path.iterdir()) == [folder]
    with pytest.raises(OutputError, match="could not be written"), atomic_folder(tmp_path / "none" / "frames"):
        pass
