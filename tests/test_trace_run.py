"""Prompts to statistics and to files: both the same, resumable, past bad prompts; on the demo model that ships."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("transformers")

import functools
import operator

from click.testing import CliRunner
from conftest import ROOT

from atlas.cli.main import main
from atlas.errors import InputError, SpaceMismatch, UsageError
from atlas.graph import Reject
from atlas.models import Prompt, TracedModel, load_model, read_prompts
from atlas.options import PromptOptions, ShardedPromptOptions, TraceOptions
from atlas.pipeline import aggregate_graphs, merge_stats, trace_prompts
from atlas.stages import datasets_of
from atlas.trace import Tracer, graph_json
from atlas.trace.graph_files import FORMATS

DEMO = ROOT / "build" / "demo"
TABLES = (
    "edges",
    "token_edges",
    "logit_edges",
    "token_logit_edges",
    "error_mass",
    "logit_error_mass",
    "neurons",
    "cooccurrence",
)
LINES = [
    "def close(self):\n        if self",
    "x = foo(bar(1",
    "    for i in range(10):\n",
    "import os\nimport",
    "    raise ValueError(",
    "class Foo(object",
]


@pytest.fixture(scope="module")
def demo() -> TracedModel:
    return load_model(DEMO, device="cpu")


def write_prompts(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row if isinstance(row, dict) else {"text": row}) + "\n" for row in rows))
    return path


def rows_of(stats: Path, table: str) -> list[tuple[Any, ...]]:
    return duckdb.sql(f"FROM '{stats}/{table}/*.parquet' ORDER BY ALL").fetchall()


def assert_same(one: list[tuple[Any, ...]], other: list[tuple[Any, ...]], tolerance: float = 1e-12) -> None:
    """Equal but for the rounding of sums."""
    assert len(one) == len(other)
    for left, right in zip(one, other, strict=True):
        for a, b in zip(left, right, strict=True):
            assert a == (pytest.approx(b, rel=tolerance, abs=1e-15) if isinstance(b, float) else b)


def books_of(stats: Path) -> list[tuple[Any, ...]]:
    return duckdb.sql(f"SELECT content_hash, prompt, node_count, link_count FROM '{stats}/graphs.parquet' ORDER BY ALL").fetchall()  # fmt: skip


def test_the_committed_model_is_the_trained_one() -> None:
    facts = json.loads((DEMO / "training.json").read_text())
    weights = DEMO / "model.safetensors"
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == facts["sha256"]
    assert weights.stat().st_size <= 4_000_000
    assert facts["held_out_loss"] < 2.7


def test_the_committed_prompts_are_those_of_the_script(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "build" / "demo"))
    from demo_prompts import EACH, TEMPLATES, prompts

    found = [json.loads(line) for line in (DEMO / "prompts.jsonl").read_text().splitlines()]
    assert found == prompts()
    groups = {f"{source}-{number + 1}" for source, templates in TEMPLATES.items() for number in range(len(templates))}
    assert {row["prompt_group"] for row in found} == groups
    assert len({row["text"] for row in found}) == len(found) > 0.95 * EACH * len(groups)


def test_the_demo_model_knows_its_brackets(demo: TracedModel) -> None:
    for text, expected in (("    return self._data[key", "]"), ("class Foo(object", "):"), ("def f(self):\n        if self", ".")):  # fmt: skip
        cache = demo.forward([demo.tokenizer(text)["input_ids"]])
        assert demo.token_texts([int(cache.logits[0].argmax())]) == [expected]


@pytest.mark.parametrize(
    "form", [form if form == "relp" else pytest.param(form, marks=pytest.mark.slow) for form in FORMATS]
)
def test_statistics_are_the_same_directly_and_through_files(demo: TracedModel, tmp_path: Path, form: str) -> None:
    prompts = write_prompts(tmp_path / "p.jsonl", [*LINES, "", {"text": "a = 1", "target": "\n"}, "x" * 3000])
    traced, _ = trace_prompts(demo, prompts, tmp_path / "direct")
    assert traced.rejects == {"empty": 1, "too_long": 1}
    files, none = trace_prompts(demo, prompts, tmp_path / "files", form=form)
    assert none is None
    assert (files.graphs, files.links) == (traced.graphs, traced.links)
    assert len(list((tmp_path / "files").glob("*.json"))) == 7
    summary = aggregate_graphs([tmp_path / "files"], tmp_path / "through", threads=1)
    assert summary.dropped.total() == 0
    for table in TABLES:
        assert rows_of(tmp_path / "direct", table) == rows_of(tmp_path / "through", table), table
    assert books_of(tmp_path / "direct") == books_of(tmp_path / "through")
    spaces = [json.loads((tmp_path / name / "manifest.json").read_text())["space"] for name in ("direct", "through")]
    assert spaces[0] == spaces[1]
    assert spaces[0]["link_weight"] == "direct_effect"
    tokens = [duckdb.sql(f"FROM '{tmp_path}/{name}/tokens.parquet' ORDER BY 1").fetchall() for name in ("direct", "through")]  # fmt: skip
    assert tokens[0] == tokens[1]


def test_link_weights_of_two_kinds_do_not_mix(demo: TracedModel, tmp_path: Path) -> None:
    prompts = write_prompts(tmp_path / "p.jsonl", LINES[:2])
    trace_prompts(demo, prompts, tmp_path / "stats")
    with pytest.raises(SpaceMismatch, match=r"direct_effect.*attribution_flow|attribution_flow.*direct_effect"):
        trace_prompts(demo, prompts, tmp_path / "stats", options=TraceOptions(link_weight="attribution_flow"))
    for kind in ("direct_effect", "attribution_flow"):
        trace_prompts(demo, prompts, tmp_path / "g" / kind, form="relp", options=TraceOptions(link_weight=kind))
    with pytest.raises(SpaceMismatch):
        aggregate_graphs([tmp_path / "g"], tmp_path / "mixed", threads=1)


@pytest.mark.slow
def test_new_prompts_are_added_and_old_ones_not_traced_again(demo: TracedModel, tmp_path: Path) -> None:
    prompts = write_prompts(tmp_path / "p.jsonl", [*LINES[:3], ""])
    trace_prompts(demo, prompts, tmp_path / "stats")
    write_prompts(prompts, [*LINES[:3], "", *LINES[3:]])
    added, summary = trace_prompts(demo, prompts, tmp_path / "stats")
    assert (added.known, added.graphs) == (3, 3)
    assert summary is not None
    again, nothing = trace_prompts(demo, prompts, tmp_path / "stats")
    assert (again.known, again.graphs, nothing) == (6, 0, None)
    trace_prompts(demo, prompts, tmp_path / "whole")
    assert_same(rows_of(tmp_path / "stats", "edges"), rows_of(tmp_path / "whole", "edges"))
    rejects = pq.read_table(tmp_path / "stats" / "rejects.parquet").to_pylist()
    assert [row["reason"] for row in rejects] == ["empty"]


KILLED = """
import sys
from pathlib import Path
from atlas.pipeline import trace_prompts
import atlas.trace.run as run
run.FLUSH_SECONDS = 0.0
trace_prompts(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), device="cpu", batch=1, progress=lambda what, done, of: print(what, done, flush=True))
"""


@pytest.mark.slow
def test_a_killed_trace_goes_on_where_it_was(demo: TracedModel, tmp_path: Path) -> None:
    prompts = write_prompts(tmp_path / "p.jsonl", [f"x_{number} = foo(bar({number}" for number in range(40)])
    command = [sys.executable, "-c", KILLED, str(DEMO), str(prompts), str(tmp_path / "stats")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("tracing prompts 12"):
                os.kill(process.pid, signal.SIGKILL)
                break
    assert not (tmp_path / "stats").exists()
    # One prompt at a time, as above: how many were done decides which would be in one batch, and that the last bit of a weight.
    resumed, _ = trace_prompts(load_model(DEMO, device="cpu", name="demo"), prompts, tmp_path / "stats", batch=1)
    assert resumed.known >= 10
    assert resumed.graphs == 40 - resumed.known
    trace_prompts(demo, prompts, tmp_path / "whole", batch=1)
    for table in TABLES:
        assert_same(rows_of(tmp_path / "stats", table), rows_of(tmp_path / "whole", table))


def test_samples_are_kept(demo: TracedModel, tmp_path: Path) -> None:
    prompts = write_prompts(tmp_path / "p.jsonl", LINES)
    traced, _ = trace_prompts(demo, prompts, tmp_path / "stats", save_graphs=2)
    assert traced.saved == 2
    assert sorted(path.name for path in (tmp_path / "stats.graphs" / "p").iterdir()) == ["graph_000000.json", "graph_000001.json"]  # fmt: skip


def test_files_of_other_options_are_not_taken_for_these(demo: TracedModel, tmp_path: Path) -> None:
    prompts = write_prompts(tmp_path / "p.jsonl", LINES[:1])
    trace_prompts(demo, prompts, tmp_path / "files", form="relp")
    again, _ = trace_prompts(demo, prompts, tmp_path / "files", form="relp")
    assert (again.known, again.graphs) == (1, 0)
    with pytest.raises(SpaceMismatch, match="another prompt, model or options"):
        trace_prompts(demo, prompts, tmp_path / "files", form="relp", options=TraceOptions(tau=0.1))


def test_a_viewer_graph_is_valid_by_the_rules_of_its_tool(demo: TracedModel) -> None:
    ids = tuple(demo.tokenizer(LINES[0])["input_ids"])
    [traced] = Tracer(demo).trace([Prompt("a/graph_000000.json", LINES[0], ids)])
    for form in ("relp", "viewer"):
        graph = graph_json(traced, form)
        assert {"metadata", "qParams", "nodes", "links"} <= graph.keys()
        assert {"slug", "scan", "prompt_tokens", "prompt"} <= graph["metadata"].keys()
        for node in graph["nodes"]:
            assert {"node_id", "feature", "layer", "ctx_idx", "feature_type", "jsNodeId", "clerp"} <= node.keys()
        assert {node["layer"] for node in graph["nodes"] if node["feature_type"] == "embedding"} == {
            "embedding" if form == "relp" else "E"
        }
    assert all(isinstance(node["isLogit"], bool) for node in graph["nodes"])
    known = {f"{node['layer']}_{node['feature']}" for node in graph["nodes"]}
    assert {feature["featureId"] for feature in graph["features"]} == known


# Corpora


def texts(path: Path, model: TracedModel, **options: Any) -> list[str]:
    return [item.reason if isinstance(item, Reject) else item.text for item in read_prompts(path, model, ShardedPromptOptions(**options))]  # fmt: skip


def test_prompts_from_every_kind_of_file(demo: TracedModel, tmp_path: Path) -> None:
    lines = write_prompts(tmp_path / "a.jsonl", [{"prompt": "a b"}, {"content": "c d"}, {"x": 1}, {"text": " "}])
    assert texts(lines, demo) == ["a b", "c d", "no_text", "empty"]
    text = tmp_path / "b.txt"
    text.write_text("one two\n\nthree four\n")
    assert texts(text, demo) == ["one two", "three four"]
    text.write_text("one\ntwo<|end|>\nthree<|end|>\n" * 3)
    assert texts(text, demo, separator="<|end|>") == ["one\ntwo", "three"] * 3
    pq.write_table(pa.table({"id": [1, 2], "body": ["e f", "g h"]}), tmp_path / "c.parquet")
    assert texts(tmp_path / "c.parquet", demo, column="body") == ["e f", "g h"]
    with pytest.raises(InputError, match="no column prompt or text or content or messages; it has id, body"):
        texts(tmp_path / "c.parquet", demo)


def test_bounds_and_draws(demo: TracedModel, tmp_path: Path) -> None:
    path = write_prompts(tmp_path / "a.jsonl", [f"a{number} = {number}" for number in range(100)])
    assert texts(path, demo, limit=3) == ["a0 = 0", "a1 = 1", "a2 = 2"]
    drawn = texts(path, demo, limit=10, seed=1)
    assert len(drawn) == 10
    assert drawn == texts(path, demo, limit=10, seed=1) != texts(path, demo, limit=10, seed=2)
    parts = [texts(path, demo, limit=10, seed=1, shard=(part, 3)) for part in range(3)]
    assert sorted(functools.reduce(operator.iadd, parts, [])) == sorted(drawn)
    long = write_prompts(tmp_path / "b.jsonl", ["a b c d e f g h i j", "a"])
    assert texts(long, demo, max_tokens=6, min_tokens=3) == ["too_long", "too_short"]
    [cut] = [item for item in read_prompts(long, demo, PromptOptions(max_tokens=6, min_tokens=3, truncate=True)) if isinstance(item, Prompt)]  # fmt: skip
    assert len(cut.ids) == 6


def test_targets_must_be_one_token(demo: TracedModel, tmp_path: Path) -> None:
    rows = [{"text": "a b", "target": ".", "contrast": ["(", 5]}, {"text": "a", "target": "self.name"}, {"text": "a", "target": 4000}]  # fmt: skip
    fine, *bad = list(read_prompts(write_prompts(tmp_path / "a.jsonl", rows), demo, PromptOptions()))
    assert isinstance(fine, Prompt)
    assert demo.token_texts([*fine.targets, *fine.contrasts]) == [".", "(", demo.token_texts([5])[0]]
    assert [item.reason for item in bad if isinstance(item, Reject)] == ["bad_target", "bad_target"]


def test_chat_templates(demo: TracedModel, tmp_path: Path) -> None:
    path = write_prompts(tmp_path / "a.jsonl", ["hello", {"messages": [{"role": "user", "content": "bye"}]}])
    with pytest.raises(UsageError, match="no chat template; leave out --chat"):
        texts(path, demo, chat=True)
    demo.tokenizer.chat_template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<model>"
    try:
        assert texts(path, demo, chat=True) == ["<user>hello<model>", "<user>bye<model>"]
    finally:
        demo.tokenizer.chat_template = None


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "is no file; prompts are read from .jsonl, .txt, .parquet"),
        (lambda path: path.write_text("{}\n{nothing\n"), "line 2 is no JSON"),
        (lambda path: path.write_text("\n\n"), "holds no prompt"),
        (lambda path: path.write_text('{"text": ""}\n'), r"none of the 1 prompts of .* gave a graph \(empty: 1\)"),
    ],
)
def test_what_cannot_be_traced_is_said(demo: TracedModel, tmp_path: Path, make: Any, said: str) -> None:
    make(tmp_path / "p.jsonl")
    with pytest.raises(InputError, match=said):
        trace_prompts(demo, tmp_path / "p.jsonl", tmp_path / "stats")
    assert not (tmp_path / "stats").exists()


def test_models_that_cannot_be_traced_are_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder here and no model on the hub"):
        load_model("no/such-model")
    with pytest.raises(InputError, match="my-model is not a folder; give the folder of a model"):
        load_model("./my-model")
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(InputError, match="is a gpt2 model; supported models are llama, mistral"):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(InputError, match="the folder has no tokenizer"):
        load_model(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match="no model folder"):
        load_model(tmp_path)
    with pytest.raises(UsageError, match="dtype 'int3' is none"):
        load_model(DEMO, dtype="int3")


@pytest.mark.slow
def test_the_command(tmp_path: Path, atlas_command: Any) -> None:
    prompts = write_prompts(tmp_path / "p.jsonl", [*LINES, ""])
    done = atlas_command("trace", DEMO, prompts, "-o", tmp_path / "stats", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert "6 prompts traced" in done.stderr
    assert "prompts not traced: empty 1" in done.stderr
    again = CliRunner().invoke(main, ["trace", str(DEMO), str(prompts), "-o", str(tmp_path / "stats"), "--device", "cpu"])  # fmt: skip
    assert "6 prompts were traced already" in again.stderr
    wrong = CliRunner().invoke(main, ["trace", str(DEMO), str(prompts), "-o", str(tmp_path / "x"), "--tau", "2"])
    assert (wrong.exit_code, wrong.stderr.count("\n")) == (1, 1)
    assert "tau must be from 0 to below 1" in wrong.stderr


@pytest.mark.slow
def test_parts_on_a_cluster_are_the_whole(demo: TracedModel, tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    prompts = write_prompts(tmp_path / "p.jsonl", [*LINES, ""])
    options: dict[str, Any] = {"device": "cpu", "name": "demo", "scheduler": "local", "threads": 2}
    traced, summary = trace_prompts(str(DEMO), prompts, tmp_path / "parts", shards=3, **options)
    assert (traced.graphs, dict(traced.rejects)) == (6, {"empty": 1})
    assert summary is not None
    trace_prompts(demo, prompts, tmp_path / "whole")
    # A worker computes with other threads: the last bits of float32 differ, and sums that cancel with them.
    columns = "src_layer, src_neuron, tgt_layer, tgt_neuron, count, graph_count, half_count, joint_graph_count, weight_abs_sum"
    found = [
        duckdb.sql(
            f"SELECT {columns} FROM '{tmp_path}/{name}/edges/*.parquet' WHERE weight_abs_sum > 1e-4 ORDER BY ALL"
        ).fetchall()
        for name in ("parts", "whole")
    ]
    assert len(found[0]) > 1000
    assert_same(*found, tolerance=1e-2)
    assert not list(tmp_path.glob(".parts*shards*"))


def test_progress_says_how_far_it_is(demo: TracedModel, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    trace_prompts(demo, write_prompts(tmp_path / "p.jsonl", LINES), tmp_path / "stats", batch=4, progress=lambda *step: seen.append(step))  # fmt: skip
    assert [step for step in seen if step[0] == "tracing prompts"] == [("tracing prompts", done, 6) for done in (0, 4, 6)]  # fmt: skip
    assert time.monotonic() > 0


@pytest.mark.slow
def test_traces_of_other_models_and_options_do_not_merge(demo: TracedModel, tmp_path: Path) -> None:
    lines = [tmp_path / f"{number}.txt" for number in range(2)]
    for number, path in enumerate(lines):
        path.write_text("\n".join(line.replace("\n", " ") for line in LINES[3 * number : 3 * number + 3]))
    for name, path, options in (
        ("a", lines[0], {}),
        ("b", lines[1], {}),
        ("tau", lines[1], {"tau": 0.01}),
        ("mean", lines[0], {"baseline": "mean"}),
        ("other mean", lines[1], {"baseline": "mean"}),
    ):
        trace_prompts(demo, path, tmp_path / name, options=TraceOptions(ablations=3, **options), threads=1)
    assert merge_stats([tmp_path / "a", tmp_path / "b"], tmp_path / "merged", threads=1).graphs == 6
    sizes = [len(pq.read_table(tmp_path / name / "ablated_nodes.parquet")) for name in ("a", "b", "merged")]
    assert sizes[2] == sizes[0] + sizes[1] > 0
    with pytest.raises(SpaceMismatch, match="two traces do not mix: tau is 0.001 in .* and 0.01 in"):
        merge_stats([tmp_path / "a", tmp_path / "tau"], tmp_path / "x", threads=1)
    with pytest.raises(SpaceMismatch, match="two traces do not mix: means_of_the_first_prompts is"):
        merge_stats([tmp_path / "mean", tmp_path / "other mean"], tmp_path / "x", threads=1)


_TRACE = """
import sys
from pathlib import Path
from atlas.options import PromptOptions
from atlas.pipeline import trace_prompts
model, prompts, out = sys.argv[1:]
trace_prompts(model, Path(prompts), Path(out), dtype="float64", corpus=PromptOptions(limit=24, seed=1), threads=1)
"""


@pytest.mark.slow
def test_statistics_in_float64_are_the_same_on_another_processor(tmp_path: Path) -> None:
    """Without the wide vectors of this processor: whole numbers and 32-bit columns to the bit, sums to 1e-9."""
    narrow = {
        "ATEN_CPU_CAPABILITY": "default",
        "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR X86_V3",
        "OPENBLAS_CORETYPE": "Nehalem",
    }
    folders = []
    for name, environment in (("wide", {}), ("narrow", narrow)):
        folders.append(tmp_path / name)
        given = [str(DEMO), str(DEMO / "prompts.jsonl"), str(folders[-1])]
        subprocess.run([sys.executable, "-c", _TRACE, *given], check=True, env=os.environ | environment, cwd=tmp_path)
    for dataset in datasets_of("stats"):
        if dataset.optional and not dataset.path(folders[0]).exists():
            continue
        one, other = (pq.read_table(dataset.path(folder)) for folder in folders)
        assert len(one) == len(other), dataset.name
        for column in one.column_names:
            here, there = one[column], other[column]
            if column == "mtime_ns" or here.equals(there):
                continue
            assert pa.types.is_float64(here.type), (dataset.name, column)
            np.testing.assert_allclose(here.to_numpy(), there.to_numpy(), rtol=1e-9, atol=1e-12, err_msg=column)
