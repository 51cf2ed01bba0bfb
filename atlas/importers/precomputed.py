"""Precomputed files of a pipeline of sparse autoencoders: statistics that are compared with the activations, and influences on tokens.

Statistics of other tools are never taken over: some are of part of the data, and some were made up where they were missing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from atlas.errors import InputError
from atlas.importers.plain_pickle import read_plain

_INFLUENCE = re.compile(r"([+-])(\d+)_tok\Z")


def compared(path: Path, active: Mapping[int, int], tokens: Mapping[int, int]) -> list[str]:
    """Compare the statistics beside a store of samples with its activations.

    Args:
        path: Folder of the store.
        active: Number of active samples by unit.
        tokens: Number of samples by token.

    Returns:
        One sentence per file that is there.

    Raises:
        InputError: A file is damaged, or holds objects.
    """
    checks: dict[str, Callable[[Path], tuple[str, list[int], int]]] = {
        "feature_stats.pkl": lambda file: _units(file, active, lambda row: row.get("n_non_zero")),
        "histograms.pkl": lambda file: _units(file, active, lambda row: sum(row.get("counts") or ())),
        "idf.parquet": lambda file: _tokens(file, tokens),
    }
    said = []
    for name, check in checks.items():
        places = (path / name, path / "precomputed" / name)
        file = next((place for place in places if place.is_file()), None)
        if file is not None:
            what, wrong, count = check(file)
            told = ", ".join(map(str, wrong[:8])) + (", ..." if len(wrong) > 8 else "")
            said.append(
                f"{name}: {len(wrong):,} of {count:,} {what} have another number of samples than the activations ({told})"
                if wrong
                else f"{name}: the numbers of samples of {count:,} {what} agree with the activations"
            )
    return said


def _units(
    file: Path, active: Mapping[int, int], stated: Callable[[Mapping[str, Any]], Any]
) -> tuple[str, list[int], int]:
    found: Any = read_plain(file)
    if not isinstance(found, dict) or not all(isinstance(row, dict) for row in found.values()):
        raise InputError(f"{file} holds no statistics by feature")
    try:
        wrong = sorted(int(unit) for unit, row in found.items() if stated(row) != active.get(int(unit), 0))
    except (TypeError, ValueError) as error:
        raise InputError(f"{file} holds no statistics by feature: {error}") from error
    return "features", wrong, len(found)


def _tokens(file: Path, tokens: Mapping[int, int]) -> tuple[str, list[int], int]:
    try:
        table = pq.read_table(file, columns=["ability_input_tokens", "doc_freq"]).to_pylist()
    except (OSError, pa.ArrowException, KeyError) as error:
        raise InputError(f"{file} cannot be read: {' '.join(str(error).split())[:200]}") from error
    wrong = sorted(
        row["ability_input_tokens"] for row in table if row["doc_freq"] != tokens.get(row["ability_input_tokens"], 0)
    )
    return "tokens", wrong, len(table)


def influences(file: Path) -> Iterator[tuple[int, str, list[dict[str, Any]]]]:
    """Yield the feature, the direction and the tokens of a file of influences, which has one wide row per feature.

    Args:
        file: influences.parquet.

    Yields:
        Number of the feature, `promotes` or `suppresses`, and rows of `token` and `weight`.

    Raises:
        InputError: The file is damaged or of another kind.
    """
    try:
        table = pq.read_table(file)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{file} cannot be read as Parquet: {' '.join(str(error).split())[:200]}") from error
    columns = [(match[1], int(match[2])) for name in table.column_names if (match := _INFLUENCE.match(name))]
    if "feature_id" not in table.column_names or not columns:
        raise InputError(f"{file} holds no influences: it has the columns {', '.join(table.column_names)[:200]}")
    for row in table.to_pylist():
        for sign, direction in (("+", "promotes"), ("-", "suppresses")):
            ranks = sorted(rank for side, rank in columns if side == sign)
            items = [{"token": row[f"{sign}{rank}_tok"], "weight": row.get(f"{sign}{rank}_val")} for rank in ranks]
            yield int(row["feature_id"]), direction, [item for item in items if item["token"]]
