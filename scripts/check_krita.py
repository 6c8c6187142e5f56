"""Run Krita without a screen, paint with Impasto's panel in it, and check the layers: `make test-krita`.

With `--draw`, paint the left half of a photo instead, and take docs/krita.jpg.

Needs Debian's packages krita, python3-pyqt5 and xvfb. Screenshots and what was seen are in the folder that it prints.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

from impasto import samples

ROOT = Path(__file__).parent.parent
PICTURE = ROOT / "docs" / "krita.jpg"
TIMEOUT_S = 900
PHOTO_PX, DRAWN_PHOTO_PX = 300, 900
WIDTH_PX, UPPER_PX = 1100, 844
MAX_DIFFERENCE = 20
"""Largest difference between the means of two paintings with the same colors, of 255."""


def main() -> int:
    """Run the check and return 1 if something was not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="folder for screenshots; a new temporary one by default")
    parser.add_argument("--draw", action="store_true", help="take docs/krita.jpg instead")
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="impasto-krita-"))
    folder.mkdir(parents=True, exist_ok=True)
    environment = prepare(folder, DRAWN_PHOTO_PX if arguments.draw else PHOTO_PX)
    if arguments.draw:
        environment["KRITA_CHECK_DRAW"] = "1"
    studio = subprocess.Popen(
        [sys.executable, "-m", "impasto", "studio", "--port", "0", "--no-browser"],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        assert studio.stdout is not None
        environment["KRITA_CHECK_URL"] = studio.stdout.readline().split()[-1]
        screen = ["xvfb-run", "--auto-servernum", "--server-args=-screen 0 1280x900x24"]
        command = [*screen, "timeout", str(TIMEOUT_S), "krita", "--nosplash", str(folder / "photo.png")]
        with (folder / "krita.log").open("w") as log:
            subprocess.run(command, env=environment, check=False, stdout=log, stderr=log)
    finally:
        studio.terminate()
        studio.wait()
    path = folder / "seen.json"
    seen = (
        json.loads(path.read_text()) if path.exists() else {"error": f"Krita has ended early: see {folder}/krita.log"}
    )
    if arguments.draw and "error" not in seen:
        draw(folder / "end.png")
        return 0
    problems = find_problems(seen)
    print(json.dumps(seen, indent=2))
    print(f"screenshots: {folder}")
    print("\n".join(problems) or "Krita paints.")
    return bool(problems)


def prepare(folder: Path, photo_px: int) -> dict[str, str]:
    """Make a home for Krita with both plug-ins, and the pictures. Return the environment."""
    (folder / "seen.json").unlink(missing_ok=True)
    data, config = folder / "home" / "data", folder / "home" / "config"
    shutil.rmtree(folder / "home", ignore_errors=True)
    (data / "krita").mkdir(parents=True)
    programs = str(Path(sys.executable).parent)
    environment = os.environ | {
        "HOME": str(folder / "home"),
        "XDG_DATA_HOME": str(data),
        "XDG_CONFIG_HOME": str(config),
        "IMPASTO_DATA": str(folder / "home" / "queue"),
        # Krita's Python would take the environment of a python3 on PATH for its own.
        "PATH": os.pathsep.join(part for part in os.environ["PATH"].split(os.pathsep) if part != programs),
        "KRITA_CHECK_FOLDER": str(folder),
        "LIBGL_ALWAYS_SOFTWARE": "1",
    }
    environment.setdefault("IMPASTO_CACHE", str(Path.home() / ".cache" / "impasto"))
    subprocess.run([sys.executable, "-m", "impasto", "krita", "install", "--enable"], env=environment, check=True)
    shutil.copytree(Path(__file__).parent / "krita_check", data / "krita" / "pykrita", dirs_exist_ok=True)
    settings = config / "kritarc"
    settings.write_text(settings.read_text().replace("[python]", "[python]\nenable_krita_check=true"))
    Image.fromarray(samples.paint("swirl", size_px=photo_px * 2 // 3)).save(folder / "style.png")
    with Image.open(samples.photo_path("cat")) as photo:
        photo.thumbnail((photo_px, photo_px))
        photo.convert("RGB").save(folder / "photo.png")
    return environment


def draw(screenshot: Path) -> None:
    """Save the picture of the guide, without the line that says how long it took on this machine."""
    with Image.open(screenshot) as picture:
        upper = picture.convert("RGB").crop((0, 0, picture.width, UPPER_PX))
    upper.thumbnail((WIDTH_PX, WIDTH_PX))
    upper.save(PICTURE, quality=80, optimize=True)


def find_problems(seen: dict[str, Any]) -> list[str]:
    """Return what is not as it should be."""
    if "error" in seen:
        return [str(seen["error"])]
    layer, selection, linear = (seen[name] for name in ("layer", "selection", "linear_16_bit"))
    checks = {
        "asks for a style": seen["without_style"] == "Choose a picture whose style to take.",
        "shows the layer while it paints": seen["live"] and seen["while_painting"].startswith("Step"),
        "says that it is painted": layer["message"].startswith("Painted in"),
        "fills the layer": layer["opaque_share"] == 1 and layer["differs"],
        "leaves the photo as it is": layer["photo_is_unchanged"] and selection["photo_is_unchanged"],
        "puts the layer above": layer["nodes"] == ["Background", "Impasto painterly"],
        "lets the photo be the active layer": layer["is_photo_active"] and linear["is_photo_active"],
        "paints within the selection only": abs(selection["opaque_share"] - 0.5) < 0.02,
        "paints 16-bit documents": linear["message"].startswith("Painted in") and linear["opaque_share"] == 1,
        "gives them the same colors": all(
            abs(one - other) < MAX_DIFFERENCE for one, other in zip(layer["mean"], linear["mean"], strict=True)
        ),
        "cancels": seen["cancelled"] == "Cancelled.",
        "takes an open document as style": seen["style_document"] == "photo.png",
        "starts a studio of its own": seen["own_studio"].startswith("Painted in"),
    }
    return [f"Krita does not pass: {name}" for name, passed in checks.items() if not passed]


if __name__ == "__main__":
    sys.exit(main())
