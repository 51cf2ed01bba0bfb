"""Exports of statistics and examples: sample folders with a report, Neuronpedia's files, and an Arrow stream of all activations."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from atlas.activations.exports.source import ExportSource
from atlas.errors import InputError, UsageError
from atlas.io.files import write_json
from atlas.io.text import markdown
from atlas.stages import DATASETS, require

Progress = Callable[[str, int, int], None]
Row = dict[str, Any]
_CONTEXT = 20  # tokens around the one that is active
_REPORTED = 20
_PER_FILE = 1024  # features of a file of Neuronpedia


def export_samples(source: ExportSource, folder: Path, progress: Progress) -> int:
    """Write feature_00000_samples.json, ..., collection_summary.json, and a report in Markdown.

    Statistics are over all activations, and not over the samples that are listed.
    """
    layer = _only_layer(source)
    written: list[Row] = []
    stats = [row for row in source.statistics("activation_stats").to_pylist() if row["layer"] == layer]
    examples = _examples(source, ("top",))
    for number, row in enumerate(stats):
        samples = [_sample(source, row["unit"], example) for example in examples.get((layer, row["unit"]), [])]
        if samples:
            facts = {
                "feature_idx": row["unit"],
                "num_samples": len(samples),
                "max_activation": row["max_active"],
                "mean_activation": row["mean_active"],
                "std_activation": row["std_active"],
                "min_activation": row["min_active"],
                "activation_count": row["active_count"],
                "all_time_max": row["max_active"],
                "token_count": row["token_count"],
                "threshold": row["threshold"],
            }
            found = {"statistics": facts, "top_samples": samples}
            write_json(found, folder / f"feature_{row['unit']:05d}_samples.json")
            written.append(found)
        progress("writing units", number + 1, len(stats))
    held = sum(len(found["top_samples"]) for found in written)
    ordered = sorted(written, key=lambda found: -found["statistics"]["max_activation"])
    top = [
        {
            "feature_idx": f["statistics"]["feature_idx"],
            **{k: f["statistics"][k] for k in ("max_activation", "num_samples")},
        }
        for f in ordered[:50]
    ]
    summary = {
        "total_samples_seen": sum(row["active_count"] for row in stats),
        "total_samples_stored": held,
        "num_features_tracked": len(stats),
        "avg_samples_per_feature": held / len(written) if written else 0.0,
        "features_with_samples": sorted(found["statistics"]["feature_idx"] for found in written),
        "top_features_by_activation": top,
    }
    write_json(summary, folder / "collection_summary.json")
    (folder / "report.md").write_text(_report(source, summary, ordered[:_REPORTED]), encoding="utf-8")
    source.write_contexts(folder, "samples")
    return held


def _sample(source: ExportSource, unit: int, example: Row) -> Row:
    tokens, at = source.tokens_of(example["context_id"]), example["position"]
    near = tokens[max(0, at - _CONTEXT // 2) : at + _CONTEXT // 2 + 1] if at >= 0 else tokens
    mine = tokens[max(0, at - 1) : at + 1] if at >= 0 else tokens
    return {
        "feature_idx": unit,
        "activation_value": example["value"],
        "tokens": mine,
        "text": "".join(mine),
        "position": at,
        "context_tokens": near,
        "context_text": "".join(near),
    }


def _report(source: ExportSource, summary: Row, features: list[Row]) -> str:
    lines = [
        "# SAE Feature Interpretability Report",
        "",
        f"Generated from: {markdown(source.store.name)}",
        "",
        "## Collection Summary",
        "",
    ]
    lines += [
        f"- Active places: {summary['total_samples_seen']:,}",
        f"- Samples listed: {summary['total_samples_stored']:,}",
        f"- Features looked at: {summary['num_features_tracked']:,}",
        f"- Features with samples: {len(summary['features_with_samples']):,}",
        "",
        f"## Top {len(features)} Most Active Features",
    ]
    for found in features:
        facts = found["statistics"]
        lines += ["", f"### Feature {facts['feature_idx']}", "", "**Statistics:**", ""]
        lines += [
            f"- {name}: {facts[key]:.4g}" for name, key in (("Max", "max_activation"), ("Mean", "mean_activation"))
        ]
        lines += [
            f"- Active places: {facts['activation_count']:,}",
            f"- Places looked at: {facts['token_count'] or 'unknown'}",
        ]
        lines += ["", f"**Top {len(found['top_samples'])} Examples:**", ""]
        for number, sample in enumerate(found["top_samples"], 1):
            lines += [
                f"{number}. **[{sample['activation_value']:.4g}]** {markdown(sample['text'])}",
                f"   - Context: _{markdown(sample['context_text'])}_",
                f"   - Position: {sample['position']}",
            ]
        lines += ["", "---"]
    return "\n".join(lines) + "\n"


def export_neuronpedia(source: ExportSource, folder: Path, progress: Progress) -> int:
    """Write {model}/{layer}-{set}/features/batch-0.jsonl.gz and activations/batch-0.jsonl.gz, as Neuronpedia exports them."""
    if source.is_whole:
        raise UsageError(
            "this format holds positions, and the store has one value per context; export it as zarr or npy"
        )
    stats = source.statistics("activation_stats").to_pylist()
    logits = _logits(source)
    examples = _examples(source, ("top", "quarter 1", "quarter 2", "quarter 3", "quarter 4"))
    model, count = source.space.model or "model", 0
    sets = {"neuron": "neurons", "feature": "sae"}.get(source.space.unit_type, source.space.unit_type)
    for layer in source.backend.layers:
        name = f"{layer}-{sets}"
        target = folder / model.replace("/", "--") / name
        for part in ("features", "activations"):
            (target / part).mkdir(parents=True)
        mine = [row for row in stats if row["layer"] == layer]
        for number, first in enumerate(range(0, len(mine), _PER_FILE)):
            some = mine[first : first + _PER_FILE]
            _lines(
                target / "features" / f"batch-{number}.jsonl.gz", (_feature(model, name, row, logits) for row in some)
            )
            rows = [
                found
                for row in some
                for found in _activations(
                    source, model, name, (layer, row["unit"]), examples.get((layer, row["unit"]), [])
                )
            ]
            count += len(rows)
            _lines(target / "activations" / f"batch-{number}.jsonl.gz", rows)
            progress("writing units", min(first + _PER_FILE, len(mine)), len(mine))
        _plain(target / "model.jsonl", {"id": model})
        _plain(target / "source.jsonl", {"modelId": model, "id": name, "setName": sets})
        _plain(target / "sourceset.jsonl", {"modelId": model, "name": sets})
        _plain(target / "release.jsonl", {"name": source.store.name})
    source.write_contexts(folder, "neuronpedia")
    return count


def _feature(model: str, name: str, row: Row, logits: dict[tuple[int, int], dict[str, list[Any]]]) -> Row:
    found = {
        "modelId": model,
        "layer": name,
        "index": row["unit"],
        "maxActApprox": row["max_active"],
        "frac_nonzero": row["density"],
    }
    empty: dict[str, list[Any]] = {"pos_str": [], "pos_values": [], "neg_str": [], "neg_values": []}
    return found | {"hasVector": False, "vector": []} | logits.get((row["layer"], row["unit"]), empty)


def _logits(source: ExportSource) -> dict[tuple[int, int], dict[str, list[Any]]]:
    """Return the ten tokens that each feature promotes and suppresses; nothing without the stage of features."""
    if source.features is None:
        return {}
    table = pq.read_table(require(source.features, DATASETS["features.feature_tokens"]))
    found: dict[tuple[int, int], dict[str, list[Any]]] = {}
    for row in table.to_pylist():
        if row["projection_kind"] == "output" and row["rank"] <= 10:
            side = "pos" if row["direction"] == "promotes" else "neg"
            mine = found.setdefault(
                (row["layer"], row["unit"]), {n: [] for n in ("pos_str", "pos_values", "neg_str", "neg_values")}
            )
            mine[f"{side}_str"].append(row["token"])
            mine[f"{side}_values"].append(row["weight"])
    return found


def _activations(
    source: ExportSource, model: str, name: str, unit: tuple[int, int], examples: list[Row]
) -> Iterator[Row]:
    """Yield the examples of a unit with the activation on each of their tokens."""
    cells = source.backend.load(unit) if examples else None
    for example in examples:
        assert cells is not None  # the statistics are of this store
        tokens = source.tokens_of(example["context_id"])
        values = [0.0] * len(tokens)
        mine = cells.context == example["context_id"]
        for position, value in zip(cells.position[mine].tolist(), cells.value[mine].tolist(), strict=True):
            values[position] = value
        sizes = [abs(value) for value in values]
        peak = sizes.index(max(sizes)) if sizes else 0
        found = {"modelId": model, "layer": name, "index": unit[1], "tokens": tokens, "values": values}
        found |= {
            "maxValue": max(values, default=0.0),
            "minValue": min(values, default=0.0),
            "maxValueTokenIndex": peak,
        }
        yield found | {"qualifyingTokenIndex": example["position"], "binContains": -1, "dataSource": example["stratum"]}


def _lines(path: Path, rows: Iterator[Row] | list[Row]) -> None:
    # Without the time, equal rows give equal bytes.
    with path.open("wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", mtime=0) as stream:
        for row in rows:
            stream.write(json.dumps(row, ensure_ascii=False).encode("utf-8", "replace") + b"\n")


def _plain(path: Path, row: Row) -> None:
    path.write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")


def export_arrow(source: ExportSource, folder: Path, progress: Progress) -> int:
    """Write activations.arrows, a stream of Arrow record batches sorted by unit, and contexts and vocabulary beside it."""
    dataset, total = DATASETS["activations.activations"], 0
    parts = sorted(dataset.path(source.store).glob("*.parquet"))
    schema = dataset.schema
    with pa.OSFile(str(folder / "activations.arrows"), "wb") as sink, pa.ipc.new_stream(sink, schema) as stream:
        for number, part in enumerate(parts):
            for batch in pq.ParquetFile(part).iter_batches(1 << 16):
                stream.write_batch(batch.select(schema.names).cast(schema))
                total += len(batch)
            progress("writing parts", number + 1, len(parts))
    source.write_contexts(folder, "arrow")
    return total


def _only_layer(source: ExportSource) -> int:
    layers = list(source.backend.layers)
    if len(layers) != 1:
        raise InputError(f"sample folders hold one layer, and {source.store} has {layers}; collect one with --layers")
    return layers[0]


def _examples(source: ExportSource, strata: tuple[str, ...]) -> dict[tuple[int, int], list[Row]]:
    """Return the examples of every unit in some strata, best first."""
    found: dict[tuple[int, int], list[Row]] = {}
    for row in source.statistics("activation_examples").to_pylist():
        if row["stratum"] in strata and row["rank"] <= source.options.examples:
            found.setdefault((row["layer"], row["unit"]), []).append(row)
    for rows in found.values():
        rows.sort(key=lambda row: (row["stratum"] != "top", row["stratum"], row["rank"]))
    return found
