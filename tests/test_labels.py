"""Label files of every generic form, precedence, and files that are no label files."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import factories
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
def test_an_uninformative_label_is_kept_and_never_ranked(tmp_path: Path, text: str | None) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"layer": 0, "neuron": 0, "label": text}))
    (row,) = imported(tmp_path / "out", LabelFile(tmp_path / "a.jsonl")).to_dicts()
    assert (row["is_uninformative"], row["rank"]) == (True, None)


def test_the_list_of_uninformative_labels_is_configuration(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("layer,neuron,label\n0,0,unknown\n0,1,Meh\n")
    frame = imported(tmp_path / "out", LabelFile(tmp_path / "a.csv"), precedence=Precedence(uninformative=["meh"]))
    assert frame["is_uninformative"].to_list() == [False, True]


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
    assert result.malformed == {"bad_row": 2, "no_label_column": 1, "no_neuron": 5, "bad_neuron": 3, "unknown_kind": 1}
    assert (result.row_count, result.kept_count) == (13, 1)
    files = pl.read_parquet(tmp_path / "out" / "label_files.parquet").to_dicts()[0]
    assert files["row_count"] == files["kept_count"] + files["uninformative_count"] + files["malformed_count"]


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
        ("a.json", b"{}", "holds no label: rows stand in a list, by neuron"),
        ("a.xml", b"{}", "is no label file; give .jsonl, .json, .csv"),
        ("a.parquet", b"not parquet", "cannot be read"),
        ("a.csv.gz", b"not gzip", "cannot be read"),
        ("a.csv", b"\xff\xfe\x00", "is no UTF-16 text .* save it as UTF-8"),
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
    nodes = [
        factories.relp_node(5, 1, clerp=both),
        factories.relp_node(5, 2),
        factories.relp_node(5, 3, clerp="L5/N3: digits"),
    ]
    stats = aggregate_made([factories.relp_graph(nodes, [])])
    frame = imported(tmp_path / "out", LabelFile(stats))
    assert frame.select("neuron", "kind", "text", "source", "score").rows() == [
        (1, "output", "writes plurals", "graphs", 1.0),
        (1, "input", "after numbers", "graphs", 1.0),
        (3, None, "digits", "graphs", 1.0),
    ]


def test_real_label_files(data: Path, tmp_path: Path) -> None:
    (result,) = import_labels([LabelFile(data / "labels" / "gemma-2-2b_clt-hp.jsonl")], tmp_path / "out")
    assert (result.row_count, result.kept_count, result.uninformative_count, result.malformed.total()) == (
        1108,
        1108,
        0,
        0,
    )


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("layer,neuron,label\n" + "".join(f"{i % 7},{i % 5},t{i}\n" for i in range(500)))
    for name in ("x", "y"):
        import_labels([LabelFile(tmp_path / "a.csv")], tmp_path / name)
    assert (tmp_path / "x" / "labels.parquet").read_bytes() == (tmp_path / "y" / "labels.parquet").read_bytes()


@pytest.mark.parametrize("name", ["l.csv", "l.tsv"])
def test_a_quote_that_is_never_closed_swallows_no_label(tmp_path: Path, name: str) -> None:
    separator = "," if name.endswith("csv") else "\t"
    rows = [["layer", "neuron", "label"], ["1", "1", '"hello'], ["1", "2", "b"], ["1", "3", "c"]]
    (tmp_path / name).write_text("".join(separator.join(row) + "\n" for row in rows))
    if name == "l.csv":
        with pytest.raises(LabelFileError, match="unexpected end of data"):
            import_labels([LabelFile(tmp_path / name)], tmp_path / "out")
    else:
        assert [text for *_, text in texts(imported(tmp_path / "out", LabelFile(tmp_path / name)))] == [
            '"hello',
            "b",
            "c",
        ]


def test_odd_but_readable_rows(tmp_path: Path) -> None:
    rows = [
        '\ufeff{"layer": 24, "neuron": 1, "label": "byte order mark"}',
        '{"layer": null, "neuron_id": "L24/N2", "label": "null layer"}',
        '{"layer": 24, "neuron_id": "L24/N3", "label": "layer and id"}',
        '{"layer": "L24", "neuron": "4", "label": "texts"}',
        '{"layer": 24.0, "neuron": 5.0, "label": "floats"}',
        '{"neuron_id": "L24/N0000000000000006", "label": "zeros"}',
        '{"layer": 24, "neuron": 7, "label": "huge score", "score": 1%s}' % ("0" * 400),
        '{"layer": 24, "neuron": 8, "label": "half \\ud800"}',
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(rows))
    frame = imported(tmp_path / "out", LabelFile(tmp_path / "a.jsonl"))
    assert frame["neuron"].to_list() == list(range(1, 9))
    assert frame["text"].to_list()[-1] == "half ?"


@pytest.mark.parametrize("layer", ["1_0", "true", "", "²", "1e400", "9" * 400])
def test_numbers_that_are_none(tmp_path: Path, layer: str) -> None:
    (tmp_path / "a.csv").write_text(f"layer,neuron,label\n{layer},1,x\n2,2,y\n", encoding="utf-8")
    assert texts(imported(tmp_path / "out", LabelFile(tmp_path / "a.csv"))) == [(2, 2, 1, "y")]


def test_parquet_of_odd_types(tmp_path: Path) -> None:
    import datetime

    frame = pl.DataFrame(
        {
            "layer": [1, 1, 1],
            "neuron": [1.0, 2.0, float("nan")],
            "label": ["x", None, "y"],
            "score": [float("nan"), 1.0, 2.0],
            "when": [datetime.datetime(2020, 1, 1)] * 3,
        },
        schema_overrides={"when": pl.Datetime("ns")},
    )
    frame.write_parquet(tmp_path / "a.parquet")
    found = imported(tmp_path / "out", LabelFile(tmp_path / "a.parquet"))
    assert found.select("neuron", "text", "score").rows() == [(1, "x", None), (2, None, 1.0)]
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "b.parquet")
    with pytest.raises(LabelFileError, match="it has the columns a; needed are layer"):
        import_labels([LabelFile(tmp_path / "b.parquet")], tmp_path / "out2")


def test_a_damaged_gzip(tmp_path: Path) -> None:
    data = bytearray(gzip.compress(b'{"layer": 1, "neuron": 1, "label": "x"}\n' * 1000))
    data[20:40] = b"\xff" * 20
    (tmp_path / "a.jsonl.gz").write_bytes(data)
    with pytest.raises(LabelFileError, match="cannot be read|holds no label"):
        import_labels([LabelFile(tmp_path / "a.jsonl.gz")], tmp_path / "out")


def test_kinds_that_are_not_listed_come_last(tmp_path: Path) -> None:
    kinds = ["output", "input", "activation+", "activation-", ""]
    (tmp_path / "a.csv").write_text(
        "layer,neuron,label,kind\n" + "".join(f"0,0,is {kind or 'none'},{kind}\n" for kind in kinds)
    )
    frame = imported(
        tmp_path / "out", LabelFile(tmp_path / "a.csv"), precedence=Precedence(kinds=["input", "activation+"])
    )
    assert frame["text"].to_list() == ["is input", "is none", "is activation+", "is output", "is activation-"]
