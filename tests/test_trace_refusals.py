"""What a trace refuses, what it rejects and goes on, and what it does not do twice."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from click.testing import CliRunner  # noqa: E402
from conftest import ROOT  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from trace_models import tiny  # noqa: E402

from atlas.cli.main import main  # noqa: E402
from atlas.errors import AtlasError, InputError, OutputError, SourceChanged, SpaceMismatch, UsageError  # noqa: E402
from atlas.graph import Reject  # noqa: E402
from atlas.models import Prompt, TracedModel, load_model, read_prompts  # noqa: E402
from atlas.models.tokens import shown  # noqa: E402
from atlas.options import PromptOptions, ShardedPromptOptions, TraceOptions  # noqa: E402
from atlas.pipeline import aggregate_graphs, project_model, trace_prompts  # noqa: E402

DEMO = ROOT / "build" / "demo"
LINES = ["x = foo(bar(1", "import os\nimport", "    raise ValueError("]


@pytest.fixture(scope="module")
def demo() -> TracedModel:
    return load_model(DEMO, device="cpu")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder with the demo model, to be damaged."""
    shutil.copytree(DEMO, tmp_path / "demo")
    return tmp_path / "demo"


def jsonl(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row if isinstance(row, dict) else {"text": row}) + "\n" for row in rows))
    return path


def reasons(path: Path, model: TracedModel, **options: Any) -> list[str]:
    """The reason of each reject, the text of each prompt."""
    found = read_prompts(path, model, PromptOptions(**options))
    return [item.reason if isinstance(item, Reject) else item.text for item in found]


# Statistics of other options, and of other weights, do not mix.


def test_other_options_on_finished_statistics_are_refused(demo: TracedModel, copy: Path, tmp_path: Path) -> None:
    prompts = jsonl(tmp_path / "p.jsonl", LINES)
    trace_prompts(demo, prompts, tmp_path / "stats")
    for options in (TraceOptions(tau=0.02), TraceOptions(top_logits=3), TraceOptions(max_nodes=9)):
        with pytest.raises(SourceChanged, match="start over with --fresh"):
            trace_prompts(demo, prompts, tmp_path / "stats", options=options)
    weights = load_file(copy / "model.safetensors")
    weights["model.norm.weight"] *= 1.5
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(SourceChanged, match="traced_model"):
        trace_prompts(load_model(copy, device="cpu"), prompts, tmp_path / "stats")
    _, summary = trace_prompts(demo, prompts, tmp_path / "stats", options=TraceOptions(tau=0.02), fresh=True)
    assert summary is not None
    assert summary.graphs == 3


@pytest.mark.slow
def test_other_options_after_a_stopped_run_start_over(demo: TracedModel, tmp_path: Path) -> None:
    prompts = jsonl(tmp_path / "p.jsonl", [f"x_{number} = foo(" for number in range(10)])

    class Stopped(Exception):
        pass

    def stop(what: str, done: int, total: int) -> None:
        if done == 6:
            raise Stopped

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("atlas.trace.run.FLUSH_SECONDS", 0.0)
        with pytest.raises(Stopped):
            trace_prompts(demo, prompts, tmp_path / "stats", progress=stop)
    traced, summary = trace_prompts(demo, prompts, tmp_path / "stats", options=TraceOptions(tau=0.02))
    assert summary is not None
    assert (traced.graphs, traced.known, summary.graphs) == (10, 0, 10)


def test_files_of_another_format_are_not_taken_for_these(demo: TracedModel, tmp_path: Path) -> None:
    prompts = jsonl(tmp_path / "p.jsonl", LINES[:1])
    trace_prompts(demo, prompts, tmp_path / "g", form="relp")
    with pytest.raises(SpaceMismatch, match="in another format"):
        trace_prompts(demo, prompts, tmp_path / "g", form="neuronpedia")
    trace_prompts(demo, prompts, tmp_path / "g", form="neuronpedia", fresh=True)
    with pytest.raises(UsageError, match="--format writes all of them"):
        trace_prompts(demo, prompts, tmp_path / "g", form="neuronpedia", save_graphs=1)


