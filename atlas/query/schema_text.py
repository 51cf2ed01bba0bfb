"""Reference of all tables, views and macros of an atlas in Markdown, from the comments in the file."""

from __future__ import annotations

from collections import defaultdict

from atlas.query.connection import AtlasFile

_HEADS = {"table": "Tables", "view": "Views", "macro": "Macros"}


def schema_text(atlas: AtlasFile) -> str:
    """Describe the schema of an atlas.

    Args:
        atlas: An open atlas.

    Returns:
        Markdown: tables, views and macros by name, each with its columns or its forms. It is the same for every atlas of this schema.
    """
    columns: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for name, column, kind, comment in atlas.sql(
        "SELECT table_name, column_name, data_type, comment FROM duckdb_columns() WHERE NOT internal ORDER BY table_name, column_index"
    ).fetchall():
        columns[name].append((column, kind, comment or ""))
    forms: dict[str, list[str]] = defaultdict(list)
    for name, parameters in atlas.sql(
        "SELECT function_name, parameters FROM duckdb_functions() WHERE NOT internal AND function_type LIKE '%macro%' ORDER BY function_name, len(parameters), parameters"
    ).fetchall():
        forms[name].append(f"`{name}({', '.join(parameters)})`")
    version = dict(atlas.sql("SELECT key, value FROM metadata").fetchall()).get("atlas_schema")
    lines = [
        "# Schema of an atlas",
        "",
        f"Schema {version}, as `atlas schema FILE --all` prints it. In an atlas, `FROM help` lists the same with examples.",
    ]
    listed = atlas.sql("SELECT kind, name, description FROM help ORDER BY name").fetchall()
    for kind, head in _HEADS.items():
        lines += ["", f"## {head}"]
        for name, description in [row[1:] for row in listed if row[0] == kind]:
            lines += ["", f"### {name}", "", _cell(description)]
            if kind == "macro":
                lines += ["", "Forms: " + ", ".join(forms[name])]
            else:
                lines += ["", "| column | type | meaning |", "|---|---|---|"]
                lines += [
                    f"| `{column}` | {_cell(type_)} | {_cell(comment)} |" for column, type_, comment in columns[name]
                ]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
