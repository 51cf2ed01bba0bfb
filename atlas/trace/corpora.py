"""Prompts from files: JSON lines, text cut by a separator, Parquet; one at a time, whatever the file's size."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atlas.errors import InputError, UsageError
from atlas.graph import Reject
from atlas.ids import well_formed
from atlas.trace.model import TracedModel
from atlas.trace.tracer import Prompt

_TEXT_KEYS = ("prompt", "text", "content")
SUFFIXES = (".jsonl", ".txt", ".parquet")


@dataclass(frozen=True)
class CorpusOptions:
    """Which prompts of a corpus are traced, and how they become tokens.

    `column` names the text in JSON lines and Parquet (prompt, text or content where None); `separator` cuts
    text files (lines where None). `chat` wraps each prompt as a user's turn by the model's chat template.
    Of more than `limit` prompts, `limit` are drawn at random by `seed` (the first ones where None).
    Prompts of fewer than `min_tokens` or more than `max_tokens` are rejected, unless `truncate` keeps the
    first `max_tokens`.
    With `shard` (i, n) only every n-th of the chosen prompts is read, from the i-th on.
    """

    column: str | None = None
    separator: str | None = None
    chat: bool = False
    limit: int | None = None
    seed: int | None = None
    min_tokens: int = 2
    max_tokens: int = 128
    truncate: bool = False
    shard: tuple[int, int] = (0, 1)

    def __post_init__(self) -> None:
        if self.separator == "":
            raise UsageError("the separator is empty; leave it out to cut at line ends")
        if not 1 <= self.min_tokens <= self.max_tokens:
            raise UsageError("--min-tokens must be 1 or more and not above --max-tokens")
        if self.limit is not None and self.limit < 1:
            raise UsageError("--limit must be 1 or more")


@dataclass(frozen=True)
class Row:
    """One prompt as it stands in its file."""

    index: int
    value: Any  # text, or the object of a JSON line


def read_prompts(path: Path, model: TracedModel, options: CorpusOptions) -> Iterator[Prompt | Reject]:
    """The prompts of a file as tokens, or a reject for each that cannot be traced.

    Raises `InputError` where the file is missing, of another kind or without any prompt.
    """
    for row in chosen_rows(path, options):
        yield _prompt(path, row, model, options)


def count_prompts(path: Path, options: CorpusOptions) -> int:
    """How many prompts `read_prompts` gives."""
    total = sum(1 for _ in _rows(path, options))
    if not total:
        raise InputError(f"{path} holds no prompt")
    shard, of = options.shard
    return len(range(shard, min(total, options.limit or total), of))


def chosen_rows(path: Path, options: CorpusOptions) -> Iterator[Row]:
    """The rows that are traced."""
    shard, of = options.shard
    yield from itertools.islice(_drawn(path, options), shard, None, of)


def _drawn(path: Path, options: CorpusOptions) -> Iterator[Row]:
    if options.limit is None or options.seed is None:
        for number, row in enumerate(_rows(path, options)):
            if options.limit is not None and number >= options.limit:
                return
            yield row
        return
    total = sum(1 for _ in _rows(path, options))
    drawn = set(random.Random(options.seed).sample(range(total), min(options.limit, total)))
    yield from (row for number, row in enumerate(_rows(path, options)) if number in drawn)


def _rows(path: Path, options: CorpusOptions) -> Iterator[Row]:
    suffix = path.suffix.lower()
    if not path.is_file():
        raise InputError(f"{path} is no file; prompts are read from {', '.join(SUFFIXES)} files")
    if suffix not in SUFFIXES:
        raise InputError(f"{path}: prompts are read from {', '.join(SUFFIXES)} files")
    reader = {".jsonl": _json_lines, ".txt": _texts, ".parquet": _parquet}[suffix]
    yield from (Row(index, value) for index, value in enumerate(reader(path, options)))


def _json_lines(path: Path, _: CorpusOptions) -> Iterator[Any]:
    with path.open(encoding="utf-8-sig", errors="replace") as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                yield json.loads(line)
            except (ValueError, RecursionError) as error:
                raise InputError(f"{path}, line {number} is no JSON ({str(error)[:100]})") from error


def _texts(path: Path, options: CorpusOptions) -> Iterator[str]:
    with path.open(encoding="utf-8-sig", errors="replace") as stream:
        if options.separator is None:
            yield from (line.rstrip("\n") for line in stream if line.strip())
            return
        rest = ""
        while block := stream.read(1 << 20):
            *whole, rest = (rest + block).split(options.separator)
            yield from (text.strip() for text in whole if text.strip())
        if rest.strip():
            yield rest.strip()


def _parquet(path: Path, options: CorpusOptions) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = [options.column] if options.column else [*_TEXT_KEYS, "messages"]
            wanted = [name for name in names if name in file.schema_arrow.names]
            if not wanted:
                raise InputError(
                    f"{path} has no column {' or '.join(names)}; it has {', '.join(file.schema_arrow.names)[:200]}; name one with --column"
                )
            for batch in file.iter_batches(1024, columns=[wanted[0]]):
                yield from ({wanted[0]: value} for value in batch.column(0).to_pylist())
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} cannot be read as Parquet: {' '.join(str(error).split())[:200]}") from error


def _prompt(path: Path, row: Row, model: TracedModel, options: CorpusOptions) -> Prompt | Reject:
    name = f"{path.stem}/graph_{row.index:06d}.json"
    value = row.value if isinstance(row.value, dict) else {"text": row.value}
    try:
        text, ids = _encode(value, model, options)
        targets = [_target(model, token) for token in _listed(value.get("target", value.get("targets")))]
        contrasts = [_target(model, token) for token in _listed(value.get("contrast", value.get("contrasts")))]
    except _Unusable as error:
        return Reject(name, error.reason, str(error))
    if len(ids) > options.max_tokens and options.truncate:
        ids = ids[: options.max_tokens]
    most = min(options.max_tokens, model.most_positions)
    if len(ids) < options.min_tokens:
        return Reject(name, "too_short", f"{len(ids)} tokens; at least {options.min_tokens} are asked for")
    if len(ids) > most:
        return Reject(name, "too_long", f"{len(ids)} tokens; at most {most} are traced (--max-tokens, --truncate)")
    source = value.get("source")
    return Prompt(
        name, text, tuple(ids), tuple(targets), tuple(contrasts), source if isinstance(source, str) else None, row.index
    )


class _Unusable(Exception):
    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def _encode(value: dict[str, Any], model: TracedModel, options: CorpusOptions) -> tuple[str, list[int]]:
    """The text of a row as the model sees it, and its tokens."""
    messages = value.get("messages")
    if isinstance(messages, list) and not options.column:
        return _chat(messages, model)
    keys = [options.column] if options.column else _TEXT_KEYS
    text = next((value[key] for key in keys if isinstance(value.get(key), str)), None)
    if text is None:
        raise _Unusable("no_text", f"no text under {' or '.join(map(str, keys))}; keys {', '.join(value)}"[:200])
    text = well_formed(text)
    if not text.strip():
        raise _Unusable("empty", "the prompt is empty")
    if options.chat:
        return _chat([{"role": "user", "content": text}], model)
    return text, list(model.tokenizer(text)["input_ids"])


def _chat(messages: list[Any], model: TracedModel) -> tuple[str, list[int]]:
    if not getattr(model.tokenizer, "chat_template", None):
        raise UsageError(f"{model.name} has no chat template; leave out --chat")
    try:
        text = model.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    except Exception as error:  # templates are programs of the model's authors: they raise what they like
        raise _Unusable("bad_chat", f"the chat template refuses it: {' '.join(str(error).split())[:150]}") from error
    return text, list(model.tokenizer(text, add_special_tokens=False)["input_ids"])


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _target(model: TracedModel, token: Any) -> int:
    """A target as a token id, or as a text that is one token."""
    if isinstance(token, int) and not isinstance(token, bool):
        if not 0 <= token < model.vocabulary:
            raise _Unusable("bad_target", f"there is no token {token}")
        return token
    ids = model.tokenizer(str(token), add_special_tokens=False)["input_ids"]
    if len(ids) != 1:
        raise _Unusable("bad_target", f"the target {str(token)[:50]!r} is {len(ids)} tokens, not one")
    return int(ids[0])
