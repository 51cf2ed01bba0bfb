"""Judges of explanations: any object that answers questions about texts, or a command that does."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any, Protocol

from atlas.errors import InputError

_LONGEST_ANSWER = 1 << 20  # bytes; a longer line is read as several, and none of them is an answer
_LAST_WORDS = 1000  # bytes of what a failed command says


@dataclass(frozen=True)
class Question:
    """A text that a judge is asked about.

    Attributes:
        task: `detection` (is the unit active anywhere in the text?), `fuzzing` (are the marked tokens those on which it is active?), or
            `simulation` (how active is it on each token?).
        explanation: What the unit is said to be active on.
        tokens: Texts of the tokens of the context.
        marked: Numbers of the marked tokens, of fuzzing.
    """

    task: str
    explanation: str
    tokens: tuple[str, ...]
    marked: tuple[int, ...] = ()


Answer = float | Sequence[float] | None


class Judge(Protocol):
    """A judge: a language model behind an interface, a person, or a script."""

    @property
    def name(self) -> str:
        """Name and version of the judge and of its prompt, which is stored beside its answers."""

    def answer(self, questions: Sequence[Question]) -> Sequence[Answer]:
        """Answer questions.

        Args:
            questions: (n,).

        Returns:
            Answers (n,): a probability from 0 to 1 for detection and fuzzing, a value per token for simulation; None where
            the judge failed.
        """


@dataclass(frozen=True)
class CommandJudge:
    """A command that reads questions as JSON lines, and writes one answer per line: a number, a list, or null.

    A question is `{"task", "explanation", "tokens", "marked"}`. The command runs once for all questions.
    """

    command: str

    @property
    def name(self) -> str:
        """The command."""
        return self.command

    def answer(self, questions: Sequence[Question]) -> Sequence[Answer]:
        """Answer questions by the command; a line that is no answer is a failure of this question."""
        with tempfile.TemporaryFile() as asked, tempfile.TemporaryFile() as said:
            for question in questions:
                asked.write((json.dumps(vars(question), ensure_ascii=False) + "\n").encode("utf-8", "replace"))
            asked.seek(0)
            try:
                answers, status = self._lines(asked, said, len(questions) + 1)
            except (OSError, ValueError) as error:
                raise InputError(f"the judge {self.command!r} cannot be run: {error}") from error
            if status:
                said.seek(-min(said.seek(0, os.SEEK_END), _LAST_WORDS), os.SEEK_END)
                last = " ".join(said.read().decode("utf-8", "replace").split())[-200:]
                raise InputError(f"the judge {self.command!r} failed: {last or f'exit status {status}'}")
        if len(answers) != len(questions):
            found = f"{len(answers):,} answers to" if len(answers) < len(questions) else "more answers than"
            raise InputError(f"the judge {self.command!r} gave {found} {len(questions):,} questions")
        return [_answer(line) for line in answers]

    def _lines(self, asked: IO[bytes], said: IO[bytes], most: int) -> tuple[list[str], int]:
        """Run the command; return its first `most` lines and its exit status. A command that goes on behind them is stopped."""
        with subprocess.Popen(shlex.split(self.command), stdin=asked, stdout=subprocess.PIPE, stderr=said) as running:
            assert running.stdout is not None
            lines: list[str] = []
            try:
                while len(lines) < most and (line := running.stdout.readline(_LONGEST_ANSWER)):
                    lines.append(line.decode("utf-8", "replace"))
            finally:
                if len(lines) == most:
                    running.kill()
        return lines, 0 if len(lines) == most else running.returncode


def _answer(line: str) -> Answer:
    try:
        found: Any = json.loads(line)
    except ValueError:
        return None
    if isinstance(found, bool | int | float):
        return float(found)
    if isinstance(found, list) and all(isinstance(value, int | float) for value in found):
        return [float(value) for value in found]
    return None
