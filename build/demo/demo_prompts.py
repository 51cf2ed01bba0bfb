"""Write the prompts of the demo: short pieces of Python that end where something crisp must follow.

    python build/demo/demo_prompts.py build/demo/prompts.jsonl

Our own text, the same on every machine; `source` names what the piece tests.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

SEED = 42
EACH = 40  # prompts per source
NAMES = [
    "name",
    "value",
    "path",
    "data",
    "key",
    "size",
    "text",
    "line",
    "count",
    "index",
    "parent",
    "result",
    "items",
    "args",
    "func",
    "mode",
    "buffer",
    "start",
    "level",
]
VERBS = [
    "read",
    "write",
    "close",
    "open",
    "get",
    "set",
    "update",
    "load",
    "parse",
    "find",
    "append",
    "remove",
    "check",
    "send",
    "start",
]
BASES = ["object", "Exception", "Base", "dict", "list", "Thread", "Handler", "ValueError"]
ERRORS = ["ValueError", "TypeError", "KeyError", "OSError", "IndexError"]
MODULES = ["os", "sys", "re", "time", "json", "types", "random", "socket", "threading"]

# {n}, {m}, {k} are names, {v} a verb, {b} a base class, {e} an error, {i} and {j} modules, {d} a digit.
TEMPLATES: dict[str, list[str]] = {
    "self": [
        "    def __init__(self, {n}, {m}):\n        self.{n} = {n}\n        self",
        "    def {v}(self):\n        if self",
        "    def {v}(self, {n}):\n        return self",
        "    def {v}(self, {n}):\n        self.{n} = {n}\n        self",
    ],
    "brackets": [
        "    {n} = {m}({k}[{d}",
        "    {n} = [{m}, {k}, len({n}",
        "    return ({n}, {m}[{d}",
        '    {n} = {{"{m}": {k}[{d}',
    ],
    "keywords": [
        "    if {n} is not",
        "    for {n} in {m}:\n        if {n} not",
        "    with open({n}) as",
        "    {n} = {m} if {k} else",
    ],
    "exceptions": [
        "    try:\n        {n} = int({m})\n    except",
        "    if not {n}:\n        raise",
        "    except {e} as",
        '    raise {e}("',
    ],
    "definitions": [
        "class {b}{d}(object",
        "class {b}(object):\n    def __init__(self",
        "def {v}_{n}({m}, {k}=None",
        "    @property\n    def {n}(self",
    ],
    "imports": [
        "import {i}\nimport {j}\nimport",
        "from {i} import",
        "import {i}\nfrom {j} import",
        "import {i}\nimport {j}\n\nclass",
    ],
    "strings": [
        '    def {v}(self):\n        """Return the {n}',
        "    {n} = '{m}",
        '    print("{n} %s" %',
        '    {n} = {m}.get("{k}',
    ],
    "indentation": [
        "    def {v}(self, {n}):\n",
        "    if {n} is None:\n        return None\n",
        "    for {n} in {m}:\n",
        "        return self.{n}\n\n    def",
    ],
}


def prompts() -> list[dict[str, str]]:
    """`EACH` distinct prompts of every source, the sources in turn."""
    rng = random.Random(SEED)
    found: dict[str, list[tuple[str, str]]] = {}
    for source, templates in TEMPLATES.items():
        texts: dict[str, str] = {}
        turn = 0
        while len(texts) < EACH:
            n, m, k = rng.sample(NAMES, 3)
            i, j = rng.sample(MODULES, 2)
            words = {"n": n, "m": m, "k": k, "i": i, "j": j, "d": str(rng.randrange(10))}
            words |= {"v": rng.choice(VERBS), "b": rng.choice(BASES), "e": rng.choice(ERRORS)}
            number = turn % len(templates)
            texts.setdefault(templates[number].format_map(words), f"{source}-{number + 1}")
            turn += 1
        found[source] = list(texts.items())
    rows = [(source, *found[source][row]) for row in range(EACH) for source in found]
    return [{"text": text, "source": source, "prompt_group": group} for source, text, group in rows]


def main(path: Path) -> None:
    """Write the file."""
    path.write_text("".join(json.dumps(row) + "\n" for row in prompts()), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
