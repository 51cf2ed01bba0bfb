"""Readable text of tokens, without the byte-level and sentencepiece spellings of vocabularies."""

from __future__ import annotations

from collections.abc import Sequence

from atlas.models.model import TracedModel

REPLACEMENT = "\ufffd"
_BREAKS = (("\n", "\\n"), ("\t", "\\t"), ("\r", "\\r"))


def readable(token: str) -> str:
    """Return a token with the byte-level and sentencepiece spellings of whitespace replaced.

    >>> readable("Ġself"), readable("ĊĠĠ")
    (' self', '\\\\n  ')
    """
    for spelling, text in (("Ġ", " "), ("▁", " "), ("Ċ", "\\n"), ("ĉ", "\\t"), ("č", "\\r")):
        token = token.replace(spelling, text)
    return token


def is_text(token: str) -> bool:
    r"""Return True where a decoded token is text, not a part of a character or a control character.

    >>> is_text(" self"), is_text("\n  "), is_text("\x10"), is_text("\ufffd"), is_text("")
    (True, True, False, False, False)
    """
    return REPLACEMENT not in token and (token.isspace() or (token.strip().isprintable() and bool(token)))


def shown(model: TracedModel, ids: Sequence[int]) -> list[str]:
    """Return tokens as text; a token with a part of a character is spelled as in the vocabulary."""
    found = []
    for token, spelled in zip(ids, model.token_texts(list(ids)), strict=True):
        # Decoding a single sentencepiece token loses its leading space.
        text = REPLACEMENT if spelled.startswith(("▁", " ")) else model.tokenizer.decode([token])
        found.append(readable(spelled) if REPLACEMENT in text else _one_line(text))
    return found


def passage(model: TracedModel, ids: Sequence[int]) -> str:
    """Return consecutive tokens as one line of text."""
    return _one_line(model.tokenizer.decode(list(ids))) if ids else ""


def _one_line(text: str) -> str:
    for sign, escaped in _BREAKS:
        text = text.replace(sign, escaped)
    return text
