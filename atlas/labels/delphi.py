"""Explanations and scores of a delphi run: a file per latent in `explanations/`, and the answers of its judge in `scores/detection/`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from atlas.stages.manifest import MANIFEST

LONGEST_FILE = 1 << 24  # bytes; larger ones are refused
_FILE = re.compile(r"(?:layers?|blocks|h)[._](\d+).*?_?(?:latent|feature)s?[_.]?(\d+)\.txt\Z", re.IGNORECASE)


def explanation_files(folder: Path) -> list[Path]:
    """Return the files of delphi's explainer, one per latent, such as `layers.4.mlp_latent12.txt`.

    Args:
        folder: The folder `explanations` of a run, or the run itself.

    Returns:
        The files; none where the folder is another.
    """
    inner = folder / "explanations"
    return [path for path in sorted((inner if inner.is_dir() else folder).glob("*.txt")) if _FILE.search(path.name)]


def is_explanations(folder: Path) -> bool:
    """Return True where a folder holds explanation files and is not a stats folder."""
    return not (folder / MANIFEST).is_file() and bool(explanation_files(folder))


def score_file(explanation: Path) -> Path:
    """Return the file with the detection answers of an explanation, whether it exists or not."""
    return explanation.parent.parent / "scores" / "detection" / explanation.name


def delphi_rows(folder: Path) -> Iterator[dict[str, Any] | None]:
    """Yield one label per explanation, with its score; None for a file that is too large.

    The score is the balanced accuracy of detection over the answered examples, each of them an activating context or another.
    Delphi draws the contexts of its tests from the lists that it explains, so its scores are too high.

    Args:
        folder: The folder `explanations` of a run, or the run itself.

    Yields:
        Rows of a label file.
    """
    for path in explanation_files(folder):
        named = _FILE.search(path.name)
        assert named is not None  # explanation_files returns matches only
        if path.stat().st_size > LONGEST_FILE:
            yield None
            continue
        value = _read(path)
        said = value if isinstance(value, str) else None
        row = {"layer": named[1], "neuron": named[2], "label": said and said.removeprefix("Explanation:")}
        yield row | {"source": "delphi"} | _score(score_file(path))


def _read(path: Path) -> Any:
    """Return the JSON value of a file, or its text."""
    text = path.read_bytes().decode("utf-8", "replace").strip()
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _score(path: Path) -> dict[str, Any]:
    """Return the balanced accuracy of the answers in a file, as columns of a label; empty where there is none."""
    if not path.is_file() or path.stat().st_size > LONGEST_FILE:
        return {}
    rows = _read(path)
    hits: dict[bool, list[bool]] = {True: [], False: []}
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict) and isinstance(row.get("activating"), bool) and row.get("prediction") is not None:
            hits[row["activating"]].append(bool(row["prediction"]) == row["activating"])
    if not all(hits.values()):
        return {}
    score = sum(sum(found) / len(found) for found in hits.values()) / 2
    return {"score": score, "type": "detection", "num_exemplars": sum(map(len, hits.values()))}
