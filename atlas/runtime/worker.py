"""The other side of `ProcessExecutor`: a host that imports modules and forks the workers, which answer calls."""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import os
import pickle
import signal
import struct
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any, BinaryIO, NoReturn, cast

_LENGTH = struct.Struct("<Q")
Call = Callable[..., Any]
MakeState = Callable[[], Any]


def bound(function: Call, make_state: MakeState | None) -> Call:
    """Return a function of one item, bound to its state if there is one."""
    return function if make_state is None else functools.partial(function, make_state())


def send(stream: IO[bytes], value: Any) -> None:
    """Write a value to a pipe."""
    data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    stream.write(_LENGTH.pack(len(data)))
    stream.write(data)
    stream.flush()


def receive(stream: IO[bytes]) -> Any:
    """Read a value from a pipe; raises `EOFError` if the other side has ended."""
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
            (number, call, make_state), item = receive(calls)
        except EOFError:
            return
        try:
            if number != current:
                current, function = number, bound(call, make_state)
            answer = (True, function(item))
        except BaseException as error:
            answer = (False, error)
        send(answers, answer)


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


class _WithoutBlas:
    """Finder of modules that says that there is no scipy.linalg, while numba looks for it: our kernels use no BLAS."""

    @staticmethod
    def find_spec(name: str, *_: object) -> None:
        """Refuse one module and leave all others to the next finder."""
        if name == "scipy.linalg":
            raise ModuleNotFoundError("kernels do without BLAS", name=name)


@contextlib.contextmanager
def _hidden(finder: type) -> Iterator[None]:
    sys.meta_path.insert(0, cast(Any, finder))
    try:
        yield
    finally:
        sys.meta_path.remove(cast(Any, finder))


def _import(modules: Sequence[str]) -> None:
    """Import modules for all workers at once. If one cannot be imported, the call that needs it says why."""
    # Only on Linux is it safe to fork a process that has loaded the system's libraries for numbers.
    if not sys.platform.startswith("linux"):
        return
    gc.disable()
    with _hidden(_WithoutBlas):
        for name in modules:
            with contextlib.suppress(Exception):
                importlib.import_module(name)
    gc.enable()
    # What is imported stays; the collector of a worker need not visit it, and so does not copy its pages.
    gc.freeze()


def main() -> NoReturn:
    """Import the modules of the first argument, fork one worker per pair of pipes, and report how each one ends."""
    modules, *pairs = sys.argv[1:]
    pipes = [tuple(map(int, pair.split(","))) for pair in pairs]
    reports = os.fdopen(os.dup(1), "wb")
    # Text that a library prints must not mix with the answers.
    os.dup2(2, 1)
    sys.meta_path.insert(0, cast(Any, _WithoutPandas))
    _import(list(filter(None, modules.split(","))))
    # Without a word, the parent has ended, or needs no workers.
    if sys.stdin.buffer.read(1):
        _report_ends(_forked(pipes, reports), reports)
    _leave(0)


def _forked(pipes: Sequence[tuple[int, ...]], reports: IO[bytes]) -> set[int]:
    """Fork the workers, send their numbers to the parent and return them."""
    living: set[int] = set()

    def end_all(*_: object) -> None:
        for pid in living:
            os.kill(pid, signal.SIGKILL)

    signal.signal(signal.SIGTERM, end_all)
    for number in range(len(pipes)):
        pid = os.fork()
        if not pid:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            reports.close()
            _work(pipes, number)
        living.add(pid)
    for descriptor in (end for pair in pipes for end in pair):
        os.close(descriptor)
    with contextlib.suppress(BrokenPipeError):
        send(reports, sorted(living))
    return living


def _leave(code: int) -> NoReturn:
    """End this process at once: what libraries do and print at the end of a program is for the parent alone."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _report_ends(living: set[int], reports: IO[bytes]) -> None:
    """Wait for the workers, and send number and exit code of each one that ends."""
    while living:
        # First look, then forget, then wait: a number that may be given to another process is never killed.
        ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        living.discard(ended.si_pid)
        _, status = os.waitpid(ended.si_pid, 0)
        with contextlib.suppress(BrokenPipeError):
            send(reports, (ended.si_pid, os.waitstatus_to_exitcode(status)))


def _work(pipes: Sequence[tuple[int, ...]], number: int) -> NoReturn:
    """Answer calls in this process until the parent ends."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for pair in (*pipes[:number], *pipes[number + 1 :]):
        for descriptor in pair:
            os.close(descriptor)
    calls, answers = pipes[number]
    code = 0
    try:
        _serve(os.fdopen(calls, "rb"), os.fdopen(answers, "wb"))
    except BrokenPipeError:
        pass
    except BaseException:
        traceback.print_exc()
        code = 1
    _leave(code)
