"""Write the prompts of the demo: pieces of Python that end anywhere in a statement.

    python build/demo/demo_prompts.py build/demo/prompts.jsonl

Our own text, the same on every machine. `source` names the kind of statement. `prompt_group` names the template: prompts of one
template differ in names and in where they end, and repeat what the template does. Few templates would make circuits of the
templates, so there are many, with few prompts each.
"""

from __future__ import annotations

import json
import random
import re
import sys
from pathlib import Path

SEED = 42
EACH = 6  # prompts per template
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
    "node",
    "file",
    "msg",
    "request",
    "response",
    "code",
    "state",
    "config",
    "options",
    "prefix",
    "suffix",
    "offset",
    "length",
    "width",
    "height",
    "table",
    "row",
    "column",
    "field",
    "user",
    "host",
    "port",
    "url",
    "query",
    "header",
    "body",
    "token",
    "type",
    "cls",
    "obj",
    "other",
    "default",
    "timeout",
    "lock",
    "queue",
    "event",
    "task",
    "job",
    "worker",
    "pool",
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
    "stop",
    "reset",
    "copy",
    "flush",
    "clear",
    "format",
    "encode",
    "decode",
    "connect",
    "handle",
    "run",
    "wait",
    "add",
    "pop",
]
BASES = [
    "object",
    "Exception",
    "Base",
    "dict",
    "list",
    "Thread",
    "Handler",
    "ValueError",
    "Node",
    "Request",
    "Server",
    "Parser",
    "Mixin",
    "Error",
]
ERRORS = [
    "ValueError",
    "TypeError",
    "KeyError",
    "OSError",
    "IndexError",
    "AttributeError",
    "RuntimeError",
    "ImportError",
]
MODULES = [
    "os",
    "sys",
    "re",
    "time",
    "json",
    "types",
    "random",
    "socket",
    "threading",
    "string",
    "struct",
    "math",
    "io",
    "email",
    "logging",
]

