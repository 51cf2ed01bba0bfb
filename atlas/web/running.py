"""Run the server: open the files, take a port, say the address."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from urllib.parse import quote

import uvicorn

from atlas.errors import OutputError, UsageError
from atlas.query.client import Atlas
from atlas.runtime.memory import parse_bytes
from atlas.web.activation_source import StoreSource
from atlas.web.safety import LOOPBACK, make_token
from atlas.web.server import Server, ServerOptions


@dataclass(frozen=True)
class Running:
    """A server that has its port."""

    server: uvicorn.Server
    routes: Server
    sockets: list[socket.socket]
    address: str  # with the token, where there is one

    def wait(self) -> None:
        """Answer until it is stopped."""
        with contextlib.closing(self.routes), _ended_by(self.server):
            self.server.run(sockets=self.sockets)


class _Stopping(uvicorn.Server):
    """Server that ends what is running when it is told to end."""

    def __init__(self, config: uvicorn.Config, routes: Server) -> None:
        super().__init__(config)
        self._routes = routes

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal."""
        self._routes.stop()
        super().handle_exit(sig, frame)


@contextlib.contextmanager
def _ended_by(server: uvicorn.Server) -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the server as Ctrl-C does: temporary files are removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(sig: int, _frame: FrameType | None) -> None:
        # The server raises a signal again that it was ended by.
        raise SystemExit(128 + sig)

    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, leave)}
    before[signal.SIGHUP] = signal.signal(signal.SIGHUP, server.handle_exit)
    try:
        yield
    finally:
        for sig, handler in before.items():
            signal.signal(sig, handler)


def open_all(files: Sequence[Path], memory: str) -> dict[str, Atlas]:
    """Open atlases under the names of their files.

    Args:
        files: Atlas files.
        memory: Memory of DuckDB for each, such as `700MB`.

    Returns:
        Atlases by name, in the order of the files.

    Raises:
        AtlasFileError: A file is no atlas.
        UsageError: Two files have one name, or the memory is no size.
    """
    limit = f"{max(parse_bytes(memory) // 10**6, 1)}MB"
    found: dict[str, Atlas] = {}
    for path in files:
        if path.stem in found:
            raise UsageError(f"{path} and {found[path.stem].path} have one name; rename a file, or serve them apart")
        found[path.stem] = Atlas(path, memory=limit)
    return found


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[list[socket.socket]]:
    """Take a port.

    Args:
        host: Address to listen on.
        port: Port, or 0 for any free one.

    Yields:
        The socket, closed after the block.

    Raises:
        OutputError: The port is taken, or the address is not one of this machine.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        taken = socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        raise OutputError(
            f"{host}:{port} cannot be served: {error.strerror or error}; choose another with --port, or 0 for any free one"
        ) from error
    with taken:
        yield [taken]


def run(
    atlases: Mapping[str, Atlas],
    sockets: list[socket.socket],
    *,
    host: str,
    token: str | None,
    origins: tuple[str, ...],
    timeout: float,
    activations: Path | None,
) -> Running:
    """Prepare a server on a port.

    Args:
        atlases: Open atlases by name.
        sockets: The port, as `listening` gives it.
        host: Address that it listens on.
        token: What a request must bring. Beyond this machine one is made where it is None.
        origins: Sites whose pages may read the answers.
        timeout: Seconds after which a query is stopped.
        activations: Store of activations; those of the first atlas where None.

    Returns:
        A server to wait for.

    Raises:
        StageError: The store of activations is none.
    """
    is_local = host in LOOPBACK
    if token is not None and not (token.isascii() and token.isprintable() and token.strip()):
        raise UsageError("--token is some printable ASCII text; leave it out, and one is made where it is needed")
    if not is_local:
        token = token or make_token()
    options = ServerOptions(timeout, hosts=LOOPBACK if is_local else None, token=token, origins=origins)
    source = StoreSource(activations, timeout) if activations is not None else None
    routes = Server(atlases, options, source)
    config = uvicorn.Config(
        routes.app(),
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=2,
    )
    port = sockets[0].getsockname()[1]
    name = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(host, f"[{host}]" if ":" in host else host)
    return Running(
        _Stopping(config, routes),
        routes,
        sockets,
        f"http://{name}:{port}/" + (f"?token={quote(token, safe='')}" if token else ""),
    )
