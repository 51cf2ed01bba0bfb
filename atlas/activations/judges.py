"""Judges of explanations: any object that answers questions about texts, or a command that does."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from atlas.errors import InputError


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
        lines = "".join(json.dumps(vars(question), ensure_ascii=False) + "\n" for question in questions)
        try:
            done = subprocess.run(
                shlex.split(self.command), input=lines.encode("utf-8", "replace"), capture_output=True, check=True
            )
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            said = " ".join((getattr(error, "stderr", None) or b"").decode("utf-8", "replace").split())[-200:]
            raise InputError(f"the judge {self.command!r} failed: {said or error}") from error
        answers = done.stdout.decode("utf-8", "replace").splitlines()
        if len(answers) != len(questions):
            raise InputError(
                f"the judge {self.command!r} gave {len(answers):,} answers to {len(questions):,} questions"
            )
        return [_answer(line) for line in answers]


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
