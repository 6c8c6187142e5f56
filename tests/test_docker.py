"""The files of the container image: the start script is run, the others are compared with each other."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest
from builders.systems import LINUX_ONLY

ROOT = Path(__file__).parent.parent
ENTRY_POINT = ROOT / "docker" / "entrypoint.sh"
DOCKERFILE = (ROOT / "Dockerfile").read_text()

pytestmark = LINUX_ONLY

RECORD = """#!{python}
import json, os, sys
print("RECORD", json.dumps([sys.argv[1:], os.environ.get("IMPASTO_TOKEN")]), flush=True)
"""


@dataclass
class Container:
    """A folder in place of the volume, and an `impasto` that prints its arguments and its token."""

    data: Path
    env: dict[str, str]

    def run(self, *arguments: str, **env: str) -> tuple[list[str], str | None, str]:
        """Return the arguments and the token that `impasto` got, and what was printed before."""
        done = self.start(*arguments, **env)
        assert done.returncode == 0, done.stderr
        printed, _, record = done.stdout.partition("RECORD ")
        got, token = json.loads(record)
        return got, token, printed

    def start(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [ENTRY_POINT, *arguments], env=self.env | env, capture_output=True, text=True, check=False
        )


@pytest.fixture
def container(tmp_path: Path) -> Container:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "impasto").write_text(RECORD.format(python=sys.executable))
    (programs / "impasto").chmod(0o755)
    (programs / "python").symlink_to(sys.executable)
    data = tmp_path / "volume" / "queue"
    env = {"PATH": f"{programs}:/usr/bin:/bin", "HOME": "/nonexistent", "IMPASTO_DATA": str(data)}
    return Container(data, env)


def test_token_is_created_once_and_kept(container: Container) -> None:
    arguments, token, printed = container.run()
    assert arguments == ["studio", "--host", "0.0.0.0", "--no-browser"]
    assert token is not None
    assert len(token) >= 32
    assert printed.count(token) == 1
    path = container.data / "token"
    assert path.read_text().strip() == token
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again, same, printed = container.run("studio", "--name", "studio.local")
    assert again == [*arguments, "--name", "studio.local"]
    assert same == token
    assert token not in printed
    assert str(path) in printed
    assert [file.name for file in container.data.iterdir()] == ["token"]


def test_given_token_is_used_and_not_stored(container: Container) -> None:
    _, token, printed = container.run(IMPASTO_TOKEN="a-word-of-your-own")
    assert (token, printed) == ("a-word-of-your-own", "")
    assert not container.data.exists()


def test_other_commands_are_passed_on(container: Container) -> None:
    assert container.run("jobs", "worker", "--drain") == (["jobs", "worker", "--drain"], None, "")
    assert container.run("--help")[0] == ["--help"]


def test_volume_that_cannot_be_written_is_explained(container: Container) -> None:
    container.data.parent.mkdir()
    container.data.write_text("a file")
    done = container.start()
    assert done.returncode == 1
    assert done.stderr.startswith("impasto: user ")
    assert f"cannot write to {container.data}" in done.stderr


@pytest.mark.slow
def test_studio_starts_with_the_token_and_stops_at_sigterm(container: Container) -> None:
    """The real studio, without a home folder."""
    impasto = Path(container.env["PATH"].partition(":")[0]) / "impasto"
    impasto.write_text(f'#!/bin/sh\nexec {sys.executable} -m impasto "$@"\n')
    command = [str(ENTRY_POINT), "studio", "--port", "0", "--workers", "0"]
    env = container.env | {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as studio:
        try:
            assert studio.stdout is not None
            token = studio.stdout.readline().split()[-1]
            address = studio.stdout.readline().split()[-1]
            assert json.load(urllib.request.urlopen(f"{address}/api/health"))["version"]
            with pytest.raises(urllib.error.HTTPError, match="401"):
                urllib.request.urlopen(f"{address}/api/jobs")
            request = urllib.request.Request(f"{address}/api/jobs", headers={"Authorization": f"Bearer {token}"})
            assert json.load(urllib.request.urlopen(request)) == []
            studio.send_signal(signal.SIGTERM)
            assert studio.wait(60) == 0
        finally:
            studio.kill()


@pytest.mark.parametrize("shell", ["dash", "busybox"])
def test_start_script_is_portable(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is missing")
    command = [shell, *(["sh"] if shell == "busybox" else []), "-n", str(ENTRY_POINT)]
    subprocess.run(command, check=True, capture_output=True)


def test_image_is_built_from_files_that_are_not_ignored() -> None:
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = {name for line in re.findall(r"^COPY (?!--)(.+) \S+$", DOCKERFILE, re.MULTILINE) for name in line.split()}
    assert copied >= {".", "constraints.txt", "docker/entrypoint.sh", "docker/health.py"}
    for name in (copied - {"."}) | set(kept):
        assert (ROOT / name).exists(), name
    for name in copied - {"."}:
        assert any(fnmatch.fnmatch(name, pattern) for pattern in kept), name


def test_image_is_not_run_as_root() -> None:
    assert re.search(r"^USER 10001$", DOCKERFILE, re.MULTILINE)
    assert DOCKERFILE.index("\nUSER ") < DOCKERFILE.index("\nENTRYPOINT ")
