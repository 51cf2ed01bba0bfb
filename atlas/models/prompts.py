"""Prompts from JSON lines, text or Parquet files, read one at a time."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from atlas.errors import InputError, UsageError
from atlas.graph import Reject
from atlas.ids import well_formed
from atlas.models.model import TracedModel
from atlas.models.tokens import shown
from atlas.options import PromptOptions, ShardedPromptOptions

_TEXT_KEYS = ("prompt", "text", "content")
_MESSAGES = "messages"
_TARGETS, _CONTRASTS, _SOURCE = ("target", "targets"), ("contrast", "contrasts"), "source"
_GROUPS = ("prompt_group", "group")
_BESIDE = (*_TARGETS, *_CONTRASTS, _SOURCE, *_GROUPS)
_LONGEST_FACT = 200  # characters; longer fields of a document are texts, not facts about it
SUFFIXES = (".jsonl", ".txt", ".parquet", ".yaml", ".yml")
# Lists of prompts in a configuration of graph runs; the first that is there is read.
_LISTS = ("prompts", "sequences", "texts", "examples")
_LONGEST_YAML = 100_000_000  # bytes


@dataclass(frozen=True)
class Prompt:
    """Prompt as token ids; `targets` and `contrasts` are the tokens traced instead of the top logits."""

    path: str
    text: str
    ids: tuple[int, ...]
    targets: tuple[int, ...] = ()
    contrasts: tuple[int, ...] = ()
    source: str | None = None
    group: str | None = None
    index: int | None = None
    original_token_count: int | None = None  # of the whole text, where `text` is truncated
    attributes: tuple[tuple[str, str], ...] = ()  # of a document


@dataclass(frozen=True)
class Row:
    """Prompt as its file holds it."""

    index: int
    value: object  # text, or the object of a JSON line


def read_prompts(path: Path, model: TracedModel, options: PromptOptions) -> Iterator[Prompt | Reject]:
    """Read the prompts of a file and tokenize them.

    Args:
        path: .jsonl, .txt, .parquet, or .yaml with a list of prompts.
        model: Model with the tokenizer.
        options: Options that select the prompts and decide how they become tokens.

    Yields:
        A prompt, or a reject for each prompt that cannot be traced.

    Raises:
        InputError: The file is missing, of another kind or damaged.
        UsageError: `chat` is set, and the model has no chat template.
    """
    if options.chat:
        _require_template(model)
    for row in chosen_rows(path, options):
        found = _prompt(path, row, model, options)
        if _is_mine(found, row, options):
            yield found


def count_prompts(path: Path, options: PromptOptions) -> int:
    """Count the prompts of a file that `options` select, over all shards; raises `InputError` where there are none."""
    most = None if options.seed is not None else options.limit
    total = sum(1 for _ in itertools.islice(_rows(path, options), most))
    if not total:
        raise InputError(f"{path} holds no prompt")
    return min(total, options.limit or total)


def _is_mine(found: Prompt | Reject, row: Row, options: PromptOptions) -> bool:
    """Return True where a prompt belongs to this shard. Its tokens decide, so equal prompts are in one shard."""
    shard, of = options.shard if isinstance(options, ShardedPromptOptions) else (0, 1)
    if of == 1:
        return True
    if isinstance(found, Reject):
        return row.index % of == shard
    facts = json.dumps([found.ids, found.targets, found.contrasts])
    return int.from_bytes(hashlib.sha256(facts.encode()).digest()[:8]) % of == shard


def chosen_rows(path: Path, options: PromptOptions) -> Iterator[Row]:
    """Yield the selected rows of a file, over all shards."""
    if options.limit is None or options.seed is None:
        yield from itertools.islice(_rows(path, options), options.limit)
        return
    total = sum(1 for _ in _rows(path, options))
    drawn = set(random.Random(options.seed).sample(range(total), min(options.limit, total)))
    yield from (row for number, row in enumerate(_rows(path, options)) if number in drawn)


def _rows(path: Path, options: PromptOptions) -> Iterator[Row]:
    suffix = path.suffix.lower()
    if not path.is_file():
        raise InputError(f"{path} is no file; prompts are read from {', '.join(SUFFIXES)} files")
    if suffix not in SUFFIXES:
        raise InputError(f"{path}: prompts are read from {', '.join(SUFFIXES)} files")
    reader = {".jsonl": _json_lines, ".txt": _texts, ".parquet": _parquet}.get(suffix, _yaml)
    yield from (Row(index, value) for index, value in enumerate(reader(path, options)))


def _json_lines(path: Path, _: PromptOptions) -> Iterator[Any]:
    with path.open(encoding="utf-8-sig", errors="replace") as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                yield json.loads(line)
            except (ValueError, RecursionError) as error:
                raise InputError(f"{path}, line {number} is no JSON ({str(error)[:100]})") from error


def _texts(path: Path, options: PromptOptions) -> Iterator[str]:
    with path.open(encoding="utf-8-sig", errors="replace") as stream:
        if options.separator is None:
            yield from (line.rstrip("\n") for line in stream if line.strip())
            return
        rest = ""
        while block := stream.read(1 << 20):
            *whole, rest = (rest + block).split(options.separator)
            yield from (text.strip("\r\n") for text in whole if text.strip())
        if rest.strip():
            yield rest.strip("\r\n")


def _yaml(path: Path, _: PromptOptions) -> Iterator[Any]:
    """Yield the prompts of a corpus or of a configuration of graph runs: texts, or mappings with the keys of JSON lines."""
    import yaml

    if path.stat().st_size > _LONGEST_YAML:
        raise InputError(f"{path} is larger than {_LONGEST_YAML // 10**6} MB; write so many prompts as .jsonl")
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8-sig", errors="replace"))
    except (yaml.YAMLError, RecursionError) as error:
        raise InputError(f"{path} is no YAML: {' '.join(str(error).split())[:200]}") from error
    if isinstance(found, dict):
        key = next((name for name in _LISTS if isinstance(found.get(name), list)), None)
        if key is None:
            keys = ", ".join(map(str, found))[:200] or "no keys"
            raise InputError(f"{path} has no list of prompts under {', '.join(_LISTS)}; it has {keys}")
        found = found[key]
    if not isinstance(found, list):
        raise InputError(f"{path} is no list of prompts")
    yield from found


def _parquet(path: Path, options: PromptOptions) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = [options.column] if options.column else [*_TEXT_KEYS, _MESSAGES]
            there = file.schema_arrow.names
            wanted = [name for name in names if name in there]
            if not wanted:
                raise InputError(
                    f"{path} has no column {' or '.join(names)}; it has {', '.join(there)[:200]}; name one with --column"
                )
            beside = there if options.whole else [name for name in _BESIDE if name in there]
            columns = [wanted[0], *(name for name in beside if name != wanted[0])]
            for batch in file.iter_batches(1024, columns=columns):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as Parquet: {' '.join(str(error).split())[:200]}") from error


def _prompt(path: Path, row: Row, model: TracedModel, options: PromptOptions) -> Prompt | Reject:
    name = f"{path.stem}/graph_{row.index:06d}.json"
    value = row.value if isinstance(row.value, dict) else {"text": row.value}
    try:
        text, ids = _encode(value, model, options)
        targets, contrasts = (_targets(value, keys, model) for keys in (_TARGETS, _CONTRASTS))
        if set(targets) & set(contrasts):
            raise _Unusable("bad_target", "a token is target and contrast at once")
    except _Unusable as error:
        return Reject(name, error.reason, str(error))
    most = len(ids) if options.whole else min(options.max_tokens, model.most_positions)
    whole_count = None
    if options.truncate and len(ids) > most:
        whole_count, ids = len(ids), ids[:most]
        # The text of the tokens that are traced.
        text = well_formed(model.tokenizer.decode(ids, skip_special_tokens=not options.chat))
    if len(ids) < options.min_tokens:
        return Reject(name, "too_short", f"{len(ids)} tokens; at least {options.min_tokens} are asked for")
    if len(ids) > most:
        return Reject(name, "too_long", f"{len(ids)} tokens; at most {most} are traced (--max-tokens, --truncate)")
    if max(ids) >= model.vocabulary:
        return Reject(name, "bad_token", f"token {max(ids)} of the tokenizer is none of the model's {model.vocabulary}")
    source, group = (_text(value, keys) for keys in ((_SOURCE,), _GROUPS))
    found = Prompt(name, text, tuple(ids), tuple(targets), tuple(contrasts), source, group, row.index, whole_count)
    return replace(found, attributes=_attributes(value, options)) if options.whole else found


def _attributes(value: dict[str, Any], options: PromptOptions) -> tuple[tuple[str, str], ...]:
    """Return the other facts of a document by name, such as its speaker: scalars and short texts."""
    known = {options.column, *_TEXT_KEYS, _MESSAGES, *_TARGETS, *_CONTRASTS, _SOURCE}
    found = {name: item for name, item in value.items() if name not in known and isinstance(item, str | int | float)}
    texts = {well_formed(name): well_formed(str(item)) for name, item in found.items()}
    return tuple((name, text) for name, text in texts.items() if len(text) <= _LONGEST_FACT)


def _text(value: dict[str, Any], keys: Sequence[str]) -> str | None:
    """Return the first nonempty text under some keys, or None."""
    return next((well_formed(value[key]) for key in keys if isinstance(value.get(key), str) and value[key]), None)


class _Unusable(Exception):
    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def _encode(value: dict[str, Any], model: TracedModel, options: PromptOptions) -> tuple[str, list[int]]:
    """Return the text of a row as the model sees it, and its token ids."""
    keys = [options.column] if options.column else _TEXT_KEYS
    text = next((value[key] for key in keys if isinstance(value.get(key), str)), None)
    messages = value.get(options.column or _MESSAGES)
    if text is None and isinstance(messages, list) and messages:
        return _chat(messages, model)
    if text is None:
        raise _Unusable("no_text", f"no text under {' or '.join(map(str, keys))}; keys {', '.join(value)}"[:200])
    text = well_formed(text)
    if not text.strip():
        raise _Unusable("empty", "the prompt is empty")
    if options.chat:
        return _chat([{"role": "user", "content": text}], model)
    return text, list(model.tokenizer(text)["input_ids"])


def _require_template(model: TracedModel) -> None:
    if not getattr(model.tokenizer, "chat_template", None):
        raise UsageError(f"{model.name} has no chat template; leave out --chat")


def _chat(messages: list[Any], model: TracedModel) -> tuple[str, list[int]]:
    if not getattr(model.tokenizer, "chat_template", None):
        raise _Unusable("no_template", f"messages need a chat template, and {model.name} has none")
    try:
        text = model.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    except Exception as error:  # templates are code of the model's authors and may raise anything
        raise _Unusable("bad_chat", f"the chat template refuses it: {' '.join(str(error).split())[:150]}") from error
    text = well_formed(text)
    return text, list(model.tokenizer(text, add_special_tokens=False)["input_ids"])


def _targets(value: dict[str, Any], keys: Sequence[str], model: TracedModel) -> list[int]:
    """Return the token ids of the targets under any of the keys, each once."""
    named: list[Any] = []
    for key in keys:
        found = value.get(key)
        named += found if isinstance(found, list) else [] if found is None else [found]
    return list(dict.fromkeys(_target(model, token) for token in named))


def _target(model: TracedModel, token: object) -> int:
    """Return the token id of a target, which is given as an id or as the text of one token."""
    if isinstance(token, int) and not isinstance(token, bool):
        if not 0 <= token < model.vocabulary:
            raise _Unusable("bad_target", f"there is no token {token}")
        return token
    if not isinstance(token, str):
        raise _Unusable("bad_target", f"the target {token!r} is neither a token's text nor its number"[:200])
    text = well_formed(token)
    if text != token:
        raise _Unusable("bad_target", "the target is no text (half of a surrogate pair)")
    ids = list(model.tokenizer(text, add_special_tokens=False)["input_ids"])
    if len(ids) != 1 and text.startswith(" "):
        # Sentencepiece tokenizers add the leading space themselves.
        shorter = list(model.tokenizer(text[1:], add_special_tokens=False)["input_ids"])
        if len(shorter) == 1 and shown(model, shorter) == [text]:
            ids = shorter
    if len(ids) != 1:
        raise _Unusable("bad_target", f"the target {text[:50]!r} is {len(ids)} tokens, not one")
    if ids[0] >= model.vocabulary:
        raise _Unusable("bad_target", f"the target {text[:50]!r} is none of the model's tokens")
    return int(ids[0])
