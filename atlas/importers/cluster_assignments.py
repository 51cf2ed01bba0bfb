"""Import of cluster assignments to a clusters folder.

Inputs are `{"assignments": {"L24/N5326": {"path": "1.5.3", "flow": ...}}}`, its inner object alone,
`{"neuron_assignments": {"L0/N0": 7}}`, with keys with or without the N; the supernodes of a graph file
(`qParams.supernodes`); or the clusters of a legacy atlas. Paths of Infomap end in the rank of the leaf inside its
module. Where that number was kept, it is removed, since it is not a cluster.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from atlas.errors import IdError, InputError, UsageError
from atlas.ids import NeuronId
from atlas.importers.legacy_database import open_legacy
from atlas.importers.summary import ImportSummary
from atlas.importers.values import Progress, number, small, text, whole
from atlas.io.json_stream import members
from atlas.stages.clusters_writer import ClusterPath, Clusters, write_clusters

_WRAPPERS = ("assignments", "neuron_assignments", "stats", "qParams")
LEAF_RANKS = ("auto", "strip", "keep")
_DEEPEST = 64


@dataclass
class AssignmentsSummary(ImportSummary):
    """Counts of neurons and clusters; `unassigned` neurons are listed without a cluster."""

    name: str
    neurons: int = 0
    clusters: int = 0
    top_clusters: int = 0
    levels: int = 0
    stripped: bool = False  # True where paths ended in the rank of the leaf
    unassigned: int = 0

    def notes(self) -> list[str]:
        """Return a note where the rank of the leaf was removed."""
        note = "no two neurons share a path, so paths end in the rank of a leaf: that number was taken off"
        return [note] if self.stripped else []


def import_assignments(
    given: Path,
    out: Path,
    *,
    name: str | None = None,
    method: str = "infomap",
    leaf_ranks: str = "auto",
    progress: Progress = lambda *_: None,
) -> AssignmentsSummary:
    """Write the clusters folder of an assignments file or a legacy atlas (.duckdb).

    `leaf_ranks`: strip the last number of every path, keep it, or (auto) strip it where no two neurons share a path.
    Raises `InputError`, `UsageError`, `OutputError`.
    """
    if leaf_ranks not in LEAF_RANKS:
        raise UsageError(f"--leaf-ranks must be {', '.join(LEAF_RANKS)}, not {leaf_ranks!r}")
    summary = AssignmentsSummary(name or method)
    facts: dict[str, Any] = {}
    found: dict[int, tuple[ClusterPath, float | None]] = {}
    progress("reading assignments", 0, 0)
    for key, value in _entries(given, facts):
        try:
            neuron = NeuronId.parse(str(key)).packed
        except IdError:
            summary.malformed["bad_neuron"] += 1
            continue
        path, flow = _place(value)
        if path is None:
            summary.malformed["bad_path"] += 1
        elif not path:
            summary.unassigned += 1
        else:
            found[neuron] = path, flow
    if not found:
        raise InputError(
            f"{given} assigns no neuron to a cluster ({_counted(summary)}); give keys like L24/N5326 with a path or a number"
        )
    neurons = np.array(sorted(found), np.int64)
    paths = [found[neuron][0] for neuron in neurons.tolist()]
    summary.stripped = leaf_ranks == "strip" or (leaf_ranks == "auto" and _are_leaf_ranks(paths))
    if summary.stripped:
        paths = [path[:-1] or path for path in paths]
    flows = [found[neuron][1] for neuron in neurons.tolist()]
    options = {"imported_from": given.name, "leaf_ranks_stripped": summary.stripped}
    codelength = number(facts.get("codelength")) if isinstance(facts, dict) else None
    clustering = {
        "name": summary.name,
        "method": method,
        "options": json.dumps(options, sort_keys=True),
        "codelength": codelength,
    }
    manifest = {"name": summary.name, "options": options}
    given_clusters = Clusters(neurons, paths, flows, facts.get("names") or {})
    counts = write_clusters(out, given_clusters, clustering, manifest)
    summary.neurons, summary.clusters = counts["neuron_count"], counts["cluster_count"]
    summary.top_clusters, summary.levels = counts["top_cluster_count"], counts["max_level"]
    return summary


def _entries(given: Path, facts: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Yield key and value of every neuron; facts about the file go to `facts`."""
    if given.suffix == ".duckdb":
        yield from _legacy_entries(given)
        return
    if not given.exists():
        raise InputError(f"{given} does not exist; give an assignments file")
    for member in members(given, _WRAPPERS):
        if member.container == "stats":
            facts[str(member.key)] = member.value
        elif member.container == "qParams":
            if member.key == "supernodes":
                yield from _supernodes(member.value, facts)
        elif member.container is not None or _is_neuron(member.key):
            yield member.key, member.value


