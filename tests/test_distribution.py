"""The archives of a release: built, installed in an environment without the source, and used there."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "impasto"

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("distribution")]


def run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    """Return the output of a command that succeeds."""
    result = subprocess.run(list(map(str, command)), cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def package_files() -> set[str]:
    """Return the files of the package in the source, as `impasto/...`."""
    files = (path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(PACKAGE.parent).as_posix() for path in files}


@dataclass
class Installed:
    """An environment with the wheel, and a folder to run commands in."""

    environment: Path
    folder: Path

    def __post_init__(self) -> None:
        self.programs = self.environment / ("Scripts" if os.name == "nt" else "bin")
        self.env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        self.env["IMPASTO_CACHE"] = str(self.folder / "cache")

    def python(self, code: str) -> str:
        return run(self.programs / "python", "-c", code, cwd=self.folder, env=self.env).strip()

    def impasto(self, *arguments: str) -> str:
        return run(self.programs / "impasto", *arguments, cwd=self.folder, env=self.env)


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the source archive, and the wheel from it, in a folder."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def wheel(archives: Path) -> Path:
    """Return the wheel."""
    (path,) = archives.glob("impasto-*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Install the wheel in a fresh environment that borrows dependencies through a .pth file."""
    environment, folder = tmp_path_factory.mktemp("environment"), tmp_path_factory.mktemp("elsewhere")
    run(sys.executable, "-m", "venv", "--without-pip", environment, cwd=folder)
    result = Installed(environment, folder)
    site_packages = result.python("import sysconfig; print(sysconfig.get_path('purelib'))")
    # Python ignores .pth files in a folder that a .pth file adds, so an editable install here stays invisible there.
    dependencies = [path for path in sys.path if Path(path).name == "site-packages"]
    (Path(site_packages) / "dependencies.pth").write_text("\n".join(dependencies))
    options = ("--quiet", "--no-deps", "--no-index", "--ignore-installed")
    run(sys.executable, "-m", "pip", "--python", result.programs / "python", "install", *options, wheel, cwd=folder)
    return result


def test_wheel_holds_exactly_the_package_files(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    shipped = {name for name in names if name.startswith("impasto/clients/shipped/")}
    assert names - shipped == package_files()
    assert {Path(name).name for name in shipped} >= {"impasto_krita.desktop", "panel.py", "Manual.html", "watch.py"}


def test_source_archive_holds_what_the_tests_need(archives: Path) -> None:
    (path,) = archives.glob("impasto-*.tar.gz")
    with tarfile.open(path) as archive:
        top = {name.split("/", 2)[1] for name in archive.getnames()}
    assert {"Makefile", "constraints.txt", "pyproject.toml", "docs", "examples", "scripts", "src", "tests"} <= top


def test_installed_package_is_not_the_checkout(installed: Installed) -> None:
    place, path = installed.python("import impasto, sys; print(impasto.__file__); print(sys.path)").splitlines()
    assert Path(place).is_relative_to(installed.environment)
    assert str(PACKAGE.parent) not in path


def test_installed_version_is_that_of_the_source(installed: Installed) -> None:
    code = "import impasto, importlib.metadata as m; print(impasto.__version__, m.version('impasto'))"
    assert len(set(installed.python(code).split())) == 1


def test_installed_command_prints_help_and_presets(installed: Installed) -> None:
    assert "stylize" in installed.impasto("--help")
    printed, presets = installed.impasto("presets"), [*(PACKAGE / "config" / "presets").glob("*.toml")]
    assert presets
    assert all(path.stem in printed for path in presets)


@pytest.mark.weights
def test_installed_command_paints_and_writes_a_report(installed: Installed) -> None:
    installed.impasto("demo", "--size", "96", "--iterations", "3", "-o", "demo.png")
    with Image.open(installed.folder / "demo.png") as picture:
        assert max(picture.size) == 96
    installed.impasto("insight", "report", "demo.png", "-o", "report.html")
    assert "<svg" in (installed.folder / "report.html").read_text(encoding="utf-8")


def test_installed_studio_serves_every_file_of_its_page(installed: Installed) -> None:
    page = PACKAGE / "studio" / "page"
    options = ("--port", "0", "--no-browser", "--workers", "0", "--data-dir", "data")
    command = [str(installed.programs / "impasto"), "studio", *options]
    with subprocess.Popen(
        command, cwd=installed.folder, env=installed.env, stdout=subprocess.PIPE, text=True
    ) as studio:
        try:
            assert studio.stdout is not None
            address = studio.stdout.readline().split()[-1]
            for path in page.iterdir():
                with urllib.request.urlopen(f"{address}/page/{path.name}", timeout=300) as response:
                    assert response.read() == path.read_bytes()
        finally:
            studio.kill()
