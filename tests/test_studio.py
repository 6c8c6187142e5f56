"""The studio's API: access, uploads, jobs, results and the event stream."""

from __future__ import annotations

import asyncio
import io
import struct
import sys
import zlib
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import OpenEXR
import pytest
from PIL import Image
from starlette.testclient import TestClient

import impasto
from impasto import samples
from impasto.cli import main
from impasto.config.presets import load_preset
from impasto.errors import ConfigError
from impasto.jobs import Job, JobStore
from impasto.jobs.model import StepLosses, StepsDone
from impasto.jobs.worker import Worker
from impasto.studio import Studio, create_app
from impasto.studio.auth import AccessPolicy
from impasto.studio.events import EventCursor, EventHub
from impasto.studio.pictures import SUFFIXES

BASE_URL = "http://127.0.0.1"
SMALL: dict[str, Any] = {"size": 64, "iterations": 6, "scales": 2}


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    return Studio(JobStore(tmp_path / "data"))


@pytest.fixture
def client(studio: Studio) -> Iterator[TestClient]:
    with TestClient(create_app(studio), base_url=BASE_URL) as client:
        yield client


def upload(client: TestClient, path: Path, name: str | None = None) -> dict[str, Any]:
    response = client.post("/api/files", params={"name": name or path.name}, content=path.read_bytes())
    assert response.status_code == 201, response.text
    stored: dict[str, Any] = response.json()
    return stored


def job_request(client: TestClient, photo: Path, painting: Path, **rest: Any) -> dict[str, Any]:
    content, style = (upload(client, path) for path in (photo, painting))
    return {
        "content": {"sha256": content["sha256"], "name": content["name"]},
        "styles": [{"sha256": style["sha256"], "name": style["name"]}],
        "config": SMALL,
        "run": {"precision": "float32"},
    } | rest


def submit_job(client: TestClient, photo: Path, painting: Path, **rest: Any) -> dict[str, Any]:
    response = client.post("/api/jobs", json=job_request(client, photo, painting, **rest))
    assert response.status_code == 201, response.text
    job: dict[str, Any] = response.json()
    return job


# ---- Access --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "", "localhost@evil.example", "[::1", "10.0.0.1"]
)
def test_refuses_unknown_host_names(client: TestClient, host: str) -> None:
    for path in ("/", "/api/jobs", "/page/studio.css", "/api/openapi.json"):
        response = client.get(path, headers={"host": host})
        assert response.status_code == 421
        assert "evil" not in response.text


@pytest.mark.parametrize("host", ["127.0.0.1:8077", "localhost", "LOCALHOST:1", "[::1]:8077", "127.0.0.2"])
def test_accepts_local_host_names(client: TestClient, host: str) -> None:
    assert client.get("/api/jobs", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "https://127.0.0.1"},
        {"origin": "http://127.0.0.1:9999"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_refuses_cross_origin_writes(
    client: TestClient, studio: Studio, photo: Path, painting: Path, headers: dict[str, str]
) -> None:
    job = submit_job(client, photo, painting)
    request = job_request(client, photo, painting)
    for method, path, body in (
        ("POST", "/api/jobs", request),
        ("POST", f"/api/jobs/{job['id']}/cancel", None),
        ("POST", "/api/files", None),
        ("DELETE", f"/api/jobs/{job['id']}", None),
    ):
        assert client.request(method, path, json=body, headers=headers).status_code == 403
    assert [(stored.id, stored.state) for stored in studio.store.jobs()] == [(job["id"], "queued")]


def test_refuses_cross_origin_reads_but_allows_links(client: TestClient) -> None:
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}
    assert client.get("/api/jobs", headers=headers).status_code == 403
    assert client.get("/", headers=headers).status_code == 403
    assert client.get("/", headers=headers | {"sec-fetch-mode": "navigate"}).status_code == 200
    response = client.get("/api/jobs", headers={"origin": "http://evil.example"})
    assert "access-control-allow-origin" not in response.headers


