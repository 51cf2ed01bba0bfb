"""A server of atlases in a thread of the tests, and requests to it."""

from __future__ import annotations

import contextlib
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atlas.web.running import listening, open_all, run


@dataclass(frozen=True)
class Answer:
    """Status, headers and body of an answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def get(url: str, *, body: bytes | None = None, **headers: str) -> Answer:
    """Ask once; redirects are followed, errors are answers."""
    request = urllib.request.Request(
        url, data=body, headers={key.replace("_", "-"): value for key, value in headers.items()}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return Answer(answer.status, {key.lower(): value for key, value in answer.headers.items()}, answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, {key.lower(): value for key, value in error.headers.items()}, error.read())


@contextlib.contextmanager
def serving(*files: Path, host: str = "127.0.0.1", memory: str = "700MB", **options: Any) -> Iterator[str]:
    """Serve files; the address, without a token."""
    given: dict[str, Any] = {"token": None, "origins": (), "timeout": 20.0, "activations": None} | options
    atlases = open_all(files, memory)
    with listening(host, 0) as sockets:
        running = run(atlases, sockets, host=host, **given)
        thread = threading.Thread(target=running.wait)
        thread.start()
        try:
            yield f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
        finally:
            running.server.should_exit = True
            thread.join()
    for atlas in atlases.values():
        atlas.close()
