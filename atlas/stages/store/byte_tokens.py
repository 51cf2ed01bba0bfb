"""Texts of tokens in files of other tools, spelled as in a byte-level vocabulary."""

from __future__ import annotations

from collections.abc import Iterable


def byte_table() -> dict[str, int]:
    """Return the byte of every character by which byte-level vocabularies spell it (GPT-2)."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + place): byte for place, byte in enumerate(others)}


_BYTES = byte_table()


def decoded(token: str) -> str:
    r"""Return the text of a token that is spelled as in a byte-level vocabulary; other tokens as they are.

    >>> decoded("Ġself"), decoded("âĢĻs"), decoded("中")
    (' self', '’s', '中')
    """
    if any(character not in _BYTES for character in token):
        return token.replace("▁", " ")
    return bytes(_BYTES[character] for character in token).decode("utf-8", errors="replace")


def decoded_vocabulary(tokens: Iterable[str]) -> list[str]:
    """Return the texts of all tokens of a file: decoded where the file spells them as in a byte-level vocabulary.

    Such a vocabulary spells the space `Ġ` (and a line break `Ċ`), which no other one does; without them, `é` is a letter, not a byte.

    >>> decoded_vocabulary(["Ġcaf", "Ã©"]), decoded_vocabulary([" caf", "é"])
    ([' caf', 'é'], [' caf', 'é'])
    """
    held = list(tokens)
    is_spelled = any("Ġ" in token or "Ċ" in token for token in held) or all(map(_is_spelling, held))
    return [decoded(token) if is_spelled else token.replace("▁", " ") for token in held]


def _is_spelling(token: str) -> bool:
    """Return True for a token of characters that stand for the bytes of a text."""
    if any(character not in _BYTES for character in token):
        return False
    try:
        bytes(_BYTES[character] for character in token).decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


_CHARACTERS = {byte: character for character, byte in _BYTES.items()}


def spelled(text: str) -> str:
    """Return a text as a byte-level vocabulary spells it.

    >>> spelled(" self"), decoded(spelled("中é"))
    ('Ġself', '中é')
    """
    return "".join(_CHARACTERS[byte] for byte in text.encode("utf-8", errors="replace"))
