"""The docs and their site: figures, commands, examples, the notebook, navigation and links."""

from __future__ import annotations

import json
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from html import unescape
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from inspect import cleandoc
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import pyvips
import torch
from browser import BROWSERS
from builders.clips import numbered_frame, write_clip
from builders.pages import WatchedPage

import impasto
from impasto import images, insight
from impasto.cli import main
from impasto.core.image import resize
from impasto.core.statistics import gram_matrix

pytestmark = pytest.mark.usefixtures("shared_models")

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
WALKTHROUGH = [page for page in PAGES if page.parent.name == "how"]
EXAMPLES = sorted(path for path in (ROOT / "examples").glob("*.py") if path.stem != "artistic_control")
"""The short examples."""
SMALL_VALUES = {"size": "64", "iterations": "2"}
SCORED = ("score", "seamless")
"""Pages that score what they paint."""
READERS_OWN = ("index", "api")
"""Pages whose commands use the reader's own photo and painting."""

DRAW_FIGURES = runpy.run_path(str(ROOT / "scripts" / "draw_figures.py"))
FIGURES: dict[str, str] = DRAW_FIGURES["figures"]()
SHEETS = [f"control-{name}.jpg" for name in runpy.run_path(str(ROOT / "examples" / "artistic_control.py"))["SHEETS"]]
OTHER_SCRIPTS = {
    *(f"{name}.jpg" for name in ("client", "docker", "doctor", "install", "offline")),
    "comfyui.jpg",
    "demo.jpg",
    "desktop.jpg",
    "krita.jpg",
    "notebook.jpg",
    "studio.jpg",
    "programs.jpg",
    "sizes.jpg",
    "video.jpg",
    *SHEETS,
}
"""Figures that other scripts draw."""


