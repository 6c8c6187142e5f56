"""Measure the studio: time to the first preview, preview rate, and the cost of clients and jobs.

python benchmarks/studio.py [--size 512] [--repeats 5] [--watchers 50] [--jobs 200] [--json]

Starts a studio with one worker in a temporary folder and sends the page's requests over HTTP. The cost of clients is
the time of the same run with none, one and many of them, relative to none. Each client follows the event stream and
fetches every preview. Clients share the cores with the run, which real browsers would not, so the server's CPU time is
reported, too.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import psutil

PAINTING = {"content": {"sample": "cat"}, "styles": [{"sample": "swirl"}]}
PATIENCE_S = 600


@contextlib.contextmanager
def opened() -> Iterator[tuple[str, psutil.Process]]:
    """Start a studio and paint once; yield its address and its server."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "impasto", "studio", "--port", "0", "--no-browser", "--data-dir", folder]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            address = process.stdout.readline().split()[-1]
            try:
                finished(address, asked(address, size=64, iterations=1))
                yield address, psutil.Process(process.pid)
            finally:
                process.send_signal(signal.SIGINT)


def asked(address: str, **config: Any) -> int:
    """Queue a picture and return its job number."""
    answer = httpx2.post(f"{address}/api/jobs", json=PAINTING | {"config": config}, timeout=PATIENCE_S)
    number: int = answer.raise_for_status().json()["id"]
    return number


def finished(address: str, number: int) -> dict[str, Any]:
    """Wait until a job has ended and return it."""
    while True:
        job: dict[str, Any] = httpx2.get(f"{address}/api/jobs/{number}").json()
        if job["state"] not in ("queued", "running", "cancelling"):
            return job
        time.sleep(0.1)


def events(address: str, number: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the events of a job until it is done."""
    kind = ""
    stream = httpx2.stream("GET", f"{address}/api/events", params={"job": number}, timeout=PATIENCE_S)
    with stream as answer:
        for line in answer.iter_lines():
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data: "):
                data = json.loads(line.removeprefix("data: "))
                yield kind, data
                if any(job["id"] == number and job["state"] == "done" for job in data.get("jobs", ())):
                    return


def first_preview(address: str, size: int) -> float:
    """Return the seconds from the click to the first preview."""
    began = time.perf_counter()
    number = asked(address, size=size)
    try:
        for kind, data in events(address, number):
            if kind == "preview":
                httpx2.get(f"{address}/api/jobs/{number}/preview?version={data['version']}").raise_for_status()
                return time.perf_counter() - began
    finally:
        httpx2.post(f"{address}/api/jobs/{number}/cancel")
        finished(address, number)
    raise RuntimeError("it ended without a preview")


def watched(address: str, count: int, size: int) -> tuple[float, int]:
    """Return the seconds of a run with clients, and the number of previews that one of them received."""
    number = asked(address, size=size)
    seen: list[int] = []

    def watch() -> None:
        previews = 0
        with httpx2.Client(base_url=address, timeout=PATIENCE_S) as browser:
            for kind, data in events(address, number):
                if kind == "preview":
                    browser.get(f"/api/jobs/{number}/preview", params={"version": data["version"]})
                    previews += 1
        seen.append(previews)

    watching = [threading.Thread(target=watch) for _ in range(count)]
    for thread in watching:
        thread.start()
    job = finished(address, number)
    for thread in watching:
        thread.join(PATIENCE_S)
    return job["result"]["seconds"], max(seen, default=0)


def spread(values: list[float]) -> dict[str, float]:
    """Return median, minimum and maximum."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--watchers", type=int, default=50)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--json", action="store_true", help="one object on stdout")
    options = parser.parse_args()
    report: dict[str, Any] = {}
    with opened() as (address, server):
        report["first preview, s"] = spread([first_preview(address, options.size) for _ in range(options.repeats)])
        taken: dict[int, list[float]] = {0: [], 1: [], options.watchers: []}
        spent: dict[int, list[float]] = {count: [] for count in taken}
        rates = []
        for _ in range(options.repeats):
            for count, seconds in taken.items():
                before = sum(server.cpu_times()[:2])
                one, previews = watched(address, count, options.size)
                seconds.append(one)
                spent[count].append((sum(server.cpu_times()[:2]) - before) / one)
                if count == 1:
                    rates.append(previews / one)
        report["previews a second"] = spread(rates)
        report["a run that nobody watches, s"] = spread(taken[0])
        for count in (1, options.watchers):
            ratios = [ours / alone for ours, alone in zip(taken[count], taken[0], strict=True)]
            report[f"the same with {count} watching, over that"] = spread(ratios)
        for count, shares in spent.items():
            report[f"the server's time in a second of it, {count} watching"] = spread(shares)
        began = time.perf_counter()
        numbers = [asked(address, size=64, iterations=1, scales=1) for _ in range(options.jobs)]
        report[f"{options.jobs} jobs enqueued, s"] = time.perf_counter() - began
        for number in numbers:
            finished(address, number)
        report[f"{options.jobs} jobs of one step done, s"] = time.perf_counter() - began
    if options.json:
        print(json.dumps(report))
        return
    for name, value in report.items():
        if isinstance(value, dict):
            print(f"{name:56}{value['median']:8.3f}   ({value['min']:.3f} to {value['max']:.3f})")
        else:
            print(f"{name:56}{value:8.3f}")


if __name__ == "__main__":
    main()
