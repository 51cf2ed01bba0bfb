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
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any, BinaryIO, NoReturn, cast

_LENGTH = struct.Struct("<Q")
_AWAITED = (signal.SIGCHLD, signal.SIGTERM)  # by the host
Call = Callable[..., Any]
MakeState = Callable[[], Any]


def bound(function: Call, make_state: MakeState | None) -> Call:
    """Return a function of one item, bound to its state if there is one."""
    return function if make_state is None else functools.partial(function, make_state())


def packed(value: Any) -> bytes:
    """Return a value as bytes for a pipe."""
    data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(data)) + data


def send(stream: IO[bytes], value: Any) -> None:
    """Write a value to a pipe."""
    stream.write(packed(value))
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


@contextlib.contextmanager
def _hidden(name: str) -> Iterator[None]:
    """Let a module that is not loaded seem not to be installed."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = cast(Any, None)
    try:
        yield
    finally:
        del sys.modules[name]


def _import(modules: Sequence[str]) -> None:
    """Import modules for all workers at once. If one cannot be imported, the call that needs it says why."""
    # Only on Linux is it safe to fork a process that has loaded the system's libraries for numbers. Arrow's one thread
    # waits for signals and holds no lock.
    if not sys.platform.startswith("linux"):
        return
    gc.disable()
    # numba looks for BLAS there, which our kernels do not use; loading it takes a fifth of a second.
    with _hidden("scipy.linalg"):
        for name in modules:
            with contextlib.suppress(Exception):
                importlib.import_module(name)
    gc.enable()
    # What is imported stays; the collector of a worker need not visit it, and so does not copy its pages.
    gc.freeze()


def main() -> NoReturn:
    """Import the modules of the first argument, fork one worker per pair of pipes, and report how each one ends."""
    # Both signals are waited for instead of handled; blocked now, they do not reach the threads of libraries either.
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_BLOCK, _AWAITED)
    modules, *pairs = sys.argv[1:]
    pipes = [tuple(map(int, pair.split(","))) for pair in pairs]
    reports = os.fdopen(os.dup(1), "wb")
    # Text that a library prints must not mix with the answers.
    os.dup2(2, 1)
    sys.meta_path.insert(0, cast(Any, _WithoutPandas))
    _import(list(filter(None, modules.split(","))))
    # If no byte comes, the parent has ended or needs no workers.
    if sys.stdin.buffer.read(1):
        _report_ends(_forked(pipes, reports), reports)
    _leave(0)


def _forked(pipes: Sequence[tuple[int, ...]], reports: IO[bytes]) -> set[int]:
    """Fork the workers, send their numbers to the parent and return them."""
    living: set[int] = set()
    with warnings.catch_warnings():
        # Python 3.12 warns of forks beside threads, and Arrow has one.
        warnings.simplefilter("ignore", DeprecationWarning)
        for number in range(len(pipes)):
            pid = os.fork()
            if not pid:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                signal.pthread_sigmask(signal.SIG_UNBLOCK, _AWAITED)
                reports.close()
                _work(pipes, number)
            living.add(pid)
    for descriptor in (end for pair in pipes for end in pair):
        os.close(descriptor)
    with contextlib.suppress(BrokenPipeError):
        send(reports, sorted(living))
    return living


def _report_ends(living: set[int], reports: IO[bytes]) -> None:
    """Send number and exit code of each worker that ends; end all of them on SIGTERM."""
    while living:
        if signal.sigwait(_AWAITED) == signal.SIGTERM:
            # Their numbers are theirs until they are waited for, below.
            for pid in living:
                os.kill(pid, signal.SIGKILL)
        while living:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            living.discard(pid)
            with contextlib.suppress(BrokenPipeError):
                send(reports, (pid, os.waitstatus_to_exitcode(status)))


def _leave(code: int) -> NoReturn:
    """End this process at once, without the exit handlers of libraries."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


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