def relative_name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def code_blocks(page: Path, kind: str) -> list[str]:
    """Return the page's code blocks of this kind."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)


def join_lines(block: str) -> list[str]:
    """Return the lines of a block, joining those that end with a backslash."""
    return [line for line in re.sub(r"\\\n\s*", "", block).splitlines() if line]


def commands(page: Path) -> list[str]:
    """Return the shell commands of a page."""
    return [line for block in code_blocks(page, "sh") for line in join_lines(block)]


def runnable_steps(page: Path) -> list[tuple[str, str]]:
    """Return the shell lines and Python programs of a page, in order, each with its kind."""
    blocks = re.findall(r"^```(sh|python)\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    return [(kind, step) for kind, text in blocks for step in (join_lines(text) if kind == "sh" else [text])]


@pytest.mark.parametrize("page", WALKTHROUGH, ids=lambda page: page.stem)
def test_walk_page_has_a_figure_and_quoted_code(page: Path) -> None:
    text = page.read_text()
    assert re.search(r"!\[.{20,}\]\(\.\./\S+\)", text), "a figure with an alternative text"
    if page.stem != "index":
        assert 'title="' in text
        assert "**Next:**" in text or page.stem == "takeaways"


def figures_on(page: Path) -> list[Path]:
    return [(page.parent / target).resolve() for target in re.findall(r"!\[[^\]]*\]\((\S+?)\)", page.read_text())]


@pytest.mark.parametrize("page", PAGES, ids=relative_name)
def test_page_shows_the_command_for_each_figure(page: Path) -> None:
    for figure in figures_on(page):
        assert figure.exists()
        if figure.parent.name != "figures":
            assert figure.name in OTHER_SCRIPTS
        elif page.parent.name == "how":
            assert FIGURES[figure.name] in commands(page)
        else:
            assert figure.name in FIGURES


def test_drawn_figures_are_used_and_small() -> None:
    used = {figure for page in PAGES for figure in figures_on(page)}
    assert set((DOCS / "figures").iterdir()) == {DOCS / "figures" / name for name in FIGURES}
    assert {DOCS / "figures" / name for name in FIGURES} <= used
    for name in FIGURES:
        assert (DOCS / "figures" / name).stat().st_size <= DRAW_FIGURES["MAX_BYTES"][Path(name).suffix]


@pytest.mark.weights
def test_figures_are_drawn_by_their_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(DRAW_FIGURES["draw"].__globals__, "FOLDER", tmp_path / "figures")
    DRAW_FIGURES["draw"](
        "features.jpg", "impasto insight features sample:cat --layers relu1_1 --size 64 -o features.jpg"
    )
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["features.jpg"]
    assert Path.cwd() == tmp_path


def shrink_command(line: str, *, is_scored: bool = False) -> list[str]:
    """Return the arguments of a command, made small; a score needs at least 64 px a side."""
    size = "96" if is_scored else SMALL_VALUES["size"]
    line = re.sub(r"--size \d+", f"--size {size}", line)
    line = re.sub(r" --dpi \d+", "", line)
    line = re.sub(r"--fps-out \d+", "--fps-out 2", line)
    line = re.sub(r"--iterations \d+", f"--iterations {SMALL_VALUES['iterations']}", line)
    line = re.sub(r"(--over iterations=)\S+", r"\g<1>1,2", line)
    line = re.sub(r"(--over size=)\S+", rf"\g<1>{size},96", line)
    arguments = shlex.split(line)
    paints = arguments[1] in ("stylize", "demo", "batch", "video") or arguments[1:3] == ["jobs", "add"]
    paints |= arguments[1] == "insight" and arguments[2] not in ("features", "gram", "report")
    values = SMALL_VALUES | {"size": size}
    if "video" in arguments or "clip.mp4" in arguments:
        values["frame-iterations"] = SMALL_VALUES["iterations"]
    if arguments[1:3] == ["samples", "write"] and "--size" not in arguments:
        arguments += ["--size", "160"]
    if "--print" in arguments:  # it sets the pixels
        arguments += ["--dpi", "5"]
        del values["size"]
    for name, value in values.items():
        is_given = f"--{name}" in arguments or any(argument.startswith(f"{name}=") for argument in arguments)
        if not is_given and (paints or (name == "size" and arguments[1] == "insight" and arguments[2] != "report")):
            arguments += [f"--{name}", value]
    return arguments


def write_own_files(folder: Path) -> None:
    """Write the files besides photo and painting that stand for a reader's own."""
    photo = images.load(folder / "photo.jpg").pixels
    images.save(folder / "sphere.jpg", resize(photo, 64, 128).clamp(0, 1))
    island = torch.zeros(1, 1, 64, 96)
    island[:, :, 8:50, 10:60] = 1
    images.save(folder / "texture.png", resize(photo, 64, 96).clamp(0, 1), island)
    frames = [numbered_frame(number, 64, 96) for number in range(4)]
    # Commands take parts of the first 0.4 s.
    write_clip(folder / "clip.mp4", frames, times=range(4), clock=Fraction(1, 10), sound="aac", sound_s=0.4)
    (folder / "paper.icc").write_bytes(pyvips.Image.profile_load("cmyk"))