def test_responses_carry_security_headers(client: TestClient) -> None:
    for path in ("/", "/api/docs", "/api/jobs", "/api/jobs/9", "/nowhere", "/page/studio.css"):
        headers = client.get(path).headers
        assert "script-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"


TOKEN = "correct-horse-battery"


def test_remote_access_requires_the_token(tmp_path: Path) -> None:
    studio = Studio(JobStore(tmp_path), AccessPolicy("0.0.0.0", TOKEN, ("studio.local",)))
    with TestClient(create_app(studio), base_url="http://192.168.1.5:8077") as client:
        assert client.get("/").status_code == 200  # the page that asks for the token
        for path in ("/api/jobs", "/api/options", "/api/events", "/api/openapi.json", "/api/docs"):
            assert client.get(path).status_code == 401
        assert client.get("/api/jobs", headers={"authorization": f"Bearer {TOKEN}x"}).status_code == 401
        assert client.get("/api/jobs", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
        assert client.get("/api/jobs", headers={"cookie": "a=\x01; ;;=b"}).status_code == 401
        assert client.post("/api/session", json={"token": "guess"}).status_code == 401
        assert client.get("/api/jobs").status_code == 401
        response = client.post("/api/session", json={"token": TOKEN})
        assert response.status_code == 204
        assert {"httponly", "samesite=strict"} <= set(
            response.headers["set-cookie"].lower().replace(" ", "").split(";")
        )
        assert client.get("/api/jobs").status_code == 200
        assert client.get("/api/jobs", headers={"host": "studio.local:8077"}).status_code == 200
        assert client.get("/api/jobs", headers={"host": "evil.example"}).status_code == 421


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("0.0.0.0", None), "--token"), (("192.168.1.5", None), "--token"), (("127.0.0.1", "short"), "16")],
)
def test_refuses_remote_access_without_a_token(arguments: tuple[str, str | None], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        AccessPolicy(*arguments)


def test_requires_a_token_behind_a_proxy() -> None:
    with pytest.raises(ConfigError, match="--behind-proxy opens the studio to other machines"):
        AccessPolicy(proxies=("127.0.0.1",))
    with pytest.raises(ConfigError, match=r"--behind-proxy proxy\.lan is no address"):
        AccessPolicy(token=TOKEN, proxies=("proxy.lan",))


def test_head_has_the_headers_of_get(client: TestClient) -> None:
    for path in ("/", "/api/options", "/api/jobs", "/page/main.js"):
        head, get = client.head(path), client.get(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == get.headers["content-length"]
    assert client.head("/api/events").status_code == 405


def test_refuses_forms_with_the_right_command(client: TestClient, photo: Path) -> None:
    response = client.post("/api/files", files={"file": photo.read_bytes()})
    assert response.status_code == 415
    assert f"curl --data-binary @photo.jpg '{BASE_URL}/api/files?name=photo.jpg'" in response.json()["error"]


# ---- Uploads and job requests --------------------------------------------------------------------


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(side: int) -> bytes:
    """Build a tiny PNG whose header claims `side` by `side` pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


def invalid_files(photo: Path) -> dict[str, bytes]:
    jpeg = photo.read_bytes()
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><image href="file:///etc/passwd"/></svg>'
    return {
        "nothing": b"",
        "text": b"hello",
        "bomb": bomb(60_000),
        "cut": jpeg[: len(jpeg) // 2],
        "svg": svg,
        "pdf": b"%PDF-1.4\n1 0 obj <<>> endobj\n",
        "html": b"<html><script>alert(1)</script></html>",
        "mvg": b"push graphic-context\nviewbox 0 0 9 9\nimage over 0,0 9,9 'https://127.0.0.1/x'\n",
        "ppm": b"P6\n4 4\n255\n" + bytes(48),
        "zip": b"PK\x03\x04" + bytes(200),
        "header alone": b"\x89PNG\r\n\x1a\n",
        "short idat": bomb(64),
    }


@pytest.mark.parametrize(
    "kind",
    ["nothing", "text", "bomb", "cut", "svg", "pdf", "html", "mvg", "ppm", "zip", "header alone", "short idat"],
)
def test_refuses_uploads_that_are_not_images(client: TestClient, studio: Studio, photo: Path, kind: str) -> None:
    response = client.post("/api/files", params={"name": f"{kind}.jpg"}, content=invalid_files(photo)[kind])
    assert response.status_code == 422, response.text
    assert "\n" not in response.json()["error"]
    assert str(studio.store.folder) not in response.text  # errors must not reveal paths of the server
    assert not (studio.store.folder / "files").exists()
    assert not list(studio.store.folder.glob("upload-*"))


def test_polyglot_file_is_served_as_an_image_only(client: TestClient, photo: Path) -> None:
    polyglot = photo.read_bytes() + b"<script>alert(1)</script>PK\x03\x04"
    response = client.post("/api/files", content=polyglot)
    if response.status_code == 201:  # data after the end of a JPEG is valid, but must never be served
        thumbnail = client.get(f"/api/files/{response.json()['sha256']}/thumbnail")
        assert thumbnail.headers["content-type"] == "image/jpeg"
        assert b"<script>" not in thumbnail.content


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("../../../etc/passwd", "passwd"),
        ("..\\..\\windows\\system32\\x.jpg", "x.jpg"),
        ("/", "picture"),
        ("a\0b\r\nSet-Cookie: x.jpg", "abSet-Cookie: x.jpg"),
        ("<img src=x onerror=alert(1)>.jpg", "<img src=x onerror=alert(1)>.jpg"),
        ("絵" * 400, "絵" * 255),
        ("", "picture"),
        ("con.jpg[n=5]", "con.jpg[n=5]"),
    ],
)
def test_uploaded_names_never_reach_the_disk(
    client: TestClient, studio: Studio, photo: Path, name: str, expected: str
) -> None:
    stored = upload(client, photo, name or " ")
    assert stored["name"] == expected
    names = [path.name for path in studio.store.folder.rglob("*")]
    assert sorted(name for name in names if "jobs.sqlite" not in name) == sorted([stored["sha256"], "files"])


def test_refuses_large_uploads_with_or_without_length(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert client.post("/api/jobs", content=b"x" * (2 << 20)).status_code == 413
    assert client.post("/api/files", content=b"", headers={"content-length": str(10**9)}).status_code == 413

    def endless() -> Iterator[bytes]:
        for _ in range(250):
            yield bytes(1_000_000)

    assert client.post("/api/files", content=endless()).status_code == 413


def test_full_disk_is_one_line_and_keeps_existing_files(
    client: TestClient, studio: Studio, photo: Path, painting: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submit_job(client, photo, painting)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    other = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(other, "PNG")
    response = client.post("/api/files", content=other.getvalue())
    assert response.status_code == 507
    assert "No space left" in response.json()["error"]
    monkeypatch.undo()
    monkeypatch.setattr("tempfile.mkdtemp", full)  # no space for the upload itself
    response = client.post("/api/files", content=other.getvalue())
    assert (response.status_code, "No space left" in response.json()["error"]) == (507, True)
    monkeypatch.undo()
    assert studio.store.verify() == []
    assert client.get(f"/api/jobs/{job['id']}").json()["state"] == "queued"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"config": {"alpha": -1}}, "alpha"),
        ({"config": {"alpah": 1}}, "Did you mean 'alpha'"),
        ({"config": {"content_layers": "relu9_9"}}, "relu9_9"),
        ({"config": {"style_weights": "1,2"}}, "style"),
        ({"config": {"init": "image"}}, "init"),
        ({"run": {"save_every": 1}}, "save_every"),
        ({"run": {"max_megapixels": 1e9}}, "max_megapixels"),
        ({"run": {"device": "cuda"}}, "device"),
        ({"preset": "/etc/passwd.toml"}, "no preset"),
        ({"content": {"sample": "nobody"}}, "nobody"),
        ({"content": {"sha256": "0" * 64}}, "does not exist any more"),
        ({"content": {"sha256": "../../etc/passwd"}}, "content.sha256"),
        ({"content": {}}, "sha256 or sample"),
        ({"styles": []}, "styles"),
        ({"output": "/tmp/x.png"}, "output"),
    ],
)
def test_invalid_job_request_is_a_one_line_error(
    client: TestClient, studio: Studio, photo: Path, painting: Path, change: dict[str, Any], message: str
) -> None:
    response = client.post("/api/jobs", json=job_request(client, photo, painting) | change)
    assert response.status_code in (404, 409, 422), response.text
    assert message in response.json()["error"]
    assert "\n" not in response.json()["error"]
    assert studio.store.jobs() == []


def test_queue_length_is_bounded(tmp_path: Path, photo: Path, painting: Path) -> None:
    studio = Studio(JobStore(tmp_path), max_queued=3)
    with TestClient(create_app(studio), base_url=BASE_URL) as client:
        request = job_request(client, photo, painting)
        statuses = [client.post("/api/jobs", json=request).status_code for _ in range(5)]
    assert statuses == [201, 201, 201, 409, 409]


def test_thumbnails_of_paintings_need_no_drawing(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a painting is drawn")

    monkeypatch.setattr("impasto.samples.paint", refuse)
    for name in samples.PAINTINGS:
        for side in (192, 96):
            response = client.get(f"/api/samples/{name}/thumbnail?side={side}")
            assert max(Image.open(io.BytesIO(response.content)).size) == side


# ---- Jobs and results ----------------------------------------------------------------------------


FORMATS = {"png": b"\x89PNG", "jpeg": b"\xff\xd8", "webp": b"RIFF", "tiff": b"II*\0", "exr": b"v/1\x01"}


@pytest.mark.weights
def test_upload_paint_download(client: TestClient, studio: Studio, photo: Path, painting: Path, tmp_path: Path) -> None:
    mask = np.zeros((43, 64), np.uint8)
    mask[:, :20] = 255
    Image.fromarray(mask).save(tmp_path / "protect.png")
    protect = upload(client, tmp_path / "protect.png")
    job = submit_job(client, photo, painting, protect={"sha256": protect["sha256"], "name": "protect.png"})
    assert (job["state"], job["step"], job["scales"]) == ("queued", 0, [])
    assert client.get(f"/api/jobs/{job['id']}/result").status_code == 409
    assert client.get(f"/api/jobs/{job['id']}/preview").status_code == 404
    Worker(studio.store, "w").run_one()
    finished = client.get(f"/api/jobs/{job['id']}").json()
    assert (finished["state"], finished["progress"], finished["step"]) == ("done", 1.0, 12), finished["error"]
    assert len(client.get(f"/api/jobs/{job['id']}/losses").json()) == 12
    assert [row["step"] for row in client.get(f"/api/jobs/{job['id']}/losses?after=10").json()] == [11, 12]
    assert client.get(f"/api/jobs/{job['id']}/preview").headers["content-type"] == "image/jpeg"
    for kind, magic in FORMATS.items():
        response = client.get(f"/api/jobs/{job['id']}/result?format={kind}")
        assert response.content.startswith(magic)
        assert response.headers["content-disposition"].startswith('attachment; filename="cat_')
        path = tmp_path / f"result{SUFFIXES[kind]}"
        path.write_bytes(response.content)
        recipe = impasto.read_recipe(path)
        assert recipe.config.size == 64
        assert recipe.inputs["content"].name == photo.name
        assert impasto.images.open_image(path).size == (43, 64)
    assert not list(studio.store.folder.glob("download-*"))
    thumbnail = Image.open(io.BytesIO(client.get(f"/api/jobs/{job['id']}/thumbnail?side=32").content))
    assert (thumbnail.format, thumbnail.size) == ("JPEG", (32, 22))
    # The protected part equals the content.
    content = Image.open(io.BytesIO(client.get(f"/api/files/{job['inputs'][0]['sha256']}/thumbnail?side=64").content))
    result = np.asarray(Image.open(tmp_path / "result.png"), float)
    difference = np.abs(result - np.asarray(content, float)).mean(axis=(0, 2))
    assert difference[:18].mean() < 6 < difference[24:].mean()


@pytest.mark.weights
def test_highlights_come_back_in_a_download_as_exr(
    client: TestClient, studio: Studio, painting: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    light = np.full((64, 96, 3), 0.2, np.float32)
    light[:, 48:] = 9
    header = {"type": OpenEXR.scanlineimage, "compression": OpenEXR.ZIP_COMPRESSION}
    OpenEXR.File(header, {"RGB": light}).write(str(tmp_path / "lamp.exr"))
    config = SMALL | {"init": "content", "alpha": 0, "color": "style", "iterations": 2}
    job = submit_job(client, tmp_path / "lamp.exr", painting, config=config, run={"profile": "p3"})
    Worker(studio.store, "w").run_one()
    address = f"/api/jobs/{job['id']}/result"
    (tmp_path / "a.png").write_bytes(client.get(address).content)
    assert impasto.images.open_image(tmp_path / "a.png").header().format == "ushort"
    (tmp_path / "a.exr").write_bytes(client.get(f"{address}?format=exr").content)
    painted = OpenEXR.File(str(tmp_path / "a.exr")).parts[0].channels["RGB"].pixels.astype(np.float32)
    assert np.median(painted[:, 40:]) == pytest.approx(9, rel=0.05)
    assert np.median(painted[:, :24]) == pytest.approx(0.2, rel=0.05)
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    refused = client.get(f"{address}?format=exr")
    assert (refused.status_code, refused.json()["error"]) == (
        409,
        "This studio cannot write EXR: install impasto[exr] there, or choose TIFF.",
    )


def test_form_says_which_formats_can_be_written(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert client.get("/api/options").json()["formats"] == dict.fromkeys(SUFFIXES, True)
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    assert client.get("/api/options").json()["formats"] == dict.fromkeys(SUFFIXES, True) | {"exr": False}


@pytest.mark.weights
def test_uploaded_result_restores_its_settings(
    client: TestClient, studio: Studio, photo: Path, painting: Path, tmp_path: Path
) -> None:
    job = submit_job(client, photo, painting, config=SMALL | {"alpha": 9}, run={"precision": "float32", "bits": 16})
    Worker(studio.store, "w").run_one()
    (tmp_path / "mine.png").write_bytes(client.get(f"/api/jobs/{job['id']}/result").content)
    stored = upload(client, tmp_path / "mine.png")
    assert stored["recipe"] is True
    recipe = client.get(f"/api/files/{stored['sha256']}/recipe").json()
    assert (recipe["overrides"]["alpha"], recipe["alphas"], recipe["run"]) == (9, [9], {"bits": 16})
    assert [(file["role"], file["name"]) for file in recipe["inputs"]] == [
        ("content", photo.name),
        ("style", painting.name),
    ]
    assert recipe["available"] == ["content", "style"]
    content, style = ({"sha256": file["sha256"], "name": file["name"]} for file in recipe["inputs"])
    options = {"config": recipe["overrides"], "run": {"precision": "float32", **recipe["run"]}}
    request = {"content": content, "styles": [style], **options}
    response = client.post("/api/jobs", json=request)
    Worker(studio.store, "w").run_one()
    assert client.get(f"/api/jobs/{response.json()['id']}/result").content == (tmp_path / "mine.png").read_bytes()
    assert upload(client, photo)["recipe"] is False
    assert client.get(f"/api/files/{upload(client, photo)['sha256']}/recipe").status_code == 422


@pytest.mark.weights
def test_restores_samples_of_pictures_painted_elsewhere(
    client: TestClient, studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = [word for name, value in SMALL.items() for word in (f"--{name}", str(value))]
    assert main(["stylize", "sample:cat", "sample:ink", "-o", "mine.png", "--quiet", *options]) == 0
    stored = upload(client, tmp_path / "mine.png")
    recipe = client.get(f"/api/files/{stored['sha256']}/recipe").json()
    assert recipe["available"] == ["content", "style"]
    content, style = ({"sample": file["sample"]} for file in recipe["inputs"])
    job = client.post("/api/jobs", json={"content": content, "styles": [style], "config": recipe["overrides"]}).json()
    assert [file["sample"] for file in job["inputs"]] == ["cat", "ink"]
    Worker(studio.store, "w").run_one()
    (tmp_path / "ours.png").write_bytes(client.get(f"/api/jobs/{job['id']}/result").content)
    mine, ours = (impasto.read_recipe(tmp_path / name).inputs for name in ("mine.png", "ours.png"))
    assert mine == ours
    assert main(["reproduce", "ours.png", "-o", "again.png", "--quiet"]) == 0
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "ours.png").read_bytes()


def test_jobs_can_be_paused_cancelled_retried_and_deleted(
    client: TestClient, studio: Studio, photo: Path, painting: Path
) -> None:
    number = submit_job(client, photo, painting)["id"]

    def post(action: str, **body: Any) -> tuple[int, Any]:
        response = client.post(f"/api/jobs/{number}/{action}", json=body or None)
        return response.status_code, response.json().get("state", response.json().get("error"))

    assert post("pause") == (200, "paused")
    assert studio.store.claim("w") is None
    assert post("resume") == (200, "queued")
    claim = studio.store.claim("w")
    assert claim is not None
    assert post("alpha", alpha=20) == (200, "running")
    assert post("alpha", alpha=-1)[0] == 422
    assert studio.store.renew(claim).alpha == 20
    assert post("pause") == (200, "pausing")
    assert post("cancel") == (200, "cancelling")
    assert client.delete(f"/api/jobs/{number}").status_code == 409
    studio.store.release(claim)
    assert post("cancel")[0] == 409
    assert post("retry") == (200, "queued")
    assert client.delete(f"/api/jobs/{number}").status_code == 204
    assert client.delete(f"/api/jobs/{number}").status_code == 404
    assert client.get("/api/jobs").json() == []


def test_form_has_all_options_and_presets(client: TestClient, studio: Studio, photo: Path, painting: Path) -> None:
    form = client.get("/api/options").json()
    assert {field["name"] for field in form["fields"]} == set(impasto.Config.model_fields)
    front = [field for field in form["fields"] if field["order"] is not None]
    assert [field["name"] for field in sorted(front, key=lambda field: field["order"])] == [
        "alpha", "size", "iterations", "color", "init", "network",
    ]  # fmt: skip
    assert all(field["group"] and field["label"] for field in form["fields"] + form["run"])
    assert all(field["help"] and field["label"] for field in form["fields"] + form["run"])
    fields = {field["name"]: field for field in form["fields"] + form["run"]}
    assert not [name for name, field in fields.items() if "--" in field["help"]]  # the page has no flags
    assert '"Wrap the edges"' in fields["content_seam"]["help"]
    assert {fields[name]["kind"] for name in ("bleed", "bleed_alpha", "memory")} == {"text"}
    assert fields["profile"]["choices"] == ["srgb", "p3", "cmyk"]
    request = job_request(client, photo, painting)
    for preset in form["presets"]:
        response = client.post("/api/jobs", json=request | {"preset": preset["name"], "config": {"size": 64}})
        assert response.status_code == 201, response.text
        assert response.json()["overrides"] == preset["config"] | {"size": 64}
        assert response.json()["config"] == load_preset(preset["name"], size=64).model_dump(mode="json")
    # The defaults of the form are a valid request.
    defaults = {field["name"]: field["default"] for field in form["fields"]}
    assert client.post("/api/jobs", json=request | {"config": defaults}).status_code == 201


# ---- Event stream --------------------------------------------------------------------------------


T = TypeVar("T")


def run_in_thread(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a new thread, because the browser tests leave an event loop in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def read_events(hub: EventHub, job: int | None, cursor: EventCursor, count: int) -> list[tuple[str, Any, str]]:
    """Return the next `count` events, each as kind, data and id."""

    async def listen() -> list[tuple[str, Any, str]]:
        events = []
        stream = hub.stream(job, cursor)
        async for event in stream:
            events.append((str(event.event), event.data, str(event.id)))
            if len(events) == count:
                break
        await stream.aclose()  # type: ignore[attr-defined]
        return events

    return run_in_thread(asyncio.wait_for(listen(), 120))


def add_running_job(store: JobStore, steps: int) -> Job:
    job = store.add({"alpha": 5.0}, {"content": {"name": "a", "sha256": "0" * 64}}, key="k")
    claim = store.claim("w")
    assert claim is not None
    rows = [StepLosses(step, 1, step, 3.0, 2.0, 1.0) for step in range(1, steps + 1)]
    store.save_steps(claim, StepsDone(rows, 0.5, scales=[(10, 10, 2 * steps)]))
    store.previews.write(job.id, b"a preview")
    return job


def test_event_stream_resumes_after_the_last_event(tmp_path: Path) -> None:
    store = JobStore(tmp_path)
    job = add_running_job(store, 5)
    events = read_events(EventHub(store), job.id, EventCursor(), 3)
    assert [kind for kind, _, _ in events] == ["jobs", "losses", "preview"]
    assert events[0][1]["jobs"][0]["step"] == 5
    assert [row["step"] for row in events[1][1]["rows"]] == [1, 2, 3, 4, 5]
    cursor = EventCursor.parse(events[1][2])  # the connection broke after the losses
    other = store.add({"alpha": 1.0}, {}, key="k")
    more_events = read_events(EventHub(JobStore(tmp_path)), job.id, cursor, 2)  # and the server restarted
    assert [kind for kind, _, _ in more_events] == ["jobs", "preview"]
    assert [view["id"] for view in more_events[0][1]["jobs"]] == [other.id]
    store.cancel(other.id)
    store.remove(other.id)
    (update,) = read_events(EventHub(store), None, EventCursor.parse(more_events[1][2]), 1)
    assert (update[1]["jobs"], update[1]["remaining"]) == ([], [job.id])


def test_ignores_event_positions_of_another_queue(tmp_path: Path) -> None:
    job = add_running_job(JobStore(tmp_path), 3)
    events = read_events(EventHub(JobStore(tmp_path)), job.id, EventCursor(10_000, 10_000, 0), 2)
    assert [view["id"] for view in events[0][1]["jobs"]] == [job.id]
    for nonsense in (None, "", "x", "1-2", "1-2-x", "9" * 90):
        assert EventCursor.parse(nonsense) == EventCursor()


def test_browsers_share_one_poll(tmp_path: Path) -> None:
    store = JobStore(tmp_path)
    job = add_running_job(store, 3)
    hub, polls = EventHub(store), []
    poll = store.changes_since
    store.changes_since = lambda revision: polls.append(revision) or poll(revision)  # type: ignore[method-assign, func-returns-value]

    async def listen() -> list[str]:
        kinds = []
        async for event in hub.stream(job.id, EventCursor()):
            kinds.append(str(event.event))
            if len(kinds) == 3:
                return kinds
        return kinds

    async def listen_all() -> list[list[str]]:
        return await asyncio.wait_for(asyncio.gather(*(listen() for _ in range(50))), 120)

    assert run_in_thread(listen_all()) == [["jobs", "losses", "preview"]] * 50
    assert len(polls) < 20


def test_openapi_describes_the_api(client: TestClient) -> None:
    schema = client.get("/api/openapi.json").json()
    assert {"/api/jobs", "/api/files", "/api/events", "/api/jobs/{job}/result"} <= set(schema["paths"])
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            assert operation["summary"], path
            assert operation["description"], path