def _supernodes(value: object, facts: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield node and group number of the supernodes of a graph, `[["name", "15_4494_4", ...], ...]`.

    A feature counts once; the names of the groups go to `facts`.
    """
    seen: set[str] = set()
    for place, group in enumerate(value if isinstance(value, list) else (), 1):
        if not isinstance(group, list) or not group:
            continue
        facts.setdefault("names", {})[place,] = text(group[0])
        for node in group[1:]:
            unit = str(node).rpartition("_")[0]
            if unit not in seen:
                seen.add(unit)
                yield str(node), place


def has_clusters(given: Path) -> bool:
    """Return True where there are clusters to import; a legacy atlas may hold none, an assignments file holds some."""
    if given.suffix != ".duckdb" or not given.is_file():
        return not given.is_dir()
    with open_legacy(given) as legacy:
        known = "cluster_path" in legacy.columns.get("neurons", ())
        return known and bool(legacy.answer("SELECT count(*) FROM neurons WHERE cluster_path IS NOT NULL"))


def _is_neuron(key: str | None) -> bool:
    try:
        NeuronId.parse(key or "")
    except IdError:
        return False
    return True


def _legacy_entries(given: Path) -> Iterator[tuple[str, Any]]:
    with open_legacy(given) as legacy:
        if not {"layer", "neuron", "cluster_path"} <= set(legacy.columns.get("neurons", ())):
            raise InputError(f"{given} holds no clusters: its neurons need layer, neuron and cluster_path")
        for batch in legacy.batches("neurons", ("layer", "neuron", "cluster_path", "infomap_flow")):
            for row in batch.to_pylist():
                if row["cluster_path"]:
                    yield (
                        f"{row['layer']}_{row['neuron']}",
                        {"path": row["cluster_path"], "flow": row.get("infomap_flow")},
                    )


def _place(value: object) -> tuple[ClusterPath | None, float | None]:
    """Return path and flow. The path is empty where the neuron is in no cluster, None where it cannot be read."""
    if not isinstance(value, dict):
        single = small(value)
        return (None if single is None else (single,) if single >= 0 else ()), None
    flow = number(value.get("flow"))
    path = value.get("path")
    if isinstance(path, str) and path:
        parts = path.split(".")
    else:
        parts = []
        for key in ("top", "sub", "subsub"):
            if value.get(key) is None:
                break
            parts.append(str(value[key]))
        if parts[:1] == ["-1"]:
            return (), flow
    numbers = [whole(part) for part in parts]
    if len(numbers) > _DEEPEST or any(part is None or not 0 <= part < 2**31 for part in numbers):
        return None, None
    return tuple(part for part in numbers if part is not None), flow


def _are_leaf_ranks(paths: list[ClusterPath]) -> bool:
    """Return True where no two neurons share a path, so that the last number of every path is the rank of a leaf."""
    return len(paths) > 1 and min(map(len, paths)) > 1 and len(set(paths)) == len(paths)


def _counted(summary: AssignmentsSummary) -> str:
    counts = summary.malformed + Counter(unassigned=summary.unassigned)
    return ", ".join(f"{count} {word}" for word, count in counts.items()) or "no entry"
