"""Label files of every generic form, precedence, and files that are no label files."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import makers
import polars as pl
import pytest

from atlas.errors import LabelFileError, UsageError
from atlas.labels import LabelFile, Precedence, import_labels


def imported(out: Path, *files: LabelFile, precedence: Precedence | None = None) -> pl.DataFrame:
    import_labels(files, out, precedence)
    return pl.read_parquet(out / "labels.parquet")


def texts(frame: pl.DataFrame) -> list[tuple]:
    return frame.select("layer", "neuron", "rank", "text").rows()


ROWS = [{"layer": 1, "neuron": 2, "label": "a"}, {"layer": 0, "neuron": 9, "label": "b"}]


@pytest.mark.parametrize("index", ["neuron", "feature", "index", "Feature", "neuron_idx"])
@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "csv", "csv.gz", "tsv", "parquet"])
def test_every_form_and_spelling(tmp_path: Path, suffix: str, index: str) -> None:
    path = tmp_path / f"labels.{suffix}"
    rows = [{"layer": row["layer"], index: row["neuron"], "label": row["label"]} for row in ROWS]
    if suffix == "parquet":
        pl.DataFrame(rows).write_parquet(path)
    else:
        separator = "\t" if suffix == "tsv" else ","
        lines = (
            [json.dumps(row) for row in rows]
            if "json" in suffix
            else [separator.join(rows[0]), *(separator.join(map(str, row.values())) for row in rows)]
        )
        data = ("\n".join(lines) + "\n").encode()
        path.write_bytes(gzip.compress(data) if suffix.endswith("gz") else data)
    frame = imported(tmp_path / "out", LabelFile(path))
    assert texts(frame) == [(0, 9, 1, "b"), (1, 2, 1, "a")]
    assert frame["source"].to_list() == ["labels"] * 2
    assert frame["kind"].to_list() == [None] * 2


@pytest.mark.parametrize("spelled", ["L24/N5326", "24_5326", "L24/5326"])
def test_neurons_by_id(tmp_path: Path, spelled: str) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"neuron_id": spelled, "text": "x"}))
    assert texts(imported(tmp_path / "out", LabelFile(tmp_path / "a.jsonl"))) == [(24, 5326, 1, "x")]


def test_optional_columns_are_kept_and_defaults_fill_gaps(tmp_path: Path) -> None:
    rows = [
        {
            "layer": 1,
            "neuron": 1,
            "label": " x ",
            "kind": "input",
            "description": "d",
            "source": "s",
            "model": "m",
            "confidence": "high",
            "interpretability": "low",
            "type": "lexical",
            "score": 0.5,
            "num_exemplars": 3,
            "max_activation": 7.5,
        },
        {"layer": 1, "neuron": 2, "label": "y", "score": "not a number", "num_exemplars": None},
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    first, second = imported(tmp_path / "out", LabelFile(tmp_path / "a.jsonl", "mine", "output", "gpt")).to_dicts()
    assert {key: first[key] for key in rows[0] if key not in ("label", "layer", "neuron")} == {
        key: value for key, value in rows[0].items() if key not in ("label", "layer", "neuron")
    }
    assert first["text"] == "x"
    assert (second["source"], second["kind"], second["model"], second["score"]) == ("mine", "output", "gpt", None)


def test_precedence_is_source_then_kind_then_confidence_then_score_then_order(tmp_path: Path) -> None:
    def row(text: str, **more: object) -> str:
        return json.dumps({"layer": 0, "neuron": 0, "label": text, **more})

    (tmp_path / "auto.jsonl").write_text(
        "\n".join(
            [
                row("input", kind="input", confidence="high"),
                row("low", kind="output", confidence="low", score=9),
                row("high, weak", kind="output", confidence="high", score=1),
                row("high, strong", kind="output", confidence="high", score=2),
                row("no kind"),
                row("unknown", kind="output", confidence="human"),
            ]
        )
    )
    (tmp_path / "human.jsonl").write_text(row("by hand", kind="activation-"))
    files = [LabelFile(tmp_path / "auto.jsonl", "auto"), LabelFile(tmp_path / "human.jsonl", "human")]
    ordered = [text for _, _, rank, text in texts(imported(tmp_path / "a", *files)) if rank]
    assert ordered == ["high, strong", "high, weak", "low", "no kind", "input", "by hand"]
    first = imported(tmp_path / "b", *files, precedence=Precedence(sources=["human"])).to_dicts()[0]
    assert first["text"] == "by hand"
    by_kind = imported(tmp_path / "c", *files, precedence=Precedence(kinds=["input", "output"])).to_dicts()[0]
    assert by_kind["text"] == "input"


def test_scores_of_two_sources_are_not_compared(tmp_path: Path) -> None:
    """A file without scores that somebody chose comes before a later one with scores."""
    (tmp_path / "a.csv").write_text("layer,neuron,label\n0,0,chosen\n")
    (tmp_path / "b.csv").write_text("layer,neuron,label,score\n0,0,scored,99\n")
    files = [LabelFile(tmp_path / "a.csv"), LabelFile(tmp_path / "b.csv")]
    assert [text for *_, text in texts(imported(tmp_path / "out", *files))] == ["chosen", "scored"]


@pytest.mark.parametrize(
    "text", ["", "unknown", "Uninterpretable", " uninterpretable-routing ", "uninterpretable-trigger", None]
)
def test_junk_is_kept_and_never_ranked(tmp_path: Path, text: str | None) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"layer": 0, "neuron": 0, "label": text}))
    (row,) = imported(tmp_path / "out", LabelFile(tmp_path / "a.jsonl")).to_dicts()
    assert (row["is_junk"], row["rank"]) == (True, None)


def test_the_junk_list_is_configuration(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("layer,neuron,label\n0,0,unknown\n0,1,Meh\n")
    frame = imported(tmp_path / "out", LabelFile(tmp_path / "a.csv"), precedence=Precedence(junk=["meh"]))
    assert frame["is_junk"].to_list() == [False, True]


def test_bad_rows_are_counted_by_reason_and_cost_only_themselves(tmp_path: Path) -> None:
    lines = [
        '{"layer": 0, "neuron": 0, "label": "good"}',
        "{broken",
        "[1, 2]",
        '{"layer": 0, "neuron": 0}',
        '{"neuron": 0, "label": "x"}',
        '{"layer": 0.5, "neuron": 0, "label": "x"}',
        '{"layer": 128, "neuron": 0, "label": "x"}',
        '{"layer": 0, "neuron": -1, "label": "x"}',
        '{"layer": "E", "neuron": 0, "label": "x"}',
        '{"layer": 0, "neuron": 0, "label": "x", "kind": "sideways"}',
        '{"layer": true, "neuron": 0, "label": "x"}',
        '{"id": "E_5_0", "label": "x"}',
        '{"layer": NaN, "neuron": 0, "label": "x"}',
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    (result,) = import_labels([LabelFile(tmp_path / "a.jsonl")], tmp_path / "out")
    assert result.malformed == {"bad_row": 3, "no_label_column": 1, "no_neuron": 4, "bad_neuron": 3, "unknown_kind": 1}
    assert (result.row_count, result.kept_count) == (13, 1)
    files = pl.read_parquet(tmp_path / "out" / "label_files.parquet").to_dicts()[0]
    assert files["row_count"] == files["kept_count"] + files["junk_count"] + files["malformed_count"]


def test_ragged_csv_rows_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('layer,neuron,label\n0,0,"a, quoted"\n0,1\n0,2,x,y\n\n0,3,"two\nlines"\n')
    (result,) = import_labels([LabelFile(tmp_path / "a.csv")], tmp_path / "out")
    assert (result.kept_count, result.malformed) == (2, {"bad_row": 2})


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (
            "a.csv",
            b"component,feature,name\nresid,3,x\n",
            "holds no label .*component, feature, name; needed are layer and neuron",
        ),
        ("a.jsonl", b'{"layer": 1, "label": "x"}', r"1 no_neuron.*label, layer"),
        ("a.json", b"{}", "is no label file; give .jsonl, .csv"),
        ("a.parquet", b"not parquet", "cannot be read"),
        ("a.csv.gz", b"not gzip", "cannot be read"),
        ("a.csv", b"\xff\xfe\x00", "cannot be read|holds no label"),
        ("a.csv", b"layer,neuron,label\n0,0,\x00" + b"x" * 200_000, "cannot be read"),
    ],
)
def test_a_wrong_file_is_one_line_that_says_what_is_needed(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(LabelFileError, match=said) as caught:
        import_labels([LabelFile(tmp_path / name)], tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_missing_files_and_wrong_kinds(tmp_path: Path) -> None:
    with pytest.raises(LabelFileError, match="does not exist"):
        import_labels([LabelFile(tmp_path / "no.csv")], tmp_path / "out")
    with pytest.raises(LabelFileError, match="no stats folder"):
        import_labels([LabelFile(tmp_path)], tmp_path / "out")
    with pytest.raises(UsageError, match="'sideways'"):
        import_labels([], tmp_path / "out", Precedence(kinds=["sideways"]))


def test_labels_that_the_graphs_carry(aggregate_made, tmp_path: Path) -> None:
    both = "L5/N1: writes plurals | fires: after numbers"
    nodes = [makers.relp_node(5, 1, clerp=both), makers.relp_node(5, 2), makers.relp_node(5, 3, clerp="L5/N3: digits")]
    stats = aggregate_made([makers.relp_graph(nodes, [])])
    frame = imported(tmp_path / "out", LabelFile(stats))
    assert frame.select("neuron", "kind", "text", "source", "score").rows() == [
        (1, "output", "writes plurals", "graphs", 1.0),
        (1, "input", "after numbers", "graphs", 1.0),
        (3, None, "digits", "graphs", 1.0),
    ]


def test_real_label_files(data: Path, tmp_path: Path) -> None:
    (result,) = import_labels([LabelFile(data / "labels" / "gemma-2-2b_clt-hp.jsonl")], tmp_path / "out")
    assert (result.row_count, result.kept_count, result.junk_count, result.malformed.total()) == (1108, 1108, 0, 0)


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("layer,neuron,label\n" + "".join(f"{i % 7},{i % 5},t{i}\n" for i in range(500)))
    for name in ("x", "y"):
        import_labels([LabelFile(tmp_path / "a.csv")], tmp_path / name)
    assert (tmp_path / "x" / "labels.parquet").read_bytes() == (tmp_path / "y" / "labels.parquet").read_bytes()
