"""Server of the Model Context Protocol: the queries of an atlas as read-only tools for language models."""

from __future__ import annotations

from typing import Any

import anyio
import mcp_types as types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

from atlas._version import __version__
from atlas.errors import AtlasError
from atlas.query.client import Atlas
from atlas.web.tools import call, tools

_INSTRUCTIONS = (
    "Questions about the circuits of a language model, from one atlas file. Neurons are named like L24/N5326; results carry these ids, so that "
    'they can be given to the next tool. Sets of neurons are expressions such as "label ~ capital && layer >= 10". Start with search, hubs or '
    "circuits; sql runs any SELECT, and FROM help lists what there is. Every statistic has its denominator in the comment of its column (columns)."
)


def make_server(atlas: Atlas, *, timeout: float = 30.0) -> Server[Any]:
    """Return a server of an atlas.

    Args:
        atlas: An open atlas.
        timeout: Seconds after which a query is stopped.

    Returns:
        A server without a transport.
    """
    listed = [
        types.Tool(
            name=tool["name"],
            description=tool["description"],
            input_schema=tool["input_schema"],
            annotations=types.ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False),
        )
        for tool in tools()
    ]

    async def list_tools(_context: Any, _parameters: Any) -> types.ListToolsResult:
        return types.ListToolsResult(tools=listed)

    async def call_tool(_context: Any, parameters: types.CallToolRequestParams) -> types.CallToolResult:
        def run() -> str:
            return call(atlas, parameters.name, parameters.arguments or {}, timeout=timeout)

        try:
            text, failed = await anyio.to_thread.run_sync(run), False
        except AtlasError as error:
            text, failed = str(error), True
        return types.CallToolResult(content=[types.TextContent(type="text", text=text)], is_error=failed)

    return Server(
        "circuit-atlas",
        version=__version__,
        title=f"Circuit Atlas: {atlas.path.name}",
        instructions=_INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def run_stdio(atlas: Atlas, *, timeout: float = 30.0) -> None:
    """Serve an atlas on standard input and output until the client ends.

    Args:
        atlas: An open atlas.
        timeout: Seconds after which a query is stopped.
    """
    server = make_server(atlas, timeout=timeout)

    async def serve() -> None:
        async with stdio_server() as (read, write):
            await server.run(read, write, server.create_initialization_options())

    anyio.run(serve)
