"""Reports of units: every number in them is that of the tables, and text from files is no markup."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

import atlas
from atlas.cli.main import main
from atlas.errors import InputError
from atlas.ids import UnitId
from atlas.query.unit_report import histogram_of, unit_comparison, unit_report

FIRST, SECOND = UnitId("feature", 1, 2), UnitId("feature", 1, 3)


def test_a_report_states_what_the_tables_hold(small_atlas: Path) -> None:
    with atlas.open(small_atlas) as small:
        text = unit_report(small, [FIRST, UnitId("neuron", 1, 2)])
        stats = (
            small.sql("FROM activation_stats WHERE unit_type = 'feature' AND layer = 1 AND unit = 2").pl().to_dicts()[0]
        )
        assert "## L1/F2\n" in text
        assert "## L1/N2\n" in text
        assert f"- active on: {stats['active_count']} tokens in {stats['active_context_count']} contexts" in text
        assert f"- looked at: {stats['token_count']} tokens of 12 contexts" in text
        assert f"- density: {stats['density']:.3%}" in text
        for row in small.tokens_of(FIRST).pl().to_dicts():
            if row["relation"] == "same":
                assert f"‘{row['token']}’ ({row['mass_share']:.0%}, fires it {row['precision']:.0%})" in text
        for row in small.similar_units(FIRST).pl().to_dicts()[:3]:
            assert f"L{row['other_layer']}/F{row['other_unit']} ({row['similarity']:.2f})" in text
        assert "| top | " in text
        bins = histogram_of(small, FIRST)
        assert sum(count for *_, count in bins) == stats["active_count"]
        assert bins == sorted(bins)
        with pytest.raises(InputError, match="has no statistics of L99/F1"):
            unit_report(small, [UnitId("feature", 99, 1)])


def test_two_units_side_by_side(small_atlas: Path) -> None:
    with atlas.open(small_atlas) as small:
        text = unit_comparison(small, FIRST, SECOND)
        places = [
            {tuple(row) for row in small.activations(unit).project("context_id, position").fetchall()}
            for unit in (FIRST, SECOND)
        ]
        joint, union = len(places[0] & places[1]), len(places[0] | places[1])
        assert (
            f"Both are active on {joint} tokens: Jaccard {joint / union:.3f} ({len(places[0])} and {len(places[1])} tokens)."
            in text
        )
        shares = [
            {
                row["token"]: row["mass_share"]
                for row in small.tokens_of(unit).pl().to_dicts()
                if row["relation"] == "same"
            }
            for unit in (FIRST, SECOND)
        ]
        overlap = sum(min(share, shares[1].get(token, 0)) for token, share in shares[0].items())
        assert f"Tokens: {overlap:.0%} of their activation is on the same tokens." in text


def test_the_command_writes_a_file_with_pictures(small_atlas: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    run = CliRunner().invoke
    out = tmp_path / "docs" / "report.md"
    out.parent.mkdir()
    done = run(
        main, ["report", str(small_atlas), "L1/F2", "L1/N2", "-o", str(out), "--plots", str(tmp_path / "pictures")]
    )
    assert done.exit_code == 0, done.output
    assert "![activations of L1/F2](../pictures/L1-F2.png)" in out.read_text()
    assert (tmp_path / "pictures" / "L1-F2.png").read_bytes().startswith(b"\x89PNG")
    compared = run(main, ["report", str(small_atlas), "L1/F2", "L1/F3", "--compare"])
    assert compared.output.startswith("# L1/F2 and L1/F3\n")
    wrong = run(main, ["report", str(small_atlas), "L1/F2", "--compare"])
    assert wrong.exit_code == 2
    assert "two units side by side, not 1" in wrong.output
