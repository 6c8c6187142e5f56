"""Take docs/notebook.jpg, a screenshot of the widget in JupyterLab during a run.

python scripts/draw_notebook.py
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from browser import launch
from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

PLACE = Path(__file__).parent.parent / "docs" / "notebook.jpg"
VIEW = {"width": 1280, "height": 764}
TIMEOUT_S = 120
CELL = """import impasto

w = impasto.widget("sample:cat", "sample:swirl", size=512)
w"""

NO_NEWS = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}


@contextlib.contextmanager
def running_lab(folder: Path, cells: Sequence[str]) -> Iterator[str]:
    """Start JupyterLab with a new notebook in an empty folder, and yield the address of the notebook."""
    (folder / "files").mkdir()
    (folder / "files" / "painting.ipynb").write_text(json.dumps(_new_notebook(cells)))
    (folder / "config" / "labconfig").mkdir(parents=True)
    (folder / "config" / "labconfig" / "page_config.json").write_text(json.dumps(NO_NEWS))
    places = {name: str(folder / name.lower()) for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR")}
    env = os.environ | places | {"JUPYTER_CONFIG_DIR": str(folder / "config")}
    token = secrets.token_hex()
    options = {"ServerApp.ip": "127.0.0.1", "ServerApp.port": 0, "ServerApp.root_dir": folder / "files"}
    options |= {"IdentityProvider.token": token, "LabApp.extension_manager": "readonly"}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += [f"--{name}={value}" for name, value in options.items()]
    with (folder / "log").open("w") as log, subprocess.Popen(command, env=env, stdout=log, stderr=log) as server:
        try:
            url = _wait_for_address(server, Path(places["JUPYTER_RUNTIME_DIR"]))
            yield f"{url}lab/tree/painting.ipynb?token={token}"
        finally:
            server.terminate()  # it ends its kernels
            try:
                server.wait(TIMEOUT_S)
            except subprocess.TimeoutExpired:
                server.kill()


def _new_notebook(cells: Sequence[str]) -> dict[str, Any]:
    empty: dict[str, Any] = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": []}
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return {
        "cells": [empty | {"id": f"cell-{number}", "source": text} for number, text in enumerate(cells)],
        "metadata": {"kernelspec": kernel},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _wait_for_address(server: subprocess.Popen[bytes], folder: Path) -> str:
    """Return the address that the server writes once it listens."""
    deadline_s = time.monotonic() + TIMEOUT_S
    path = folder / f"jpserver-{server.pid}.json"
    while time.monotonic() < deadline_s and server.poll() is None:
        with contextlib.suppress(OSError, ValueError):  # not written yet, or not to its end
            return str(json.loads(path.read_text())["url"])
        time.sleep(0.1)
    raise RuntimeError(f"JupyterLab did not start: see {folder.parent / 'log'}.")


def run_cell(page: Page, number: int) -> None:
    """Run a cell of the open notebook, counted from 0."""
    page.locator(".jp-Cell .jp-InputArea-editor").nth(number).click()
    page.keyboard.press("Control+Enter")


def take_screenshot(page: Page, address: str) -> bytes:
    """Return a screenshot of a run that is half done."""
    page.set_default_timeout(1000 * TIMEOUT_S)
    page.goto(address)
    page.get_by_text("| Idle").wait_for()
    run_cell(page, 0)
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_text(re.compile(r"Step (8[5-9]|9\d|1[0-3]\d) of"))).to_be_visible(timeout=1000 * TIMEOUT_S)
    return page.screenshot()


def main() -> None:
    """Start JupyterLab, paint, and take the screenshot."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = launch(playwright)
        with running_lab(Path(folder), [CELL]) as address:
            page = browser.new_page(viewport=VIEW)  # type: ignore[arg-type]
            picture = Image.open(io.BytesIO(take_screenshot(page, address)))
            picture.convert("RGB").save(PLACE, quality=82, optimize=True)
        browser.close()


if __name__ == "__main__":
    main()