# Models that would give nonsense, or a traceback.


def test_weights_that_are_missing_are_not_made_up(copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match="lacks 1 weights of its own shape: model.layers.1.mlp.up_proj.weight"):
        load_model(copy)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("model.safetensors", lambda data: data[:5000], "no model folder"),
        ("config.json", lambda data: data.replace(b'"intermediate_size": 320', b'"intermediate_size": 321'), "no model folder|lacks"),
        ("config.json", lambda data: data.replace(b"{", b'{"quantization_config": {"quant_method": "gptq"},', 1), "quantised"),
        ("tokenizer.json", lambda data: b"{}", "no model folder"),
    ],
)  # fmt: skip
def test_damaged_models_are_said(copy: Path, name: str, change: Any, said: str) -> None:
    data = (copy / name).read_bytes()
    (copy / name).write_bytes(change(data))
    assert (copy / name).read_bytes() != data
    with pytest.raises(InputError, match=said):
        load_model(copy, device="cpu")


def test_attention_that_gives_no_pattern_is_refused() -> None:
    model = tiny("llama")
    model.model.config._attn_implementation = "sdpa"
    with pytest.raises(UsageError, match='attn_implementation="eager"'):
        TracedModel(model.model, model.tokenizer, "x")


# Prompts.


def test_bad_rows_are_rejects_and_the_run_goes_on(demo: TracedModel, tmp_path: Path) -> None:
    rows: list[Any] = [
        {"text": "a", "target": "."},
        {"text": "a", "target": "\ud800"},
        {"text": "a", "target": True},
        {"text": "a", "target": ".", "contrast": [".", "("]},
        {"text": "a b", "source": "\ud800"},
        {"text": "a", "messages": []},
        {"messages": [{"role": "user", "content": "hello"}]},
    ]
    path = jsonl(tmp_path / "a.jsonl", rows)
    assert reasons(path, demo) == ["a", "bad_target", "bad_target", "bad_target", "a b", "a", "no_template"]


def test_tokens_that_the_model_has_not_are_rejects(tmp_path: Path) -> None:
    demo = load_model(DEMO, device="cpu")
    demo.tokenizer.add_tokens(["NOVEL"])
    path = jsonl(tmp_path / "a.jsonl", ["a NOVEL", {"text": "a", "target": "NOVEL"}, "a b"])
    assert reasons(path, demo) == ["bad_token", "bad_target", "a b"]


def test_targets_and_sources_stand_in_parquet_too(demo: TracedModel, tmp_path: Path) -> None:
    table = pa.table({"text": ["a b"], "target": ["."], "contrast": [["(", ")"]], "source": ["made"], "more": [1]})
    pq.write_table(table, tmp_path / "a.parquet")
    [found] = read_prompts(tmp_path / "a.parquet", demo, PromptOptions())
    assert isinstance(found, Prompt)
    assert (len(found.targets), len(found.contrasts), found.source) == (1, 2, "made")


def test_a_target_that_is_named_twice_is_one(demo: TracedModel, tmp_path: Path) -> None:
    [found] = read_prompts(jsonl(tmp_path / "a.jsonl", [{"text": "a b", "target": None, "targets": [".", ".", 9]}]), demo, PromptOptions())  # fmt: skip
    assert isinstance(found, Prompt)
    assert len(found.targets) == 2


def test_a_blank_in_front_of_a_target(data: Path, tmp_path: Path) -> None:
    """Tokenizers of the sentencepiece kind put it there themselves."""
    from atlas.importers.llama2c import convert

    given = data / "models" / "stories260K"
    convert(given / "stories260K.bin", given / "tok512.bin", tmp_path / "stories")
    model = load_model(tmp_path / "stories", device="cpu")
    rows = [{"text": "Lily was", "target": target} for target in (" he", "he")]
    first, second = read_prompts(jsonl(tmp_path / "a.jsonl", rows), model, PromptOptions())
    assert isinstance(first, Prompt)
    assert isinstance(second, Prompt)
    assert first.targets == second.targets
    assert shown(model, first.targets) == [" he"]


