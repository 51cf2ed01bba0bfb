"""Conversion of untrusted text to text that is safe to print."""

from __future__ import annotations

from collections import Counter

_MARKUP = set("\\`*_{}[]<>#|~$")
_SHOWN_AS = {"\n": "⏎", "\t": "⇥"}


def visible(text: str) -> str:
    """Return the text with every character that does not print replaced: `⏎`, `⇥`, or `�` for the others.

    Control characters (C0 and C1), bidirectional controls, zero-width characters, line separators and lone surrogates
    could move the cursor, hide or reorder the text beside them, or break the encoding.

    >>> visible("a\\x1b[2J\\nb\\u202ec")
    'a�[2J⏎b�c'
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else _SHOWN_AS.get(c, "�") for c in text)


def visible_lines(text: str) -> str:
    """Return the text as `visible` does, with its line breaks kept."""
    return "\n".join(map(visible, text.split("\n")))


def markdown(text: str) -> str:
    r"""Return a text that shows as it is in Markdown: signs of its markup are escaped, and characters that do not print replaced.

    >>> markdown("self._name*\n<b>")
    'self.\\_name\\*⏎\\<b\\>'
    """
    return "".join(f"\\{sign}" if sign in _MARKUP else sign for sign in visible(text))


def counted(counts: Counter[str]) -> str:
    """Return counts by name, largest first.

    >>> counted(Counter(edges=1200, token_edges=3))
    'edges 1,200, token_edges 3'
    """
    return ", ".join(f"{name} {count:,}" for name, count in counts.most_common() if count) or "none"
