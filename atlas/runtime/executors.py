"""Executors that run functions in worker processes, without a `__main__` guard and without orphans.

A worker is a separate Python process. It reads calls from its standard input and ends when the input ends, so workers
end with a killed parent. Calls and answers are pickles between processes of one user and one program.
"""

from __future__ import annotations

import contextlib
import functools
import os
import pickle
import queue
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, BinaryIO, Protocol, cast

from atlas.errors import AtlasError

_LENGTH = struct.Struct("<Q")
Call = Callable[..., Any]
MakeState = Callable[[], Any]


def bound(function: Call, make_state: MakeState | None) -> Call:
    """Return a function of one item, bound to its state if there is one."""
    return function if make_state is None else functools.partial(function, make_state())


def cpu_count() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Executor(Protocol):
    """Protocol for running one function over many items."""

    def run(self, function: Call, items: Sequence[Any], make_state: MakeState | None = None) -> Iterator[Any]:
        """Yield the results in any order. The first error ends the iteration.

        Args:
            function: Called with one item, or with the state and the item if there is `make_state`.
            items: Arguments of the calls.
            make_state: Makes the state that all calls in one worker share. It is called once per worker and run.
        """


class InlineExecutor:
    """Executor that runs all calls in this process."""

    def __enter__(self) -> InlineExecutor:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing, because there are no processes to end."""

    def run(self, function: Call, items: Sequence[Any], make_state: MakeState | None = None) -> Iterator[Any]:
        """Yield the results in order."""
        return map(bound(function, make_state), items)


class ProcessExecutor:
    """Executor with a fixed number of worker processes; use it as a context manager."""

    def __init__(self, count: int) -> None:
        self._children = [_Child() for _ in range(count)]
        self._runs = 0

    def __enter__(self) -> ProcessExecutor:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the processes; a call that is running fails. Any thread may stop them."""
        for child in self._children:
            child.stop()

    def run(self, function: Call, items: Sequence[Any], make_state: MakeState | None = None) -> Iterator[Any]:
        """Yield the results as they arrive. After an error, the other workers finish their current call and stop."""
        self._runs += 1
        job = (self._runs, function, make_state)
        waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for item in items:
            waiting.put(item)
        results: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()
        stopped = threading.Event()

        def serve(child: _Child) -> None:
            with contextlib.suppress(queue.Empty):
                while not stopped.is_set():
                    item = waiting.get_nowait()
                    try:
                        results.put((True, child.call(job, item)))
                    except BaseException as error:
                        results.put((False, error))
                        return

        threads = [threading.Thread(target=serve, args=(child,), daemon=True) for child in self._children[: len(items)]]
        for thread in threads:
            thread.start()
        try:
            for _ in items:
                fine, value = results.get()
                if not fine:
                    raise value
                yield value
        finally:
            stopped.set()
            for child in self._children if sys.exc_info()[0] is KeyboardInterrupt else ():
                child.stop()
            for thread in threads:
                thread.join()


class _Child:
    """One worker process."""

    def __init__(self) -> None:
        root = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", "from atlas.runtime.executors import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **_quiet_libraries(), "PYTHONPATH": path},
            # Ctrl-C only reaches the parent, which then ends its workers.
            start_new_session=True,
        )

    def call(self, job: tuple[int, Call, MakeState | None], item: Any) -> Any:
        """Run one call of a run; raises the error of the call, or `AtlasError` if the worker has died."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            _send(self._process.stdin, (job, item))
            fine, value = _receive(self._process.stdout)
        except (OSError, EOFError, ValueError) as error:
            raise AtlasError(self._exit_message()) from error
        if not fine:
            raise value
        return value

    def _exit_message(self) -> str:
        code = self._process.wait()
        why = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        hint = "; if memory was short, lower --threads or --memory" if code == -9 else ""
        return f"a worker process {why}{hint}; the same command goes on where it stopped"

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


def _quiet_libraries() -> dict[str, str]:
    """Return environment variables for one thread per worker, and for an allocator that keeps freed memory."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS", "ARROW_IO_THREADS")
    settings = dict.fromkeys(names, "1")
    # By default, glibc and Arrow return large blocks at once and request every page again, a fifth of the time of an
    # aggregation. Arrow's own allocator has no setting that keeps them.
    tunables = {"trim_threshold": 1 << 31, "mmap_threshold": 1 << 30, "arena_max": 1, "hugetlb": 1}
    kept = [f"glibc.malloc.{name}={value}" for name, value in tunables.items()]
    settings["GLIBC_TUNABLES"] = ":".join([*filter(None, [os.environ.get("GLIBC_TUNABLES")]), *kept])
    settings["ARROW_DEFAULT_MEMORY_POOL"] = "system"
    return settings


def _send(stream: IO[bytes], value: Any) -> None:
    data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    stream.write(_LENGTH.pack(len(data)))
    stream.write(data)
    stream.flush()


def _receive(stream: IO[bytes]) -> Any:
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    (length,) = _LENGTH.unpack(head)
    data = stream.read(length)
    if len(data) < length:
        raise EOFError
    return pickle.loads(data)


def _serve(calls: BinaryIO, answers: BinaryIO) -> None:
    current, function = 0, cast(Call, None)
    while True:
        try:
            (number, call, make_state), item = _receive(calls)
        except EOFError:
            return
        try:
            if number != current:
                current, function = number, bound(call, make_state)
            answer = (True, function(item))
        except BaseException as error:
            answer = (False, error)
        _send(answers, answer)


class _WithoutPandas:
    """Finder of modules that says that there is no pandas.

    Arrow loads it with the first list that becomes a column, if it is installed; that takes a quarter of a second, and no
    call needs it.
    """

    @staticmethod
    def find_spec(name: str, *_: object) -> None:
        """Refuse one module and leave all others to the next finder."""
        if name == "pandas":
            raise ModuleNotFoundError("workers do without pandas", name=name)


def main() -> None:
    """Answer calls until the parent ends."""
    answers = os.fdopen(os.dup(1), "wb")
    # Text that a library prints must not mix with the answers.
    os.dup2(2, 1)
    sys.meta_path.insert(0, cast(Any, _WithoutPandas))
    with contextlib.suppress(BrokenPipeError):
        _serve(sys.stdin.buffer, answers)
