"""Sets of neurons as text, such as `label ~ capital && layer >= 10 && upstream(L20/N44686, hops=2) && !circuit(1.1)`.

`&&`, `||` and `!` join, parentheses group. A test is a field, an operator and a value; a function takes sets, ids or texts. A word or a quoted
text alone is looked for in the labels. The operators of Codex (`>>`, `<<`, `$$`, `^^`, `~u` and so on) are understood, too.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Any, NamedTuple

from atlas.errors import IdError, UsageError
from atlas.ids import NeuronId
from atlas.query.neuron_sets import (
    BOTH,
    DOWNSTREAM,
    INPUTS,
    MOST_HOPS,
    OUTPUTS,
    SIMILAR_BY,
    UPSTREAM,
    Everything,
    FieldTest,
    InCircuit,
    InGraphs,
    Inverse,
    Labelled,
    Listed,
    NeuronSet,
    Pathway,
    Saved,
    Similar,
    Steps,
    WithToken,
    joined,
)

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<range>\d+\.\.\d+)
    |(?P<operator>&&|\|\||->|\^\^|!\^|~[udc](?!\w)|\$\$|!\$|>>|!>|<<|!<|\^\*|==|!=|>=|<=|!~|\^=|\$=|=~|[()=<>~!,])
    |(?P<word>(?:[\w.:/+@\#]|-(?!>))+)
    )""",
    re.VERBOSE,
)
_COMPARE = {"==": "=", ">>": "~", "!>": "!~", "<<": "in", "!<": "!in", "^*": "^="}
_OPERATORS = ("=", "!=", "<", "<=", ">", ">=", "~", "!~", "^=", "$=", "=~", "in", "!in")
_PREFIX = {"^^": UPSTREAM, "!^": DOWNSTREAM, "~u": INPUTS, "~d": OUTPUTS, "~c": BOTH}
FUNCTIONS = (
    *("upstream", "downstream", "pathway", "similar", "circuit", "graph", "group"),
    *("token_in", "token_out", "has", "set", "all"),
)
_OF_SETS = ("upstream", "downstream", "pathway", "similar")  # functions whose arguments are sets
_DEEPEST = 60  # parentheses


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


def parse(text: str) -> NeuronSet:
    """Parse an expression.

    Args:
        text: Expression.

    Returns:
        The set.

    Raises:
        UsageError: It is none; the message names the place and what was expected.
    """
    return _Parser(text).whole()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text, self._tokens, self._place, self._depth = text, _tokens(text), 0, 0

    def whole(self) -> NeuronSet:
        found = self._either()
        if self._next.kind != "end":
            raise self._wrong("&&, || or the end")
        return found

    @property
    def _next(self) -> _Token:
        return self._tokens[self._place]

    def _take(self) -> _Token:
        token = self._next
        self._place += token.kind != "end"
        return token

    def _is(self, *texts: str) -> bool:
        token = self._next
        return token.kind in ("operator", "word") and token.text.lower() in texts

    def _wrong(self, expected: str) -> UsageError:
        token = self._next
        found = f"{token.text!r}" if token.kind != "end" else "the end"
        return UsageError(f"{_shown(self._text)}: expected {expected} at character {token.at + 1}, found {found}")

    def _expect(self, text: str) -> None:
        if not self._is(text):
            raise self._wrong(repr(text))
        self._take()

    def _either(self) -> NeuronSet:
        found = [self._all()]
        while self._is("||", "or"):
            self._take()
            found.append(self._all())
        return joined("OR", found)

    def _all(self) -> NeuronSet:
        found = [self._between()]
        while self._is("&&", "and"):
            self._take()
            found.append(self._between())
        return joined("AND", found)

    def _between(self) -> NeuronSet:
        found = self._one()
        if self._is("->"):
            self._take()
            return Pathway(found, self._one())
        return found

    def _one(self) -> NeuronSet:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise UsageError(
                f"{_shown(self._text)} is nested more than {_DEEPEST} deep; save a part under a name with atlas set"
            )
        try:
            return self._atom()
        finally:
            self._depth -= 1

    def _atom(self) -> NeuronSet:
        if self._is("!", "not"):
            self._take()
            return Inverse(self._one())
        if self._is("("):
            self._take()
            found = self._either()
            self._expect(")")
            return found
        token = self._next
        if token.kind == "operator" and token.text in _PREFIX:
            self._take()
            inner = self._one()
            how = _PREFIX[token.text]
            return Steps(how, inner) if how in (UPSTREAM, DOWNSTREAM) else Similar(inner, how)
        if token.kind == "operator" and token.text in ("$$", "!$"):
            self._take()
            found = FieldTest(self._word("a field"), "has")
            return found if token.text == "$$" else Inverse(found)
        if token.kind == "text":
            self._take()
            return Labelled(_unquoted(token.text))
        if token.kind == "word":
            return self._word_first()
        raise self._wrong("a test such as layer >= 10, a function such as upstream(L2/N3), or words of a label")

    def _word_first(self) -> NeuronSet:
        token = self._take()
        if self._is("("):
            return self._function(token)
        negated = self._is("!") and self._tokens[self._place + 1].text.lower() == "in"
        if negated:
            self._take()
        operator = _COMPARE.get(self._next.text.lower(), self._next.text.lower())
        if negated or (self._next.kind != "text" and operator in _OPERATORS):
            self._take()
            operator = "!in" if negated else operator
            test = FieldTest(
                token.text, operator.removeprefix("!") if operator in ("!in", "!~") else operator, self._value(operator)
            )
            return Inverse(test) if operator in ("!in", "!~") else test
        try:
            return Listed((NeuronId.parse(token.text),))
        except IdError:
            return Labelled(token.text)

    def _word(self, what: str) -> str:
        if self._next.kind not in ("word", "text"):
            raise self._wrong(what)
        token = self._take()
        return _unquoted(token.text) if token.kind == "text" else token.text

    def _value(self, operator: str) -> Any:
        if operator not in ("in", "!in"):
            return _number(self._word("a value"))
        if self._next.kind == "range":
            first, last = self._take().text.split("..")
            return range(int(first), int(last) + 1)
        if not self._is("("):
            return (_number(self._word("a value, a range such as 3..7, or a list such as (1, 2)")),)
        self._take()
        found = [_number(self._word("a value"))]
        while self._is(","):
            self._take()
            found.append(_number(self._word("a value")))
        self._expect(")")
        return tuple(found)

    def _function(self, name: _Token) -> NeuronSet:
        key = name.text.lower()
        if key not in FUNCTIONS:
            near = get_close_matches(key, FUNCTIONS, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(FUNCTIONS)}"
            raise UsageError(f"{_shown(self._text)}: no function is called {name.text!r}; {hint}")
        self._take()
        sets: list[NeuronSet] = []
        texts: list[str] = []
        options: dict[str, Any] = {}
        of_sets = key in _OF_SETS
        while not self._is(")"):
            after = self._tokens[min(self._place + 1, len(self._tokens) - 1)]
            if (
                self._next.kind == "word"
                and after.text == "="
                and self._next.text in ("hops", "min_graphs", "share", "sign", "by", "top")
            ):
                option = self._take().text
                self._take()
                options[option] = _number(self._word("a value"))
            elif of_sets:
                sets.append(self._either())
            else:
                texts.append(self._word("a name or a text"))
            if not self._is(","):
                break
            self._take()
        self._expect(")")
        return _built(key, sets, texts, options, _shown(self._text))


