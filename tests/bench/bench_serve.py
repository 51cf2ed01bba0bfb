"""The server on a large atlas: first page, pages of neurons, many clients at once, memory, a runaway, activations as Arrow.

python tests/bench/bench_serve.py FILE [--clients 100] [--seconds 60]
"""

from __future__ import annotations

import argparse
import http.client
import random
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import quote

import duckdb
from measure import cores

# What the page of a neuron asks.
PAGE = (
    "neuron?neuron={0}",
    "labels?neuron={0}&limit=50",
    "upstream?neuron={0}&limit=10",
    "downstream?neuron={0}&limit=10",
    "tokens_in?neuron={0}&limit=10",
    "logits_out?neuron={0}&limit=10",
    "projection?neuron={0}&limit=10",
    "activation_histogram?unit={0}&limit=500",
    "tokens_of?unit={0}&limit=10",
    "coactive?unit={0}&limit=10",
    "cooccurring?neuron={0}&limit=10",
    "circuits_of?neuron={0}&limit=10",
    "graphs_of?neuron={0}&limit=10",
    "reports?neuron={0}&limit=10",
    "examples?unit={0}&limit=40",
)
FIRST = (
    "data_card",
    "metadata?limit=10000",
    "circuits?found_again=true&limit=12",
    "hubs?limit=12",
    "clusterings?limit=12",
)


class Client:
    """One connection that is kept open, as of a browser."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def get(self, path: str) -> tuple[int, int]:
        """Status and bytes of an answer."""
        self.connection.request("GET", path)
        answer = self.connection.getresponse()
        return answer.status, len(answer.read())


def together(port: int, paths: list[str]) -> float:
    """Milliseconds until all paths are answered, six at once, as a browser asks."""
    waiting, started = list(paths), time.perf_counter()

    def work() -> None:
        client = Client(port)
        while True:
            try:
                path = waiting.pop()
            except IndexError:
                return
            status, _ = client.get(path)
            assert status == 200, path

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return 1e3 * (time.perf_counter() - started)


def memory(pid: int) -> tuple[float, float]:
    """Megabytes of a process now, and at most so far."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    return tuple(int(lines[name].split()[0]) / 1e3 for name in ("VmRSS", "VmHWM"))


def load(port: int, neurons: list[str], clients: int, seconds: float) -> tuple[list[float], int]:
    """Milliseconds of every request of many clients, and the number of errors."""
    times: list[float] = []
    errors = 0
    end = time.monotonic() + seconds

    def work(seed: int) -> None:
        nonlocal errors
        chosen, client = random.Random(seed), Client(port)
        while time.monotonic() < end:
            path = "/api/" + chosen.choice(PAGE).format(chosen.choice(neurons))
            started = time.perf_counter()
            try:
                status, _ = client.get(path)
                errors += status != 200
            except OSError:
                errors += 1
                client = Client(port)
            times.append(1e3 * (time.perf_counter() - started))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times, errors


def late(times: list[float]) -> str:
    times = sorted(times)
    return f"median {statistics.median(times):7.1f} ms   p95 {times[int(0.95 * (len(times) - 1))]:7.1f} ms"


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=60)
    given = parser.parse_args()
    with duckdb.connect(str(given.file), read_only=True) as con:
        hubs = [
            row[0]
            for row in con.execute(
                "SELECT neuron_id FROM neurons ORDER BY in_degree + out_degree DESC LIMIT 20"
            ).fetchall()
        ]
        others = [
            row[0]
            for row in con.execute(
                "SELECT neuron_id FROM (FROM neurons WHERE in_degree > 0) USING SAMPLE 200 ROWS (reservoir, 1)"
            ).fetchall()
        ]
    command = [sys.executable, "-m", "atlas", "serve", str(given.file), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        port = int(process.stderr.readline().split()[1].rsplit(":", 1)[1].strip("/"))
        print(
            f"{cores()}; {given.file.stat().st_size / 1e9:.2f} GB; memory after start {memory(process.pid)[0]:,.0f} MB"
        )
        print(
            f"  first page, first time         {together(port, ['/', '/api', *(f'/api/{one}' for one in FIRST)]):7.1f} ms"
        )
        print(
            f"  first page, again              {together(port, ['/', '/api', *(f'/api/{one}' for one in FIRST)]):7.1f} ms"
        )
        for name, ids in (("pages of 20 hubs", hubs), ("pages of 200 neurons", others)):
            print(
                f"  {name:30} {late([together(port, [f'/api/{one.format(neuron)}' for one in PAGE]) for neuron in ids])}"
            )
        print(
            f"  memory                         {memory(process.pid)[0]:,.0f} MB, at most {memory(process.pid)[1]:,.0f} MB"
        )
        began = time.perf_counter()
        status, _ = Client(port).get(f"/sql?sql={quote('SELECT count(*) FROM range(1000000000000)')}")
        print(
            f"  runaway SQL                    status {status} after {time.perf_counter() - began:.2f} s (limit 20 s)"
        )
        times, errors = load(port, hubs + others, given.clients, given.seconds)
        print(
            f"  {given.clients} clients, {given.seconds:.0f} s             {late(times)}   {len(times) / given.seconds:,.0f} answers per second, {errors} errors"
        )
        print(
            f"  memory                         {memory(process.pid)[0]:,.0f} MB, at most {memory(process.pid)[1]:,.0f} MB"
        )
        process.terminate()


if __name__ == "__main__":
    main()
