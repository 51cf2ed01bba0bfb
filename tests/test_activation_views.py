"""Views and macros over activations against slow, obvious twins in Python over the plain tables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from atlas.database import open_atlas


@pytest.fixture
def con(small_atlas: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with open_atlas(small_atlas) as opened:
        yield opened


def rows(con: duckdb.DuckDBPyConnection, sql: str, unit_type: str = "feature") -> list[dict[str, Any]]:
    """Rows of a source; of tables with a type of units, those of one type."""
    return [row for row in con.sql(f"FROM {sql}").pl().to_dicts() if row.get("unit_type", unit_type) == unit_type]


UNIT = (1, 2)


def test_the_store_is_in_the_atlas(con: duckdb.DuckDBPyConnection) -> None:
    facts = dict(con.sql("SELECT key, value FROM metadata").fetchall())
    assert (facts["activation_unit_type"], facts["activation_hook"], facts["activations"]) == (
        "feature",
        "sae",
        "embed",
    )
    assert int(facts["total_contexts"]) == len(rows(con, "contexts")) == 12
    stats = rows(con, "activation_stats")
    assert sum(row["active_count"] for row in stats) == len(rows(con, "activations"))
    assert {row["token_count"] for row in stats} == {12 * 5}


def test_activations_of_a_unit(con: duckdb.DuckDBPyConnection) -> None:
    contexts = {row["context_id"]: row for row in rows(con, "contexts")}
    words = {row["token_id"]: row["token"] for row in rows(con, "vocabulary")}
    expected = [
        {
            "value": row["value"],
            "token": words[contexts[row["context_id"]]["token_ids"][row["position"]]],
            "context_id": row["context_id"],
            "position": row["position"],
            "document": f"doc-{row['context_id']}",
            "source": "made",
        }
        for row in rows(con, "activations")
        if (row["layer"], row["unit"]) == UNIT
    ]
    assert rows(con, "activations_of(1, 2)") == expected
    assert len(expected) > 3


def test_tokens_of_lists_the_tokens_of_a_unit(con: duckdb.DuckDBPyConnection) -> None:
    mine = [row for row in rows(con, "activation_tokens") if (row["layer"], row["unit"]) == UNIT]
    found = rows(con, "tokens_of(1, 2)")
    assert len(found) == len(mine) > 3
    assert [row["relation"] for row in found] == sorted(
        (row["relation"] for row in mine), key=["same", "previous", "next"].index
    )
    by_key = {(row["relation"], row["token"]): row for row in mine}
    for row in found:
        expected = by_key[row["relation"], row["token"]]
        assert all(row[name] == expected[name] for name in row)
    same = [row["mass_share"] for row in found if row["relation"] == "same"]
    assert same == sorted(same, reverse=True)


def test_fires_on_lists_the_units_of_a_token(con: duckdb.DuckDBPyConnection) -> None:
    kept = [row for row in rows(con, "activation_tokens") if row["relation"] in ("same", "in")]
    labels = {(row["unit_type"], row["layer"], row["neuron"]): row["label"] for row in rows(con, "neurons")}
    texts = {row["token"] for row in kept}
    for text in texts:
        mine = [row for row in kept if row["token"] == text]
        found = rows(con, f"fires_on('{text}')")
        assert found == rows(con, f"fires_on('{text.strip()}')")
        shares = [(1.0 if row["precision"] is None else row["precision"]) * row["recall"] for row in found]
        assert shares == sorted(shares, reverse=True)
        names = ("unit_type", "layer", "unit", "token", "precision", "recall", "lift", "mass_share", "active_count")
        assert sorted([tuple(row[n] for n in names) for row in found], key=str) == sorted(
            [tuple(row[n] for n in names) for row in mine], key=str
        )
        for row in found:
            expected = labels.get(("neuron", row["layer"], row["unit"])) if row["unit_type"] == "neuron" else None
            assert row["label"] == expected
    assert len(texts) > 3
    assert not rows(con, "fires_on('no such token')")


def test_examples_of_a_unit_have_their_words(con: duckdb.DuckDBPyConnection) -> None:
    contexts = {row["context_id"]: row["token_ids"] for row in rows(con, "contexts")}
    found = rows(con, "examples_of(1, 2)")
    mine = [row for row in rows(con, "activation_examples") if (row["layer"], row["unit"]) == UNIT]
    assert len(found) == len(mine)
    assert [row["stratum"] for row in found][:2] == ["top", "top"]
    for row in found:
        ids, at = contexts[row["context_id"]], row["position"]
        assert row["token"] == f" t{ids[at]}"
        assert (row["before"] or "") == "".join(f" t{token}" for token in ids[max(at - 10, 0) : at])
        assert (row["behind"] or "") == "".join(f" t{token}" for token in ids[at + 1 : at + 5])


def test_coactive_units_come_with_their_edge(con: duckdb.DuckDBPyConnection) -> None:
    edges = {
        (row["src_layer"], row["src_neuron"], row["tgt_layer"], row["tgt_neuron"]): row["graph_count"]
        for row in rows(con, "edges")
    }
    labels = {(row["layer"], row["neuron"]): row["label"] for row in rows(con, "neurons")}
    seen = 0
    for layer, neuron in labels:
        mine = [row for row in rows(con, "coactivation") if (row["layer"], row["unit"]) == (layer, neuron)]
        found = rows(con, f"coactive({layer}, {neuron})")
        names = ("other_unit_type", "other_layer", "other_unit", "jaccard")
        assert [tuple(row[name] for name in names) for row in found] == sorted(
            (tuple(row[name] for name in names) for row in mine), key=lambda row: (-row[3], *row[:3])
        )
        for row in found:
            other = (row["other_layer"], row["other_unit"])
            if row["other_unit_type"] == "neuron":  # of another store; the neurons of this atlas are features
                assert (row["label"], row["edge_graph_count"]) == (None, None)
                continue
            assert row["label"] == labels.get(other)
            pair = (layer, neuron, *other) if layer <= other[0] else (*other, layer, neuron)
            assert row["edge_graph_count"] == edges.get(pair)
            seen += 1
    assert seen > 10


def test_activity_puts_density_beside_graphs(con: duckdb.DuckDBPyConnection) -> None:
    neurons = {(row["layer"], row["neuron"]): row for row in rows(con, "neurons")}
    stats = {(row["layer"], row["unit"]): row for row in rows(con, "activation_stats")}
    graphs = len(rows(con, "graphs"))
    found = {(row["layer"], row["unit"]): row for row in rows(con, "activity")}
    assert found.keys() == stats.keys()
    for key, row in found.items():
        assert row["density"] == stats[key]["density"]
        assert row["context_share"] == stats[key]["active_context_count"] / 12
        known = neurons.get(key)
        assert row["graph_count"] == (known and known["graph_count"])
        assert row["graph_share"] == (known and known["graph_count"] / graphs)


def test_circuit_tokens_are_means_over_members(con: duckdb.DuckDBPyConnection) -> None:
    members = defaultdict(set)
    for row in rows(con, "neurons"):
        parts = (row["cluster_path"] or "").split(".")
        for level in range(1, len(parts) + 1):
            if row["cluster_path"]:
                members[".".join(parts[:level])].add((row["layer"], row["neuron"]))
    tokens = [row for row in rows(con, "activation_tokens") if row["relation"] == "same"]
    found = {(row["cluster_path"], row["token_id"]): row for row in rows(con, "circuit_tokens")}
    expected: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for path, units in members.items():
        for row in tokens:
            if (row["layer"], row["unit"]) in units:
                expected[path, row["token_id"]].append(row)
    assert found.keys() == expected.keys()
    assert len(found) > 5
    for (path, token), mine in expected.items():
        row, mass = found[path, token], sum(one["mass_share"] for one in mine)
        assert (row["neuron_count"], row["size"]) == (len(mine), len(members[path]))
        assert row["mean_mass_share"] == pytest.approx(mass / len(members[path]), rel=1e-6)
        precision = sum(one["mass_share"] * one["precision"] for one in mine) / mass
        assert row["mean_precision"] == pytest.approx(precision, rel=1e-6)


def test_two_stores_share_their_contexts(con: duckdb.DuckDBPyConnection) -> None:
    by_type = {kind: rows(con, "activations", kind) for kind in ("feature", "neuron")}
    assert all(len(found) > 100 for found in by_type.values())
    assert len(rows(con, "contexts")) == 12
    for kind, cells in by_type.items():
        mine = [row["value"] for row in cells if (row["layer"], row["unit"]) == UNIT]
        assert [row["value"] for row in rows(con, f"activations_of(1, 2, of_type := '{kind}')")] == mine
    assert rows(con, "activations_of(1, 2)") == rows(con, "activations_of(1, 2, of_type := 'feature')")
    partners = {row["other_unit_type"] for row in rows(con, "coactivation")}
    assert partners == {"feature", "neuron"}
    assert {row["other_unit_type"] for row in rows(con, "coactivation", "neuron")} == {"neuron"}


def test_coactive_neurons_of_features_are_those_of_the_other_store(con: duckdb.DuckDBPyConnection) -> None:
    places = {
        kind: {
            (row["layer"], row["unit"]): {
                (c["context_id"], c["position"])
                for c in rows(con, "activations", kind)
                if (c["layer"], c["unit"]) == (row["layer"], row["unit"])
            }
            for row in rows(con, "activation_stats", kind)
        }
        for kind in ("feature", "neuron")
    }
    found = [row for row in rows(con, "coactivation") if row["other_unit_type"] == "neuron"]
    for row in found:
        mine = places["feature"][row["layer"], row["unit"]]
        theirs = places["neuron"][row["other_layer"], row["other_unit"]]
        assert row["joint_count"] == len(mine & theirs) >= 2
        assert row["other_count"] == len(theirs)
        assert row["jaccard"] == pytest.approx(len(mine & theirs) / len(mine | theirs))
    possible = [
        1 for mine in places["feature"].values() if any(len(mine & other) >= 2 for other in places["neuron"].values())
    ]
    assert len({(row["layer"], row["unit"]) for row in found}) == len(possible) > 3


def test_similar_units_by_four_relations(con: duckdb.DuckDBPyConnection) -> None:
    found = defaultdict(list)
    for row in rows(con, "similar_to(1, 2)"):
        found[row["similarity_kind"]].append(row)
    for kind in ("decoder_cosine", "encoder_cosine"):
        expected = [
            row
            for row in rows(con, "similar_units")
            if (row["layer"], row["unit"], row["similarity_kind"]) == (*UNIT, kind)
        ]
        assert [row["other_unit"] for row in found[kind]] == [row["other_unit"] for row in expected]
        assert len(expected) == 2
    shares: dict[tuple[int, int], dict[int, float]] = defaultdict(dict)
    for row in rows(con, "activation_tokens"):
        if row["relation"] == "same":
            shares[row["layer"], row["unit"]][row["token_id"]] = row["mass_share"]
    overlap = {
        other: sum(min(share, tokens[token]) for token, share in shares[UNIT].items() if token in tokens)
        for other, tokens in shares.items()
        if other != UNIT and tokens.keys() & shares[UNIT].keys()
    }
    best = sorted(overlap.items(), key=lambda item: (-item[1], item[0]))[:10]
    assert [((row["other_layer"], row["other_unit"]), row["similarity"]) for row in found["token_overlap"]] == [
        (other, pytest.approx(value)) for other, value in best
    ]
    partners = [
        row
        for row in rows(con, "coactivation")
        if (row["layer"], row["unit"]) == UNIT and row["other_unit_type"] == "feature"
    ]
    assert [row["similarity"] for row in found["coactivation_jaccard"]] == [row["jaccard"] for row in partners]


def test_neurons_of_a_feature_are_of_three_relations(con: duckdb.DuckDBPyConnection) -> None:
    found = [
        (r["relation"], r["neuron_layer"], r["neuron"], r["strength"]) for r in rows(con, "feature_neurons_of(1, 2)")
    ]
    weights = [
        (row["relation"], row["neuron_layer"], row["neuron"], row["cosine"])
        for row in rows(con, "feature_neurons")
        if (row["layer"], row["unit"]) == UNIT
    ]
    active = [
        ("active with", row["other_layer"], row["other_unit"], row["jaccard"])
        for row in rows(con, "coactivation")
        if (row["layer"], row["unit"], row["other_unit_type"]) == (*UNIT, "neuron")
    ]
    assert sorted(found) == sorted(weights + active)
    assert len(weights) == 4


@pytest.mark.slow
def test_activations_beside_the_atlas(small_atlas: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import atlas
    from atlas.database import Inputs, StoreInputs, build_database, inputs

    folder = small_atlas.parent
    stores = [
        StoreInputs(folder / "store", folder / "measures", folder / "features"),
        StoreInputs(folder / "neuron_store", folder / "neuron_measures"),
    ]
    with monkeypatch.context() as patch:
        patch.setattr(inputs, "EMBEDDED_ROWS", 100)
        build_database(tmp_path / "big.duckdb", Inputs(folder / "stats", stores=stores))
    assert sorted(path.name for path in tmp_path.glob("*.duckdb")) == ["big.activations.duckdb", "big.duckdb"]
    with atlas.open(small_atlas) as small, atlas.open(tmp_path / "big.duckdb") as big:
        assert dict(big.metadata().fetchall())["activations"] == "beside"
        for unit in ("L1/F2", "L2/N3"):
            expected = small.activations(unit).fetchall()
            assert big.activations(unit).fetchall() == expected
            assert len(expected) > 2
        sql = "FROM activations ORDER BY ALL"
        assert big.sql(sql).fetchall() == small.sql(sql).fetchall()
    # In the shell, and without the atlas.
    with duckdb.connect() as plain:
        plain.execute(f"ATTACH '{tmp_path}/big.activations.duckdb' AS raw (READ_ONLY)")
        plain.execute("USE raw")
        with open_atlas(small_atlas) as con:
            assert plain.sql("FROM activations_of(1, 2)").fetchall() == con.sql("FROM activations_of(1, 2)").fetchall()
    from atlas.stages.store.backends import open_backend

    for name in ("big.duckdb", "big.activations.duckdb"):
        backend = open_backend(tmp_path / name)
        assert (dict(backend.layers), backend.context_count) == (dict.fromkeys(range(5), 8), 12)
        found = backend.load((1, 2))
        with atlas.open(small_atlas) as small:
            assert found.value.tolist() == [row[0] for row in small.activations("L1/F2").fetchall()]
    # The file of another atlas is not read; and a smaller atlas leaves none behind.
    (tmp_path / "big.activations.duckdb").rename(tmp_path / "copy.activations.duckdb")
    build_database(tmp_path / "copy.duckdb", Inputs(folder / "stats", stores=stores))
    assert not (tmp_path / "copy.activations.duckdb").exists()
    with atlas.open(tmp_path / "big.duckdb") as big:
        assert big.activations("L1/F2").fetchall() == []


def test_a_file_of_something_else_is_not_replaced_by_activations(small_atlas: Path, tmp_path: Path) -> None:
    from atlas.database import Inputs, build_database
    from atlas.errors import OutputError

    place = tmp_path / "model.activations.duckdb"
    inputs = Inputs(small_atlas.parent / "stats")
    for content in (b"thesis", small_atlas.read_bytes()):
        place.write_bytes(content)
        with pytest.raises(
            OutputError, match="is in the place of the activations of model.duckdb and holds something else"
        ):
            build_database(tmp_path / "model.duckdb", inputs)
        assert place.read_bytes() == content
        assert not (tmp_path / "model.duckdb").exists()