# {n}, {m}, {k} are names, {v} a verb, {b} a base class, {e} an error, {i} and {j} modules, {d} a digit.
TEMPLATES: dict[str, list[str]] = {
    "assignments": [
        "    {n} = {m}\n",
        "    {n} = {m}.{k}\n",
        "    {n} = self.{m}\n",
        "    {n}, {m} = {k}\n",
        "    {n} = None\n",
        "    {n} = {m} + {k}\n",
        "    {n} = {m} - {d}\n",
        "    {n} += {d}\n",
        "    {n} = not {m}\n",
        "    {n} = {m} or {k}\n",
        "    {n} = {m} and {k}\n",
        "    {n} = {m} if {k} else None\n",
        "    {n} = lambda {m}: {m}.{k}\n",
        "    {n} = -{d}\n",
        "    {n} = True\n",
        "    {n} = {m} == {k}\n",
        "    {n} %= {m}\n",
        "    global {n}\n    {n} = {d}\n",
        "    del {n}[{m}]\n",
        "    {n} = {m} * {d} + {k}\n",
    ],
    "calls": [
        "    {n} = {m}({k})\n",
        "    {n} = {v}({m}, {k})\n",
        "    {n} = len({m})\n",
        "    {n} = int({m})\n",
        "    {n} = str({m})\n",
        "    {n} = isinstance({m}, str)\n",
        "    {n} = getattr({m}, '{k}', None)\n",
        "    {n} = {m}.{v}({k})\n",
        "    {n}.{v}()\n",
        "    {n} = range({d}, {m})\n",
        "    print({n}, {m})\n",
        "    {n} = sorted({m}, key=lambda {k}: {k}[{d}])\n",
        "    {n} = max({m}, {k})\n",
        "    {n} = open({m}, 'rb')\n",
        "    {n} = zip({m}, {k})\n",
        "    {n} = {m}.join({k})\n",
        "    {n} = {v}(*args, **kwargs)\n",
        "    {n} = type({m})\n",
        "    {n} = hasattr({m}, '{k}')\n",
        "    {n} = map({m}, {k})\n",
    ],
    "brackets": [
        "    {n} = {m}[{d}]\n",
        "    {n} = {m}[{d}:{k}]\n",
        "    {n}[{m}] = {k}\n",
        "    {n} = [{m}, {k}]\n",
        "    {n} = ({m}, {k})\n",
        "    {n} = {{'{m}': {k}}}\n",
        "    {n} = [{m} for {m} in {k}]\n",
        "    {n} = {{}}\n",
        "    {n} = []\n",
        "    {n} = {m}[-1]\n",
        "    {n} = {m}({k}[{d}])\n",
        "    {n} = [len({m}), {k}[{d}]]\n",
        "    {n} = {m}[{k}][{d}]\n",
        "    {n} = {{{m}: {k} for {m} in {n}}}\n",
        "    {n} = (({m} + {k}) * {d})\n",
        "    {n} = {m}[:]\n",
    ],
    "conditions": [
        "    if {n}:\n        return {m}\n",
        "    if not {n}:\n        return\n",
        "    if {n} is None:\n        {n} = {m}\n",
        "    if {n} is not None:\n        {m}.{v}({n})\n",
        "    if {n} in {m}:\n        continue\n",
        "    if {n} not in {m}:\n        {m}[{n}] = {k}\n",
        "    if {n} == {m}:\n        break\n",
        "    if {n} != {d}:\n        return False\n",
        "    if {n} > {d} and {m}:\n        pass\n",
        "    if {n} < {m}:\n        {n} = {m}\n    else:\n        {m} = {n}\n",
        "    if {n}:\n        pass\n    elif {m}:\n        return {k}\n",
        "    if isinstance({n}, {m}):\n        return True\n",
        "    if len({n}) > {d}:\n        return {n}[{d}]\n",
        "    if {n}.{v}({m}):\n        return\n",
        "    if self.{n} is None:\n        return None\n",
        "    if not isinstance({n}, list):\n        {n} = [{n}]\n",
        "    if {n} or {m}:\n        {v}({n})\n",
        "    if {n} >= len({m}):\n        break\n",
    ],
    "loops": [
        "    for {n} in {m}:\n        {v}({n})\n",
        "    for {n} in range({d}):\n        {m}.append({n})\n",
        "    for {n}, {m} in {k}.items():\n        print({n}, {m})\n",
        "    for {n}, {m} in enumerate({k}):\n        {m} = {n}\n",
        "    while True:\n        {n} = {m}.read()\n",
        "    while {n}:\n        {n} = {n}.{m}\n",
        "    while {n} < {m}:\n        {n} += 1\n",
        "    for {n} in self.{m}:\n        yield {n}\n",
        "    for {n} in {m}:\n        if {n} == {k}:\n            break\n",
        "    for {n} in sorted({m}):\n        {k}.append({n})\n",
        "    for {n} in range(len({m})):\n        {k} = {m}[{n}]\n",
        "    while not {n}:\n        {m} = {k}.{v}()\n",
        "    for {n} in {m}:\n        if not {n}:\n            continue\n",
    ],
    "self": [
        "    def __init__(self, {n}):\n        self.{n} = {n}\n",
        "    def __init__(self, {n}, {m}):\n        self.{n} = {n}\n        self.{m} = {m}\n",
        "    def {v}(self):\n        return self.{n}\n",
        "    def {v}(self, {n}):\n        self.{n} = {n}\n        self.{v}()\n",
        "    def {v}(self):\n        if self.{n}:\n            self.{n}.close()\n",
        "    def {v}(self):\n        self.{n} = None\n        self.{m} = []\n",
        "    def {v}(self, {n}):\n        return self.{m}[{n}]\n",
        "    def {v}(self, {n}):\n        return {n} in self.{m}\n",
        "    def {v}(self):\n        self.{n} += 1\n        return self.{n}\n",
        "    def __len__(self):\n        return len(self.{n})\n",
        "    def __repr__(self):\n        return '<%s>' % self.{n}\n",
        "    def __iter__(self):\n        return iter(self.{n})\n",
        "    def __enter__(self):\n        return self\n",
        "    def {v}(self, *args):\n        self.{n}(*args)\n",
        "    def __getitem__(self, {n}):\n        return self.{m}[{n}]\n",
        "    def __eq__(self, other):\n        return self.{n} == other.{n}\n",
    ],
    "exceptions": [
        "    try:\n        {n} = int({m})\n    except ValueError:\n        {n} = {d}\n",
        "    try:\n        import {i}\n    except ImportError:\n        {i} = None\n",
        "    try:\n        {n} = {m}[{k}]\n    except KeyError:\n        pass\n",
        "    try:\n        {n}.{v}()\n    finally:\n        {n}.close()\n",
        "    try:\n        return {n}.{m}\n    except AttributeError:\n        return None\n",
        "    except {e} as {n}:\n        print({n})\n",
        "    except ({e}, KeyError):\n        pass\n",
        "    raise {e}('{n}')\n",
        "    raise {e}('{n} %s' % {m})\n",
        "    if {n} is None:\n        raise {e}('no {m}')\n",
        "    raise TypeError('{n} must be {m}')\n",
        "    assert {n}, '{m}'\n",
        "    assert {n} == {m}\n",
        "    except {e}:\n        raise\n",
        "    if not {n}:\n        raise {e}({m})\n",
    ],
    "definitions": [
        "def {v}({n}):\n    return {n}\n",
        "def {v}({n}, {m}=None):\n    if {m} is None:\n",
        "def {v}_{n}({m}):\n    {k} = {m}.{v}()\n",
        "def {v}(*args, **kwargs):\n    return {n}(*args, **kwargs)\n",
        "def {v}({n}, {m}={d}):\n    pass\n",
        "class {b}{d}(object):\n    pass\n",
        "class {b}{d}({b}):\n    {n} = None\n",
        "class {b}{d}:\n    def __init__(self):\n",
        "    @property\n    def {n}(self):\n        return self._{n}\n",
        "    @staticmethod\n    def {v}({n}):\n        return {n}\n",
        "    @classmethod\n    def {v}(cls, {n}):\n        return cls({n})\n",
        "def main():\n    {n} = {m}()\n",
        "if __name__ == '__main__':\n    main()\n",
        "def {v}({n}):\n    global {m}\n",
        "    def {v}(self, {n}=None, {m}=False):\n        pass\n",
        "def test_{n}(self):\n    self.assertEqual({m}, {k})\n",
        "    def setUp(self):\n        self.{n} = {m}()\n",
    ],
    "imports": [
        "import {i}\nimport {j}\n",
        "from {i} import {n}\n",
        "from {i} import *\n",
        "import {i}, {j}\n",
        "import {i} as {n}\n",
        "import {i}\n\ndef {v}():\n",
        "import {i}\n\nclass {b}{d}:\n",
        "from {i} import {n}, {m}\n",
        "import {i}\n\n__all__ = ['{n}']\n",
        "from . import {n}\n",
        "import {i}.{n}\n",
    ],
    "returns": [
        "    return {n}, {m}\n",
        "    return {n}[{d}]\n",
        "    return {n}({m})\n",
        "    return not {n}\n",
        "    return {n} + {m}\n",
        "    return {n} is not None\n",
        "    return {n} == {m}\n",
        "    return self.{n}.{v}({m})\n",
        "    return '{n}'\n",
        "    return [{n}] + {m}\n",
        "    return {n} and {m}\n",
        "    return None\n",
        "    return True\n",
        "    yield {n}\n",
        "    return {n} % {m}\n",
        "    return {n} if {m} else {k}\n",
        "    return {{'{n}': {m}}}\n",
    ],
    "strings": [
        "    {n} = '{m}'\n",
        '    {n} = "{m}"\n',
        "    {n} = '%s %s' % ({m}, {k})\n",
        "    {n} = '{m}' + {k}\n",
        "    {n} = {m}.split('{k}')\n",
        "    {n} = {m}.strip()\n",
        "    print('{n}: %s' % {m})\n",
        '    """Return the {n} of {m}."""\n',
        "    # {v} the {n} of the {m}\n",
        "    {n} = {m}.replace('{k}', '')\n",
        "    {n} = b'{m}'\n",
        "    {n} = r'{m}'\n",
        "    {n} = ''.join({m})\n",
        "    {n} = {m}.get('{k}', '')\n",
        "    {n}.write('{m}')\n",
        "    {n} = {m}.lower()\n",
        "    if {n}.startswith('{m}'):\n        return\n",
        "    {n} = '{m}'.format({k})\n",
    ],
    "library": [
        "    with {n}:\n        {m}.{v}()\n",
        "    with open({n}) as {m}:\n        {k} = {m}.read()\n",
        "    with self.{n}:\n        self.{m} = None\n",
        "    with self.assertRaises({e}):\n        {n}({m})\n",
        "    {n} = {i}.{v}({m})\n",
        "    {i}.{n} = {m}\n",
        "    {n} = os.path.join({m}, '{k}')\n",
        "    sys.stderr.write({n})\n",
        "    sys.exit({d})\n",
        "    return os.path.exists({n})\n",
        "    {n} = time.time()\n",
        "    {n} = re.compile('{m}')\n",
        "    self.assertTrue({n})\n",
        "    self.assertEqual({n}, {m})\n",
        "    self.assertIn({n}, {m})\n",
    ],
}