@pytest.mark.weights
@pytest.mark.usefixtures("score_networks")
@pytest.mark.parametrize("page", [page for page in PAGES if runnable_steps(page)], ids=relative_name)
def test_page_commands_run_in_order(
    page: Path, desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (desk / "painting.png").rename(desk / "painting.jpg")
    if "stand for your own" not in page.read_text() and page.stem not in READERS_OWN:
        for path in desk.iterdir():
            path.unlink()  # a new user's folder is empty
    else:
        write_own_files(desk)
    monkeypatch.chdir(desk)
    monkeypatch.setenv("IMPASTO_DATA", str(desk / "data"))
    for kind, line in runnable_steps(page):
        if kind == "python":
            exec(compile(re.sub(r"size=\d+", "size=64, iterations=2", line), page.name, "exec"), {})
            continue
        if line.startswith("python examples/"):
            assert (ROOT / shlex.split(line)[1]).exists(), line
            continue
        arguments = shrink_command(line, is_scored=page.stem in SCORED)
        assert arguments[0] == "impasto"
        assert main(arguments[1:]) == 0, f"{line}\n{capsys.readouterr().err}"
        if "-o" in arguments and arguments[1:3] != ["jobs", "add"]:  # a worker paints those later
            assert (desk / arguments[arguments.index("-o") + 1]).stat().st_size > 500, line


@pytest.mark.weights
@pytest.mark.parametrize("script", EXAMPLES, ids=lambda path: path.stem)
def test_example_is_short_and_runs(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    text = script.read_text()
    assert len([line for line in text.splitlines() if line.strip()]) < 40
    assert f"| `{script.name}` |" in (DOCS / "examples.md").read_text()
    takes_steps = "**options" in text
    # Gradients are shown up to step 40.
    steps = {"iterations": 40 if script.stem == "gradients" else 2} if takes_steps else {}
    runpy.run_path(str(script))["main"]("made.png", size=64, **steps)
    assert (tmp_path / "made.png").stat().st_size > 500
    assert "nan" not in capsys.readouterr().out


@pytest.mark.weights
def test_features_tolerate_small_shifts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Check the numbers in docs/how/pixels.md."""
    runpy.run_path(str(ROOT / "examples" / "why_not_pixels.py"))["main"](str(tmp_path / "made.png"))
    printed = re.findall(r"^(.*): pixels (\S+), relu4_2 (\S+)$", capsys.readouterr().out, re.MULTILINE)
    numbers = {name: (float(pixels), float(features)) for name, pixels, features in printed}
    assert numbers["blurred"][0] < numbers["darker"][0] < numbers["moved by 4 pixels"][0]
    assert numbers["darker"][1] < numbers["moved by 4 pixels"][1] < numbers["blurred"][1]
    for name, pair in numbers.items():
        if any(pair):
            row = next(line for line in (DOCS / "how" / "pixels.md").read_text().splitlines() if f"| {name} |" in line)
            assert [float(cell.strip("* ")) for cell in row.split("|")[3:5]] == pytest.approx(pair, abs=0.011)


@pytest.mark.weights
def test_content_and_style_gradients_end_up_opposed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Check the claim of docs/how/gradients.md."""
    runpy.run_path(str(ROOT / "examples" / "gradients.py"))["main"](str(tmp_path / "made.png"), size=96)
    cosines = [float(number) for number in re.findall(r"agree by (\S+)$", capsys.readouterr().out, re.MULTILINE)]
    assert len(cosines) == 3
    assert cosines[2] < cosines[1] < cosines[0]
    assert cosines[2] < -0.9


NOTEBOOK = json.loads((ROOT / "examples" / "tour.ipynb").read_text())


def test_notebook_has_no_stored_output() -> None:
    for cell in NOTEBOOK["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None


@pytest.mark.weights
def test_notebook_runs(tmp_path: Path) -> None:
    import nbformat  # takes seconds, in every worker if it were at the top
    from nbclient import NotebookClient

    text = (ROOT / "examples" / "tour.ipynb").read_text()
    small = text.replace("SIZE = 192", "SIZE = 64").replace("STEPS = 40", "STEPS = 3")
    assert small.count("= 64") == small.count("= 3") == 1
    book = nbformat.reads(small, as_version=4)
    checks = "assert curve[-1] < curve[0]\nw.iterations = 2\nw.start()\nassert w.wait()\nw.result"
    book.cells.append(nbformat.v4.new_code_cell(checks))
    NotebookClient(book, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [set(output.data) for cell in book.cells for output in cell.get("outputs", ()) if "data" in output]
    assert sum("image/png" in kinds for kinds in shown) >= 5
    assert sum("application/vnd.jupyter.widget-view+json" in kinds for kinds in shown) == 1


def test_shell_and_python_look_for_the_same_browsers() -> None:
    script = (ROOT / "scripts" / "find_browser.sh").read_text()
    assert tuple(re.findall(r"^for name in (.+); do$", script, re.MULTILINE)[0].split()) == BROWSERS


def test_commands_page_is_up_to_date() -> None:
    page = runpy.run_path(str(ROOT / "scripts" / "write_commands.py"))["render"]()
    assert page == (DOCS / "commands.md").read_text(), "run: python scripts/write_commands.py"


def test_reference_lists_all_public_names() -> None:
    page = (DOCS / "api.md").read_text().splitlines()
    for name in impasto.__all__:
        assert f"::: impasto.{name}" in page
    documented = {line.rpartition(".")[2] for line in page if line.startswith(":::")}
    assert set(insight.__all__) <= documented


def pages_in(entry: Any) -> list[str]:
    if isinstance(entry, str):
        return [entry]
    return [page for part in (entry.values() if isinstance(entry, dict) else entry) for page in pages_in(part)]


def test_navigation_lists_every_page() -> None:
    nav = pages_in(tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"])
    assert sorted(nav) == sorted(str(page.relative_to(DOCS)) for page in PAGES)


class Page(HTMLParser):
    """The resources, links and anchors of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.resources: set[str] = set()
        self.links: set[str] = set()
        self.anchors: set[str] = set()
        self.policy = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        attribute = {name: value or "" for name, value in attributes}
        self.anchors |= {attribute[name] for name in ("id", "name") if name in attribute}
        if attribute.get("http-equiv") == "Content-Security-Policy":
            self.policy = attribute["content"]
        if "href" in attribute:
            # Browsers do not fetch canonical, next and prev links.
            is_resource = tag == "link" and not {"canonical", "next", "prev"} & set(attribute.get("rel", "").split())
            (self.resources if is_resource else self.links).add(attribute["href"])
        self.resources |= {
            attribute[name] for name in ("src", "srcset", "data", "poster") if name in attribute and tag != "a"
        }


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site from a copy of its sources."""
    if find_spec("zensical") is None or find_spec("mkdocstrings") is None:
        pytest.skip("zensical is not installed: pip install 'impasto[docs]', which `make test` does")
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(DOCS, folder / "docs")
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "zensical.toml", folder)
    subprocess.run([sys.executable, "-m", "zensical", "build", "--strict"], cwd=folder, check=True, timeout=300)
    return folder / "site"


@pytest.fixture(scope="module")
def parsed_pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path.read_text()) for path in site.rglob("*.html")}


def test_every_page_is_built(site: Path, parsed_pages: dict[Path, Page]) -> None:
    assert set(parsed_pages) >= {site / page.relative_to(DOCS).with_suffix(".html") for page in PAGES}


def test_reference_shows_docstrings(site: Path) -> None:
    text = re.sub(r"<[^>]+>", "", (site / "api.html").read_text())
    for documented in (impasto.stylize, gram_matrix):
        assert unescape(text).count(cleandoc(documented.__doc__ or "").splitlines()[0])


def test_site_loads_only_local_files(parsed_pages: dict[Path, Page]) -> None:
    for path, page in parsed_pages.items():
        for address in page.resources:
            assert not urlsplit(address).netloc, f"{path.name}: {address}"
            assert urlsplit(address).scheme in ("", "data"), f"{path.name}: {address}"
        # The policy makes the browser block requests of scripts to other hosts.
        assert page.policy.startswith("default-src 'self'"), path.name
        assert "http" not in page.policy


def test_style_sheets_load_only_local_files(site: Path) -> None:
    for path in site.rglob("*.css"):
        for address in re.findall(r"url\(['\"]?([^)'\"]+)|@import\s+['\"]([^'\"]+)", path.read_text()):
            assert not "".join(address).startswith(("http:", "https:", "//")), path.name


def test_internal_links_resolve(site: Path, parsed_pages: dict[Path, Page]) -> None:
    for path, page in parsed_pages.items():
        if path.name == "404.html":
            continue
        for address in page.links | page.resources:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            assert target.exists(), f"{path.relative_to(site)}: {address}"
            if parts.fragment and target in parsed_pages:
                assert unquote(parts.fragment) in parsed_pages[target].anchors, f"{path.relative_to(site)}: {address}"


class Handler(SimpleHTTPRequestHandler):
    """A web server for one folder, without a log."""

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """Serve the site and return its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(site))) as server:
        serving = Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        serving.join()


def test_pages_fit_a_phone_without_external_requests(site: Path, address: str, watched: WatchedPage) -> None:
    watched.page.set_viewport_size({"width": 390, "height": 800})
    watched.page.emulate_media(color_scheme="dark")
    for page in PAGES:
        # Wait for the search index: leaving earlier logs an error.
        watched.page.goto(f"{address}/{page.relative_to(DOCS).with_suffix('.html')}", wait_until="networkidle")
        assert watched.page.evaluate("document.documentElement.scrollWidth") <= 390, page.name
        assert watched.page.evaluate("[...document.images].every((i) => !i.complete || i.naturalWidth > 0)"), page.name
    assert [url for url in watched.requests if not url.startswith((address, "data:", "blob:"))] == []
    assert watched.complaints == []


def test_search_finds_a_page(address: str, watched: WatchedPage) -> None:
    watched.page.goto(f"{address}/index.html", wait_until="networkidle")
    watched.page.keyboard.press("Control+k")
    watched.page.keyboard.type("gram matrix")
    watched.page.get_by_role("option").first.click()
    watched.page.wait_for_url("**/how/gram.html*")
    assert watched.complaints == []
