"""Runs `atlas` commands in processes forked from one that has the libraries loaded: a real process without its start.

The server has no threads, so a fork of it is as good as a new interpreter; what it saves is a second of imports for
each of more than a hundred commands.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

LIGHT = (
    "click",
    "rich.table",
    "rich.progress",
    "numpy",
    "duckdb",
    "pyarrow.parquet",
    "polars",
    "atlas.cli.main",
    "atlas.cli.main.terminal",
)
# Commands that compute with a model.
HEAVY = ("torch", "transformers", "safetensors.torch", "tokenizers", "transformers.models.llama.modeling_llama")
HEAVY_COMMANDS = ("trace", "project", "wire")
# Threads that a library starts when it is imported would not survive the fork.
_ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class ForkServer:
    """One warm process; `run` has it fork a command."""

    def __init__(self, modules: Sequence[str]) -> None:
        self._socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import fork_server; fork_server.serve({other.fileno()}, {list(modules)!r})"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code], pass_fds=[other.fileno()], env={**os.environ, **_ONE_THREAD}
        )
        other.close()

    def run(
        self, arguments: Sequence[str], *, cwd: str | None = None, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `atlas` with these arguments; its output is that of pipes."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, Path(os.devnull).open("rb") as nothing:
            call = {
                "arguments": list(arguments),
                "cwd": cwd or str(Path.cwd()),
                "env": dict(os.environ if env is None else env),
            }
            socket.send_fds(self._socket, [json.dumps(call).encode()], [nothing.fileno(), out.fileno(), err.fileno()])
            code = int(self._socket.recv(64))
            texts = []
            for stream in (out, err):
                stream.seek(0)
                texts.append(stream.read().decode())
        return subprocess.CompletedProcess(["atlas", *arguments], code, *texts)

    def close(self) -> None:
        """End the server."""
        self._socket.close()
        self._process.wait()


def serve(descriptor: int, modules: Sequence[str]) -> None:
    """Answer calls until the other end is closed."""
    for name in modules:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    calls = socket.socket(fileno=descriptor)
    while True:
        message, descriptors, _, _ = socket.recv_fds(calls, 1 << 20, 3)
        if not message:
            return
        pid = os.fork()
        if pid == 0:
            calls.close()
            os._exit(_command(json.loads(message), descriptors))
        for number in descriptors:
            os.close(number)
        _, status = os.waitpid(pid, 0)
        calls.send(str(os.waitstatus_to_exitcode(status)).encode())


def _command(call: Mapping[str, object], descriptors: Sequence[int]) -> int:
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
    os.chdir(str(call["cwd"]))
    os.environ.clear()
    os.environ.update(call["env"])  # type: ignore[arg-type]
    sys.argv = ["-c", *call["arguments"]]  # type: ignore[misc]
    try:
        from atlas.cli.main import main

        main()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    else:
        code = 0
    sys.stdout.flush()
    sys.stderr.flush()
    return code
