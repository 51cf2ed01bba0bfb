"""Artefacts of Weights & Biases: pushed by the real client offline, and pulled through what stands in for its server."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

wandb = pytest.importorskip("wandb")
pytest.importorskip("torch")

from atlas.errors import InputError, UsageError  # noqa: E402
from atlas.pipeline.wandb_runs import clean_name, newest, pull_activations, push_activations  # noqa: E402
from atlas.stages.store.cells import Context  # noqa: E402
from atlas.stages.store.collector import VOCABULARY, Collector  # noqa: E402
from atlas.stages.store.spaces import ActivationSpace  # noqa: E402


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client writes nowhere else, and knows no key."""
    for name in ("WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR", "WANDB_ARTIFACT_DIR", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "wandb"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    (tmp_path / "wandb").mkdir()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    space = ActivationSpace("m", hook="sae", unit_type="feature")
    with Collector(tmp_path / "store", space=space, layers={0: 4, 2: 4}) as collector:
        for number in range(6):
            ids = tuple(rng.integers(0, 5, 5).tolist())
            values = {layer: rng.integers(-2, 3, (1, 5, 4)).astype(np.float32) for layer in (0, 2)}
            collector.add(values, [Context(ids, f"doc {number}")])
        collector.write(VOCABULARY.table({"token_id": range(5), "token": list("abcde"), "is_special": [None] * 5}))
    return tmp_path / "store"


class Kept:
    """Artefacts as the client logged them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.found: list[tuple[str, str, dict[str, Any], Path]] = []
        real = wandb.Run.log_artifact

        def log(run: Any, artifact: Any, *args: Any, **kwargs: Any) -> Any:
            place = folder / artifact.name
            for name, entry in artifact.manifest.entries.items():
                (place / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(entry.local_path, place / name)
            self.found.append((artifact.name, artifact.type, dict(artifact.metadata), place))
            return real(run, artifact, *args, **kwargs)

        monkeypatch.setattr(wandb.Run, "log_artifact", log)


@pytest.mark.slow
@pytest.mark.parametrize("chunked", [pytest.param(False, marks=pytest.mark.slow), True])
def test_what_the_client_logs_comes_back(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunked: bool
) -> None:
    kept = Kept(monkeypatch, tmp_path / "kept")
    names = push_activations(store, "project", name="my run", chunked=chunked, offline=True)
    assert names == [name for name, *_ in kept.found]
    assert list((tmp_path / "wandb").rglob("*.wandb"))  # the run waits there for wandb sync
    if chunked:
        assert [kind for _, kind, *_ in kept.found] == ["activation_data_chunk"] * 3
        run = names[-1].removeprefix("activation_data_my_run_").removesuffix("_token_ids")
        assert names[0] == f"activation_data_my_run_{run}_chunk_000_blocks--0--hook_resid_post"
    else:
        ((name, kind, facts, _),) = kept.found
        assert (kind, facts["num_layers"], facts["run_name"]) == ("activation_data", 2, "my run")
        assert name == f"activation_data_{facts['run_id']}"
        assert facts["layer_names"] == ["blocks.0.hook_resid_post", "blocks.2.hook_resid_post"]
        assert facts["has_token_ids"] is facts["has_metrics"] is True

    class Artifact:
        def __init__(self, name: str, kind: str, place: Path) -> None:
            self.name, self.type, self.place = f"{name}:v0", kind, place

        def download(self, root: str) -> str:
            shutil.copytree(self.place, root, dirs_exist_ok=True)
            return root

    class Api:
        def run(self, path: str) -> Any:
            assert path == "me/project/run"
            return self

        def logged_artifacts(self) -> list[Any]:
            return [Artifact(name, kind, place) for name, kind, _, place in kept.found]

    monkeypatch.setattr(wandb, "Api", Api)
    pull_activations("me/project/run", tmp_path / "again", units=4)

    def cells(folder: Path) -> list[dict[str, Any]]:
        return [row for part in sorted((folder / "activations").iterdir()) for row in pq.read_table(part).to_pylist()]

    assert cells(tmp_path / "again") == cells(store)
    words = {r["token_id"]: r["token"] for r in pq.read_table(tmp_path / "again" / "vocabulary.parquet").to_pylist()}
    texts = [
        [words[t] for t in r["token_ids"]] for r in pq.read_table(tmp_path / "again" / "contexts.parquet").to_pylist()
    ]
    assert texts == [
        ["abcde"[t] for t in r["token_ids"]] for r in pq.read_table(store / "contexts.parquet").to_pylist()
    ]


def test_without_a_login_the_error_says_so(store: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs a login") as caught:
        pull_activations("me/project/run", tmp_path / "again")
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="neither entity/project/run nor"):
        pull_activations("run", tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_versions_are_numbers_and_other_artefacts_are_left(tmp_path: Path) -> None:
    class Artifact:
        def __init__(self, name: str, kind: str) -> None:
            self.name, self.type = name, kind

    found = [
        Artifact("activation_data_x:v9", "activation_data"),
        Artifact("activation_data_x:v10", "activation_data"),
        Artifact("model:v99", "model"),
        Artifact("chunk:v1", "activation_data_chunk"),
    ]
    assert [artifact.name for artifact in newest(found)] == ["activation_data_x:v10", "chunk:v1"]
    assert clean_name("a/b:c d") == "a-b-c_d"
    assert json.dumps(clean_name("plain")) == '"plain"'
