"""An atlas as tools of the Model Context Protocol, asked by the client of the same package over pipes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

import atlas
from atlas.errors import QueryError, UsageError
from atlas.query.catalogue import catalogue
from atlas.web.tools import MOST_ROWS, call, tools

mcp = pytest.importorskip("mcp")
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def small(small_atlas: Path):
    with atlas.open(small_atlas) as opened:
        yield opened


def over_pipes(path: Path, *requests: tuple[str, dict[str, Any]]) -> tuple[Any, list[Any]]:
    """Start `atlas mcp`, list its tools, and call some."""

    async def run() -> tuple[Any, list[Any]]:
        server = mcp.StdioServerParameters(command=sys.executable, args=["-m", "atlas", "mcp", str(path)])
        async with mcp.Client(server) as client:
            return await client.list_tools(), [await client.call_tool(name, values) for name, values in requests]

    return anyio.run(run)


def test_a_client_lists_and_calls_the_tools(small: Any, small_atlas: Path) -> None:
    listed, results = over_pipes(
        small_atlas,
        ("upstream", {"neuron": "L1/N2", "limit": 2}),
        ("strongest_paths", {"starts": ["L0/N0", "L0/N1"], "ends": "layer = 2", "max_hops": 2}),
        ("search", {"words": "sure_thing"}),
        ("sql", {"sql": "SELECT count(*) AS n FROM edges"}),
        ("sql", {"sql": "DROP TABLE edges"}),
        ("upstream", {"neuron": "nobody"}),
    )
    assert {tool.name for tool in listed.tools} == {*catalogue(), "sql", "columns", "set_sql"}
    assert all(tool.annotations.read_only_hint and tool.description for tool in listed.tools)
    texts = [result.content[0].text for result in results]
    assert [result.is_error for result in results] == [False, False, False, False, True, True]
    found = json.loads(texts[0])
    expected = small.upstream("L1/N2", limit=2)
    assert found["columns"] == list(expected.columns)
    assert found["rows"] == json.loads(json.dumps([list(row) for row in expected.fetchall()]))
    assert found["truncated"] is True
    assert len(json.loads(texts[1])["rows"]) == len(
        small.strongest_paths(["L0/N0", "L0/N1"], "layer = 2", max_hops=2, limit=50).fetchall()
    )
    assert json.loads(texts[3])["rows"] == [[small.sql("SELECT count(*) FROM edges").fetchall()[0][0]]]
    assert "SELECT" in texts[4]
    assert "nobody" in texts[5]


@pytest.mark.parametrize("tool", tools(), ids=lambda tool: tool["name"])
def test_every_tool_takes_what_its_schema_says(tool: dict[str, Any], small: Any) -> None:
    schema = tool["input_schema"]
    assert set(schema["required"]) <= set(schema["properties"])
    named = {"neuron": "L1/N2", "from_neuron": "L0/N1", "to_neuron": "L1/N2", "unit": "L1/N2", "sql": "SELECT 1", "name": "edges", "chosen": "layer = 1", "starts": "layer = 0", "ends": "layer = 1"}  # fmt: skip
    values = {"integer": 1, "number": 0.5, "boolean": True, "string": "1"}
    given = {
        key: one.get("enum", [named.get(key, values.get(one.get("type"), "layer = 1"))])[0]
        for key, one in schema["properties"].items()
        if key in schema["required"]
    }
    found = json.loads(call(small, tool["name"], given | ({"limit": 3} if "limit" in schema["properties"] else {})))
    if tool["name"] != "set_sql":
        assert len(found["rows"]) <= 3 or tool["name"] == "columns"
        assert found["columns"]


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("nothing", {}, "no tool is called"),
        ("upstream", {}, "needs neuron"),
        ("upstream", {"neuron": "L1/N2", "limit": 0}, "limit is 1 to"),
        ("upstream", {"neuron": "L1/N2", "limit": MOST_ROWS + 1}, "limit is 1 to"),
        ("upstream", {"neuron": "L1/N2", "surprise": 1}, "no parameter surprise"),
        ("sql", {"text": "SELECT 1"}, "takes sql as text"),
        ("sql", {"sql": "SELECT * FROM read_csv('/etc/passwd')"}, "."),
        ("sql", {"sql": "SET memory_limit = '1TB'"}, "."),
        ("find", {"chosen": "where('1=1); DROP TABLE edges; --')"}, "."),
        ("reach", {"chosen": "layer = 1", "max_hops": 1000}, "max_hops is 1 to 6"),
    ],
)
def test_wrong_calls_are_errors(small: Any, name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((UsageError, QueryError), match=message):
        call(small, name, arguments)
    assert small.sql("SELECT count(*) > 0 FROM edges").fetchall() == [(True,)]


def test_a_long_query_is_stopped(small: Any) -> None:
    endless = "SELECT count(*) FROM range(100000000) AS a, range(100000000) AS b WHERE a.range * b.range = 7"
    with pytest.raises(QueryError, match="longer than 0.2 s"):
        call(small, "sql", {"sql": endless}, timeout=0.2)
    assert json.loads(call(small, "sql", {"sql": "SELECT 1"}))["rows"] == [[1]]
