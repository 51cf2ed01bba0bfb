"""A clustering or labels added to an atlas: the same rows as if it had been built with them."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner

pytest.importorskip("infomap")

from atlas.cli.main import main
from atlas.cluster import ClusterOptions, cluster
from atlas.database import Inputs, build_database, open_atlas, run_checks
from atlas.database.add import add_stage
from atlas.errors import AtlasFileError, StageError, UsageError
from atlas.labels import LabelFile, import_labels

OTHER = ClusterOptions(
    name="other", min_count=2, min_groups=1, weight="mean_abs_weight", trust=False, trials=2, two_level=True
)
TABLES = [
    "neurons",
    "edges",
    "edges_by_target",
    "clusters",
    "clusterings",
    "cluster_members",
    "cluster_memberships",
    "clustering_clusters",
    "labels",
    "circuits",
    "circuit_members",
]


@pytest.fixture
def stages(small_atlas: Path, tmp_path: Path) -> Path:
    """Stats, two clusterings and two sets of labels, and an atlas of the first of each."""
    stats = small_atlas.parent / "stats"
    cluster(stats, tmp_path / "one", ClusterOptions(min_count=2, min_groups=1, trials=2, trust=False))
    cluster(stats, tmp_path / "two", OTHER)
    for name, text in (
        ("first", "1,2,old,output\n2,3,digits,input\n"),
        ("second", "1,2,new one,input\n2,4,words,output\n"),
    ):
        (tmp_path / f"{name}.csv").write_text("layer,neuron,label,kind\n" + text)
        import_labels([LabelFile(tmp_path / f"{name}.csv", source=name)], tmp_path / f"{name}-labels")
    build_database(tmp_path / "a.duckdb", Inputs(stats, [tmp_path / "one"], tmp_path / "first-labels"))
    return tmp_path


def rows(path: Path, table: str) -> list[tuple]:
    with open_atlas(path) as con:
        return con.execute(f"SELECT * FROM {table} ORDER BY ALL").fetchall()


def same(one: Path, other: Path) -> None:
    for table in TABLES:
        assert rows(one, table) == rows(other, table), table
    assert (
        dict(rows(one, "metadata")).items()
        >= {
            key: value
            for key, value in rows(other, "metadata")
            if key.startswith(("total_", "labels_", "labelled_", "clustered_"))
        }.items()
    )
    with open_atlas(one) as con:
        assert [result.describe() for result in run_checks(con) if not result.passed] == []


@pytest.mark.slow
def test_an_added_clustering_is_as_if_built_with_it(stages: Path, small_atlas: Path) -> None:
    stats, labels = small_atlas.parent / "stats", stages / "first-labels"
    for primary in ("infomap", "other"):
        line = add_stage(stages / "a.duckdb", stages / "two", out=stages / "b.duckdb", primary=primary == "other")
        assert line.startswith("added the clustering other: ")
        build_database(stages / "c.duckdb", Inputs(stats, [stages / "one", stages / "two"], labels, primary=primary))
        same(stages / "b.duckdb", stages / "c.duckdb")
        assert rows(stages / "b.duckdb", "sources") != rows(stages / "c.duckdb", "sources")


@pytest.mark.slow
def test_a_clustering_of_the_same_name_is_replaced(stages: Path, small_atlas: Path) -> None:
    cluster(
        small_atlas.parent / "stats", stages / "again", ClusterOptions(min_count=3, min_groups=1, trials=2, trust=False)
    )
    line = add_stage(stages / "a.duckdb", stages / "again")
    assert line.startswith("replaced the clustering infomap: ")
    build_database(
        stages / "c.duckdb", Inputs(small_atlas.parent / "stats", [stages / "again"], stages / "first-labels")
    )
    same(stages / "a.duckdb", stages / "c.duckdb")


def test_added_labels_come_first(stages: Path, small_atlas: Path) -> None:
    run = CliRunner().invoke(main, ["add", str(stages / "a.duckdb"), str(stages / "second-labels")])
    assert run.exit_code == 0, run.output
    assert "added 2 labels, 2 of neurons of the atlas" in run.output
    found = {
        (layer, neuron): (label, source)
        for layer, neuron, label, source in rows(
            stages / "a.duckdb", "(SELECT layer, neuron, label, label_source FROM neurons WHERE label IS NOT NULL)"
        )
    }
    assert found == {(1, 2): ("new one", "second"), (2, 3): ("digits", "first"), (2, 4): ("words", "second")}
    ranked = rows(stages / "a.duckdb", "(SELECT layer, neuron, rank, text FROM labels)")
    assert ranked == [(1, 2, 1, "new one"), (1, 2, 2, "old"), (2, 3, 1, "digits"), (2, 4, 1, "words")]
    both = [LabelFile(stages / f"{name}.csv", source=name) for name in ("second", "first")]
    import_labels(both, stages / "both")
    build_database(stages / "c.duckdb", Inputs(small_atlas.parent / "stats", [stages / "one"], stages / "both"))
    for table in ("neurons", "circuits", "circuit_members"):
        assert rows(stages / "a.duckdb", table) == rows(stages / "c.duckdb", table), table


def test_what_cannot_be_added(stages: Path, small_atlas: Path) -> None:
    before = (stages / "a.duckdb").read_bytes()
    with pytest.raises(StageError, match="is neither a clustering nor labels"):
        add_stage(stages / "a.duckdb", small_atlas.parent / "stats")
    with pytest.raises(UsageError, match="--primary is for a clustering"):
        add_stage(stages / "a.duckdb", stages / "second-labels", primary=True)
    with pytest.raises(AtlasFileError):
        add_stage(stages / "first.csv", stages / "two")
    shutil.copy(stages / "a.duckdb", stages / "damaged.duckdb")
    with duckdb.connect(str(stages / "damaged.duckdb")) as con:
        con.execute("UPDATE edges SET graph_count = count + 1")
    run = CliRunner().invoke(main, ["add", str(stages / "damaged.duckdb"), str(stages / "two")])
    assert run.exit_code == 1
    assert "nothing was written" in run.output
    assert (stages / "a.duckdb").read_bytes() == before
    assert not list(stages.glob(".*.new"))


def test_effects_stay_with_the_clusters_that_were_cut(small_atlas: Path, tmp_path: Path) -> None:
    copy = tmp_path / "a.duckdb"
    shutil.copy(small_atlas, copy)

    def effects() -> list[tuple[str, float]]:
        with open_atlas(copy) as con:
            return con.execute(
                "SELECT circuit_id, effect FROM circuit_effects WHERE clustering IS NOT NULL ORDER BY circuit_id"
            ).fetchall()

    def added(folder: Path, *words: str) -> str:
        done = CliRunner().invoke(main, ["add", str(copy), str(folder), *words])
        assert done.exit_code == 0, done.output
        return done.output

    before = effects()
    assert [name for name, _ in before] == ["1"]
    stats, same = small_atlas.parent / "stats", small_atlas.parent / "clusters"
    added(same)
    assert effects() == before
    cluster(stats, tmp_path / "other", OTHER)
    added(tmp_path / "other", "--primary")
    assert effects() == [("infomap/1", before[0][1])]
    added(same, "--primary")
    assert effects() == before
    two = ClusterOptions(min_count=4, min_groups=1, trials=1, trust=False, name="infomap", two_level=True)
    cluster(stats, tmp_path / "changed", two)
    assert "1 causal effects of the earlier clusters are left out" in added(tmp_path / "changed")
    assert effects() == []