def test_cuts_and_bounds(demo: TracedModel, tmp_path: Path) -> None:
    long = jsonl(tmp_path / "a.jsonl", ["x " * 600])
    [cut] = read_prompts(long, demo, PromptOptions(max_tokens=1000, truncate=True))
    assert isinstance(cut, Prompt)
    assert len(cut.ids) == demo.most_positions
    text = tmp_path / "b.txt"
    text.write_text("\n    if x:\n<|end|>\n    y")
    assert reasons(text, demo, separator="<|end|>") == ["    if x:", "    y"]
    damaged = jsonl(tmp_path / "c.jsonl", ["fine = 1"])
    damaged.write_text(damaged.read_text() + "{nothing\n")
    assert trace_prompts(demo, damaged, tmp_path / "stats", corpus=PromptOptions(limit=1))[0].graphs == 1
    with pytest.raises(UsageError, match="1 prompt or more"):
        trace_prompts(demo, damaged, tmp_path / "stats", batch=0)


def test_a_card_that_is_too_small_is_said(demo: TracedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    monkeypatch.setattr(TracedModel, "forward", full)
    prompts = jsonl(tmp_path / "p.jsonl", LINES)
    with pytest.raises(AtlasError, match=r"memory is too small .*lower --batch"):
        trace_prompts(demo, prompts, tmp_path / "stats")
    with pytest.raises(AtlasError, match=r"memory is too small .*lower --batch"):
        project_model(demo, tmp_path / "p", prompts=prompts)


# Twice the same prompt, and rejects that are none any more.


@pytest.mark.parametrize("batch", [1, 8])
def test_a_prompt_that_comes_twice_counts_once(demo: TracedModel, tmp_path: Path, batch: int) -> None:
    traced, summary = trace_prompts(demo, jsonl(tmp_path / "p.jsonl", [*LINES, LINES[0]]), tmp_path / "stats", batch=batch)  # fmt: skip
    assert summary is not None
    assert (traced.graphs, traced.known, summary.graphs, traced.links) == (3, 1, 3, summary.links)


def test_equal_prompts_meet_in_one_part(demo: TracedModel, tmp_path: Path) -> None:
    path = jsonl(tmp_path / "p.jsonl", [*LINES, *LINES, ""])
    parts = [[item.text for item in read_prompts(path, demo, ShardedPromptOptions(shard=(part, 3))) if isinstance(item, Prompt)] for part in range(3)]  # fmt: skip
    assert sorted(text for part in parts for text in part) == sorted(LINES * 2)
    assert all(sum(text in part for part in parts) == 1 for text in LINES)


@pytest.mark.slow
def test_rejects_are_forgotten_once_there_is_a_graph(demo: TracedModel, tmp_path: Path) -> None:
    prompts = jsonl(tmp_path / "p.jsonl", [*LINES, "self." * 9])
    trace_prompts(demo, prompts, tmp_path / "stats", corpus=PromptOptions(max_tokens=12))
    assert rejected(tmp_path / "stats") == ["too_long"]
    trace_prompts(demo, prompts, tmp_path / "stats")
    assert rejected(tmp_path / "stats") == []
    jsonl(prompts, [*LINES, "self." * 9, ""])
    trace_prompts(demo, prompts, tmp_path / "stats")
    assert rejected(tmp_path / "stats") == ["empty"]
    trace_prompts(demo, prompts, tmp_path / "g", form="relp")
    assert (tmp_path / "g" / "rejects.csv").exists()
    trace_prompts(demo, jsonl(prompts, LINES), tmp_path / "g", form="relp")
    assert not (tmp_path / "g" / "rejects.csv").exists()


def rejected(stats: Path) -> list[str]:
    return pq.read_table(stats / "rejects.parquet")["reason"].to_pylist()


def test_a_projection_says_which_prompts_it_could_not_use(tmp_path: Path, demo: TracedModel) -> None:
    prompts = jsonl(tmp_path / "p.jsonl", ["", "x" * 5000])
    done = CliRunner().invoke(main, ["project", str(DEMO), "--prompts", str(prompts), "-o", str(tmp_path / "p"), "--device", "cpu"])  # fmt: skip
    assert "prompts not used: empty 1, too_long 1" in done.stderr
    assert project_model(demo, tmp_path / "q", prompts=prompts).exemplars == 0


# Where it goes.


def test_a_wrong_output_is_refused_before_the_work(demo: TracedModel, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    told: list[str] = []
    with pytest.raises(OutputError, match="is not empty and holds no stats"):
        trace_prompts(demo, jsonl(tmp_path / "p.jsonl", LINES), tmp_path / "mine", progress=lambda what, *_: told.append(what))  # fmt: skip
    assert "tracing prompts" not in told


def test_samples_of_two_corpora_stand_side_by_side(demo: TracedModel, tmp_path: Path) -> None:
    for name in ("a", "b"):
        trace_prompts(demo, jsonl(tmp_path / f"{name}.jsonl", [f"{name} = 1"]), tmp_path / "stats", save_graphs=1)
    found = (tmp_path / "stats.graphs").rglob("*.json")
    assert sorted(str(path.relative_to(tmp_path / "stats.graphs")) for path in found) == [
        "a/graph_000000.json",
        "b/graph_000000.json",
    ]


@pytest.mark.parametrize("form", ["relp", "viewer", "neuronpedia"])
def test_files_say_that_more_nodes_passed_than_fit(demo: TracedModel, tmp_path: Path, form: str) -> None:
    prompts = jsonl(tmp_path / "p.jsonl", LINES[:1])
    trace_prompts(demo, prompts, tmp_path / "g", form=form, options=TraceOptions(max_nodes=5))
    aggregate_graphs([tmp_path / "g"], tmp_path / "stats", threads=1)
    assert pq.read_table(tmp_path / "stats" / "graphs.parquet")["nodes_exceeded"].to_pylist() == [True]


def test_prompts_of_a_configuration_in_yaml(demo: TracedModel, tmp_path: Path) -> None:
    rows = [{"text": "import os", "source": "imports", "group": "a"}, {"text": "x = foo("}, {"text": "def f():"}]
    expected = list(read_prompts(jsonl(tmp_path / "a.jsonl", rows), demo, PromptOptions()))
    config = (
        "model: {name: demo, device: cpu}\nk: 5\nprompts:\n  - {prompt: import os, source: imports, group: a}\n"
        "  - 'x = foo('\n  - |-\n    def f():\n"
    )
    for name, text in (("a.yaml", config), ("a.yml", config.replace("prompts:", "sequences:"))):
        (tmp_path / name).write_text(text)
        assert list(read_prompts(tmp_path / name, demo, PromptOptions())) == expected
    (tmp_path / "a.yaml").write_text("- import os\n- 3\n- {other: 1}\n")
    assert reasons(tmp_path / "a.yaml", demo) == ["import os", "no_text", "no_text"]
    for text, words in (
        ("a: [1", "is no YAML"),
        ("model: x", "has no list of prompts under prompts, sequences.*; it has model"),
        ("just a text", "is no list of prompts"),
        ("!!python/object/apply:os.system ['true']", "is no YAML"),
        ("a: &a [x, x]\nb: &b [*a, *a]\nprompts: 3", "has no list of prompts"),
    ):
        (tmp_path / "a.yaml").write_text(text)
        with pytest.raises(InputError, match=words):
            reasons(tmp_path / "a.yaml", demo)