def _built(key: str, sets: list[NeuronSet], texts: list[str], options: dict[str, Any], where: str) -> NeuronSet:
    """Return the set of a function with its arguments."""
    counts = {"pathway": 2, "all": 0}
    wanted, given = counts.get(key, 1), sets if key in _OF_SETS else texts
    if len(given) != wanted:
        raise UsageError(f"{where}: {key} takes {wanted} argument{'s' * (wanted != 1)}, not {len(given)}")
    known = {
        **dict.fromkeys(("upstream", "downstream"), ("hops", "min_graphs", "share", "sign")),
        **{
            "pathway": ("hops", "min_graphs"),
            "similar": ("by", "top"),
            "token_in": ("min_graphs",),
            "token_out": ("min_graphs",),
        },
    }
    for option in options:
        if option not in known.get(key, ()):
            raise UsageError(f"{where}: {key} has no option {option}; it has {', '.join(known.get(key, ())) or 'none'}")
    checked(options, where)
    if key in ("upstream", "downstream"):
        return Steps(key, sets[0], **options)
    if key == "pathway":
        return Pathway(sets[0], sets[1], **options)
    if key == "similar":
        return Similar(sets[0], **options)
    if key in ("token_in", "token_out"):
        return WithToken(key.removeprefix("token_"), texts[0], **options)
    makers: dict[str, Any] = {"circuit": InCircuit, "graph": InGraphs, "set": Saved}
    if key == "group":
        return InGraphs(texts[0], is_group=True)
    if key == "has":
        return FieldTest(texts[0], "has")
    found: NeuronSet = Everything() if key == "all" else makers[key](texts[0])
    return found


def checked(options: dict[str, Any], where: str) -> None:
    """Raise `UsageError` for an option of a function that is out of bounds."""
    bounds = {"hops": (1, MOST_HOPS), "min_graphs": (1, 2**31 - 1), "top": (1, 10_000)}
    for name, (least, most) in bounds.items():
        value = options.get(name, least)
        if not isinstance(value, int) or not least <= value <= most:
            raise UsageError(f"{where}: {name} must be a whole number from {least} to {most}, not {value}")
    if not isinstance(options.get("share", 0), int | float) or not 0 <= options.get("share", 0) <= 1:
        raise UsageError(f"{where}: share must be from 0 to 1, not {options['share']}")
    if options.get("sign") not in (None, "+", "-"):
        raise UsageError(f"{where}: sign must be + or -, not {options['sign']}")
    if options.get("by", BOTH) not in SIMILAR_BY:
        raise UsageError(f"{where}: by must be one of {', '.join(SIMILAR_BY)}, not {options['by']}")


def _tokens(text: str) -> list[_Token]:
    found, at = [], 0
    while at < len(text.rstrip()):
        match = _TOKEN.match(text, at)
        if match is None:
            raise UsageError(
                f"{_shown(text)}: character {at + 1} ({text[at : at + 10].strip()!r}) is not understood; quote texts"
            )
        kind = match.lastgroup or ""
        found.append(_Token(kind, match[kind], match.start(kind)))
        at = match.end()
    if not found:
        raise UsageError("an empty expression; all neurons are all()")
    return [*found, _Token("end", "", len(text))]


def _number(text: str) -> Any:
    """Return a number as one, and other text as it is."""
    if re.fullmatch(r"-?\d{1,18}", text, re.ASCII):
        return int(text)
    return float(text) if re.fullmatch(r"-?\d{1,18}\.\d{1,18}", text, re.ASCII) else text


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1])


def _shown(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."