def prompts() -> list[dict[str, str]]:
    """Return distinct prompts, `EACH` of every template that has so many, the templates in turn."""
    rng = random.Random(SEED)
    found: list[dict[str, str]] = []
    seen: set[str] = set()
    for _ in range(EACH):
        for source, templates in TEMPLATES.items():
            for number, template in enumerate(templates, 1):
                text = _distinct(rng, template, seen)
                if text is not None:
                    found.append({"text": text, "source": source, "prompt_group": f"{source}-{number}"})
    return found


def _distinct(rng: random.Random, template: str, seen: set[str]) -> str | None:
    """Return a prompt that is not among `seen`, and add it; None where the template has no more."""
    for _ in range(50):
        text = _cut(rng, template)
        if text not in seen and text.strip():
            seen.add(text)
            return text
    return None


def _cut(rng: random.Random, template: str) -> str:
    """Return a template with names, cut at a word or sign in its second half."""
    n, m, k = rng.sample(NAMES, 3)
    i, j = rng.sample(MODULES, 2)
    words = {"n": n, "m": m, "k": k, "i": i, "j": j, "d": str(rng.randrange(10))}
    words |= {"v": rng.choice(VERBS), "b": rng.choice(BASES), "e": rng.choice(ERRORS)}
    pieces = re.findall(r"\s*\w+|[^\w\s]|\s+", template.format_map(words))
    # A space at the end would be a token of its own, which no code ends in.
    return "".join(pieces[: rng.randrange(max(2, len(pieces) // 2), len(pieces) + 1)]).rstrip(" ")


def main(path: Path) -> None:
    """Write the file."""
    path.write_text("".join(json.dumps(row) + "\n" for row in prompts()), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
