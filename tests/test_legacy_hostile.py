"""Hostile and odd files of the earlier tool: one line that says what is wrong, bounded memory, nothing written."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import legacy_factories
import pytest
from legacy_factories import Corpus, by_pair, rows_of, written

from atlas.errors import InputError
from atlas.importers.checkpoint import import_checkpoint
from atlas.importers.cluster_assignments import import_assignments
from atlas.importers.edge_stats import import_edge_stats
from atlas.importers.legacy_atlas import import_legacy_atlas
from atlas.importers.projections import import_projections
from atlas.importers.wiring_cache import import_wiring_cache
from atlas.labels import LabelFile, import_labels


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus(graphs=30, layers=4, neurons=12, links=40)


# Hostile files: each importer of JSON says what is wrong in one line, in bounded memory, and writes nothing.

IMPORTERS = {
    "edge-stats": (import_edge_stats, "stats.json", True),
    "wiring-cache": (import_wiring_cache, "layer_0.json", True),
    "assignments": (import_assignments, "assignments.json", False),
    "projections": (import_projections, "projections.json", True),
}
HOSTILE = {
    "nothing": (b"", "no JSON|holds no"),
    "a number": (b"7", "no JSON object"),
    "cut": (b'{"profiles": [{"layer": 1, "neuron": 2', "ends in the middle"),
    "deep": (b'{"a": ' + b"[" * 500_000, "nested too deep|ends in the middle"),
    "wide numbers": (b'{"a": 1' + b"0" * 100_000 + b"}", "holds no|no JSON|list no|assigns no"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "UTF-16"),
    "Latin-1": ('{"é": 1}'.encode("latin-1"), "not UTF-8"),
    "binary": (bytes(range(256)) * 100, "no JSON|not UTF-8"),
    "no neurons": (b'{"a": {"b": 1}, "profiles": [], "assignments": {}}', "holds no|list no|assigns no"),
}


@pytest.mark.parametrize("kind", IMPORTERS)
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_json_is_refused_by_every_importer(tmp_path: Path, kind: str, name: str) -> None:
    run, file, many = IMPORTERS[kind]
    content, said = HOSTILE[name]
    (tmp_path / file).write_bytes(content)
    with pytest.raises(InputError, match=said) as caught:
        run([tmp_path / file] if many else tmp_path / file, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_gzip_bombs_are_refused_in_bounded_memory(tmp_path: Path) -> None:
    """130 MB of one text in 130 kB; a member may have half of that, and the process that reads it less than 1 GB."""
    import subprocess
    import sys
    import zlib

    packer = zlib.compressobj(9, wbits=31)
    data = (
        packer.compress(b'{"profiles": ["')
        + b"".join(packer.compress(b"a" * (1 << 20)) for _ in range(130))
        + packer.flush()
    )
    code = (
        "import resource, sys\nfrom pathlib import Path\nfrom atlas.importers import IMPORTERS\nfrom atlas.errors import InputError\n"
        "limit = 6 << 30\nresource.setrlimit(resource.RLIMIT_AS, (limit, limit))\n"
        "try:\n    IMPORTERS[sys.argv[1]].run([Path(sys.argv[2])], Path(sys.argv[3]))\n"
        "except InputError as error:\n    print(error)\n"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    for importer, name in (
        ("edge-stats", "stats.json.gz"),
        ("wiring-cache", "layer_0.json.gz"),
        ("projections", "p.json.gz"),
    ):
        (tmp_path / name).write_bytes(data)
        done = subprocess.run(
            [sys.executable, "-c", code, importer, tmp_path / name, tmp_path / "out"],
            capture_output=True,
            text=True,
            check=True,
        )
        said, peak = done.stdout.splitlines()
        assert "Mi characters" in said
        assert int(peak) < 1_000_000  # KiB


# Found by reading: each of these once gave a wrong number or a traceback.


def test_file_names_of_an_export_are_no_sql(corpus: Corpus, tmp_path: Path) -> None:
    import_checkpoint(corpus.write(tmp_path / "latest.dat"), tmp_path / "stats")
    folder = tmp_path / "export"
    folder.mkdir()
    for name in ("edges", "neurons"):
        (tmp_path / "stats" / name / "part-00000.parquet").rename(folder / f"{name}.parquet")
    (folder / 'x" AS SELECT 1; CREATE VIEW "y.parquet').write_bytes((folder / "neurons.parquet").read_bytes())
    assert import_legacy_atlas(folder, tmp_path / "again").edges == len(corpus.edges)


def test_an_earlier_atlas_without_edges_keeps_its_neurons(corpus: Corpus, tmp_path: Path) -> None:
    path = legacy_factories.older_atlas(tmp_path / "older.duckdb", corpus)
    with duckdb.connect(str(path)) as con:
        con.execute("DELETE FROM edges")
        con.execute("UPDATE neurons SET appearance_count = 60 WHERE layer = 0 AND neuron = 0")
    summary = import_legacy_atlas(path, tmp_path / "stats")
    assert (summary.edges, summary.neurons, summary.counts_graphs) == (0, len(corpus.neurons), False)
    assert {row["graph_count"] for row in rows_of(tmp_path / "stats", "neurons")} == {None}


def test_a_weight_without_sums_states_nothing_else(corpus: Corpus, tmp_path: Path) -> None:
    path = legacy_factories.older_atlas(tmp_path / "older.duckdb", corpus)
    with duckdb.connect(str(path)) as con:
        con.execute("DELETE FROM edges")
        con.execute(
            "INSERT INTO edges VALUES (0, 0, 1, 1, 1, 0, 0, 0, 0, 0, -0.5, 0.5), (0, 0, 1, 2, 1, NULL, NULL, NULL, NULL, NULL, 0.25, 0.25), (0, 0, 1, 3, 2, 0, 2, 2, -1, 1, NULL, NULL)"
        )
    import_legacy_atlas(path, tmp_path / "stats")
    found = {
        key[3]: (row["weight_sum"], row["weight_abs_sum"], row["weight_max"])
        for key, row in by_pair(rows_of(tmp_path / "stats", "edges")).items()
    }
    assert found == {1: (-0.5, None, None), 2: (0.25, None, None), 3: (0.0, 2.0, 1.0)}


@pytest.mark.slow
def test_an_earlier_atlas_without_clusters_is_rebuilt_without(corpus: Corpus, tmp_path: Path, atlas_command) -> None:
    import os

    path = legacy_factories.older_atlas(tmp_path / "older.duckdb", corpus)
    with duckdb.connect(str(path)) as con:
        con.execute("UPDATE neurons SET cluster_path = NULL")
    done = atlas_command("build", "legacy-atlas", "-o", tmp_path / "new.duckdb", env=os.environ | {"DATA": str(path)})
    assert done.returncode == 0, done.stderr
    assert "min_count" not in done.stderr
    for command in ("info", "tour"):
        done = atlas_command(command, tmp_path / "new.duckdb")
        assert done.returncode == 0, done.stderr
        assert " 0 graphs" not in done.stdout


def test_prompts_of_both_kinds_are_the_graphs(tmp_path: Path) -> None:
    value = {
        "metadata": {"num_domain_prompts": 10, "num_baseline_prompts": 10},
        "profiles": [
            {"layer": 1, "neuron": 2, "appearance_count": 15},
            {"layer": 1, "neuron": 3, "appearance_count": 0},
        ],
    }
    summary = import_edge_stats([written(tmp_path / "s.json", value)], tmp_path / "stats")
    assert (summary.total_graphs, summary.counts_graphs) == (20, True)
    assert [row["graph_count"] for row in rows_of(tmp_path / "stats", "neurons")] == [15, None]


def test_numbers_beyond_every_column_are_no_traceback(tmp_path: Path) -> None:
    big = 2**40
    stats = {
        "profiles": [
            {
                "layer": 1,
                "neuron": 2,
                "top_downstream_targets": [{"target": f"L_{10**20}", "count": 1, "avg_weight": 1.0}],
            }
        ]
    }
    assert import_edge_stats([written(tmp_path / "s.json", stats)], tmp_path / "stats").malformed == {"bad_partner": 1}
    found = import_assignments(
        written(tmp_path / "a.json", {"neuron_assignments": {"L0/N0": 10 * 2**31, "L0/N1": 7.0, "L0/N2": "3"}}),
        tmp_path / "c",
    )
    assert (found.neurons, found.malformed) == (2, {"bad_path": 1})
    value = {
        "L0/N1": {
            "output_projection": {"promotes": [{"token": "\ud83d", "weight": 1.0}]},
            "direct_effect_ratio": {"mean": 0.5, "n_prompts": big},
        }
    }
    assert import_projections([written(tmp_path / "p.json", value)], tmp_path / "p").projections == 1


def test_lists_of_tiny_and_absent_products_and_backups_are_read(tmp_path: Path) -> None:
    items = [
        {"layer": 1, "neuron": 1, "effective_strength": 1e-60},
        {"layer": 1, "neuron": 2, "c_up": 0.5, "c_gate": 0.0, "effective_strength": 0.5},
    ]
    written(tmp_path / "layer_0.json", {"0": {"downstream": {"excitatory": items}}})
    (tmp_path / "layer_0.json.bak").write_text("old")
    summary = import_wiring_cache([tmp_path], tmp_path / "stats")
    assert (summary.connections, summary.malformed) == (1, {"no_strength": 1})


@pytest.mark.parametrize(
    ("row", "labels"),
    [
        ({"modelId": "gpt2", "index": "1", "description": "x"}, None),
        ({"layer": 1, "neuron": 2, "input_label": "reads"}, [("reads", "input")]),
        ({"layer": 1, "neuron": 2, "output_label": "says", "output_type": "lexical"}, [("says", "output")]),
    ],
)
def test_rows_with_some_keys_alone(tmp_path: Path, row: dict, labels: list | None) -> None:
    (tmp_path / "labels.jsonl").write_text(
        json.dumps(row) + "\n" + json.dumps({"layer": 9, "neuron": 9, "label": "plain"}) + "\n"
    )
    result = import_labels([LabelFile(tmp_path / "labels.jsonl")], tmp_path / "labels")[0]
    assert result.malformed.total() == (labels is None)
    found = [(r["text"], r["kind"]) for r in rows_of(tmp_path / "labels", "labels") if r["layer"] == 1]
    assert found == (labels or [])
