"""Draw the pictures of terminals in docs: run real commands in a new environment, and draw what they print.

It needs the port 8077, and the cached weights of `WEIGHTS`. Without names, it draws all pictures:

python scripts/draw_terminals.py [NAME ...]
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from browser import draw_page
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from impasto.files import user_cache_folder

ROOT = Path(__file__).parent.parent
COLUMNS = 100
TIMEOUT_S = 1800
PROMPT = "\x1b[1;32m$\x1b[0m "
END = "END OF THE SESSION"
WEIGHTS = "vgg19 vgg16 alexnet lpips"
URL = "http://127.0.0.1:8077"

PAGE = """<!doctype html>
<style>
  main {{ display: inline-block; background: #1c1c1c; color: #d9d9d9; padding: 16px 20px; }}
  pre {{ margin: 0; font: 15px/1.4 "DejaVu Sans Mono", monospace; }}
</style>
<main><pre>{code}</pre></main>
"""

SESSION = """
import code, sys

lines = iter(sys.stdin.read().splitlines())

def read(prompt):
    line = next(lines, None)
    if line is None:
        raise EOFError
    print(prompt + line)
    return line

code.interact(banner="", readfunc=read, exitmsg="")
"""
"""Python's interactive mode, which shows what it reads."""


@dataclass(frozen=True)
class Step:
    """A command of a terminal: the line that is shown, and what the shell runs, which is the same by default."""

    shown: str
    run: str = ""

    def as_script(self) -> str:
        """Return the lines of a shell script that show the command and run it."""
        echo = f"printf '%s\\n' {quote(PROMPT + self.shown)}\n" if self.shown else ""
        return f"{echo}{self.run or self.shown}"


def hidden(command: str) -> Step:
    """Return a step that prepares the next one, and is not shown."""
    return Step("", f"{{ {command}; }} > /dev/null 2>&1")


WAIT_FOR_STUDIO = hidden(f"until curl --silent {URL}/api/health; do sleep 0.2; done; sleep 1")

PYTHON = """\
from impasto_client import Client, Progress
client = Client()
client.check()
job = client.submit("sample:cat", "sample:swirl", size=128, iterations=40)
shown = 0
for event in job.watch():
    if isinstance(event, Progress) and event.step >= shown + 10:
        shown = event.step
        print(f"step {event.step} of {event.steps}: loss {event.losses['total']:.2f}")

job.save("painted.png")
job.status().width, job.status().height
"""

SESSIONS: dict[str, tuple[Step, ...]] = {
    "install": (
        Step("python -m venv .venv", "true"),
        Step(". .venv/bin/activate"),
        Step("pip install dist/impasto-*.whl"),
        Step("impasto --version"),
        Step("impasto doctor | head -10"),
    ),
    "doctor": (Step("impasto doctor", "FORCE_COLOR=1 impasto doctor"),),
    "client": (
        Step("impasto studio --no-browser &"),
        WAIT_FOR_STUDIO,
        Step("python", f"python session.py 2>&1 << 'END'\n{PYTHON}END"),
    ),
    "docker": (
        Step("export IMPASTO_DATA=~/data/queue"),
        Step("docker/entrypoint.sh studio --workers 0 &"),
        WAIT_FOR_STUDIO,
        Step(f"curl -s -o /dev/null -w '%{{http_code}}\\n' {URL}/api/jobs"),
        Step("python docker/health.py && echo healthy"),
        Step("docker/entrypoint.sh jobs add sample:cat sample:swirl --size 128 --iterations 20"),
        Step("docker/entrypoint.sh jobs worker --drain"),
        Step("docker/entrypoint.sh jobs list"),
    ),
    "offline": (
        Step(f"impasto weights pull {WEIGHTS} --to weights-folder"),
        Step("du -h weights-folder/*"),
        hidden("mv .cache .cache-of-the-first"),
        Step("# on the machine without a network"),
        Step("impasto weights import weights-folder"),
        Step("impasto weights list"),
        hidden("rm -r .cache && mv .cache-of-the-first .cache"),
    ),
}
"""The commands of each picture, by its name."""


def prepare_home(home: Path) -> None:
    """Install Impasto and its client in a home folder, with the dependencies of this environment, and copy files."""
    wheels = home / "dist"
    for project in (ROOT, ROOT / "clients" / "python"):
        _python("-m", "build", "--no-isolation", "--wheel", "--outdir", wheels, project)
    _python("-m", "venv", home / ".venv")
    (site_packages,) = (home / ".venv" / "lib").glob("python*/site-packages")
    dependencies = [path for path in sys.path if Path(path).name == "site-packages"]
    (site_packages / "dependencies.pth").write_text("\n".join(dependencies))
    record((Step("pip install dist/*.whl"),), home)
    shutil.copytree(ROOT / "docker", home / "docker")
    weights = user_cache_folder() / "weights"
    if weights.exists():
        shutil.copytree(weights, home / ".cache" / "impasto" / "weights")
    (home / "session.py").write_text(SESSION)


def _python(*arguments: str | Path) -> None:
    subprocess.run([sys.executable, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def record(steps: tuple[Step, ...], home: Path) -> str:
    """Run the steps in one shell, and return what a terminal would show, with ~ for the home folder."""
    env = {"HOME": str(home), "PATH": f"{home}/.venv/bin:/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
    env |= {"COLUMNS": str(COLUMNS), "PYTHONUNBUFFERED": "1"}
    # The dependencies are there, and another Impasto may be among them.
    env |= {"PIP_NO_DEPS": "1", "PIP_IGNORE_INSTALLED": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    script = "\n".join([*(step.as_script() for step in steps), f"echo {END}", "kill $(jobs -p)", "wait"])
    path = home / "output"
    with path.open("w") as output:  # a studio in the background would keep a pipe open
        command = ["bash", "-c", script]
        subprocess.run(command, cwd=home, env=env, stdout=output, stderr=output, timeout=TIMEOUT_S, check=False)
    text = path.read_text().partition(END)[0].replace(str(home), "~").rstrip()
    names = (str(ROOT), sys.prefix, tempfile.gettempdir(), os.uname().nodename)
    if private := [name for name in names if name in text]:
        raise RuntimeError(f"The output names {', '.join(private)}:\n{text}")
    return text


def draw(name: str, home: Path) -> None:
    """Record the session of a picture, and draw it."""
    console = Console(record=True, file=io.StringIO(), width=COLUMNS, force_terminal=True)
    for line in Text.from_ansi(record(SESSIONS[name], home)).split("\n"):
        line.rstrip()
        console.print(line, soft_wrap=True)
    html = console.export_html(theme=MONOKAI, inline_styles=True, code_format=PAGE)
    draw_page(html, ROOT / "docs" / f"{name}.jpg")


def main() -> None:
    """Draw the pictures that are named, or all."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        prepare_home(home)
        for name in sys.argv[1:] or SESSIONS:
            draw(name, home)


if __name__ == "__main__":
    main()
