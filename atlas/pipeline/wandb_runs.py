"""Stores of activations as artefacts of Weights & Biases: one artefact of all layers, or one per layer.

| names | type | files |
|---|---|---|
| activation_data_{run_id} | activation_data | activation_data/{hook}.pt, all_token_ids.pt, evaluation_metrics.json |
| activation_data_{run_name}_{run_id}_chunk_{i:03d}_{layer}, ..._token_ids | activation_data_chunk | the file, at the root |
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from atlas.errors import InputError, UsageError, needs_extra
from atlas.importers import IMPORTERS
from atlas.importers.summary import ImportSummary
from atlas.options import MEMORY, ExportOptions
from atlas.runtime.progress import Progress, silent

TYPES = WHOLE_TYPE, CHUNK_TYPE = "activation_data", "activation_data_chunk"
_VERSION = re.compile(r":v(\d+)\Z")
_TOKENS = "all_token_ids.pt"


def push_activations(
    store: Path,
    project: str,
    *,
    entity: str | None = None,
    name: str | None = None,
    chunked: bool = False,
    dtype: str = "float16",
    offline: bool = False,
    progress: Progress = silent,
) -> list[str]:
    """Log a store as artefacts of a new run.

    Args:
        store: Folder of the store.
        project: Project of the run.
        entity: Owner of the project; the default of the account where None.
        name: Name of the run; the name of the folder where None.
        chunked: One artefact per layer.
        dtype: Type of the values: `float16` or `float32`.
        offline: Keep the run on this machine, for `wandb sync`.
        progress: Called with the name of the step, the number done and the total.

    Returns:
        Names of the artefacts.

    Raises:
        InputError: The client is not logged in, or refuses.
        MissingExtra: wandb is not installed.
        StageError: `store` is none.
        UsageError: The store has no windows of tokens.
    """
    with needs_extra("wandb"):
        import wandb
    with needs_extra("trace"):
        from atlas.activations.exports import export_store
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "export"
        export_store(store, folder, "wandb", ExportOptions(dtype=dtype), progress=progress)
        files = sorted((folder / "activation_data").iterdir())
        layers = [path for path in files if path.suffix == ".pt" and path.name != _TOKENS]

        def log() -> list[str]:
            run = wandb.init(
                project=project,
                entity=entity,
                name=name or store.name,
                mode="offline" if offline else "online",
                # The client remembers the first folder of the process; it is asked for each run.
                dir=os.environ.get("WANDB_DIR") if offline else scratch,
                settings=wandb.Settings(silent=True),
            )
            with run:
                return _logged(wandb, run, files, layers, chunked)

        names: list[str] = _translated(log)
        return names


def _logged(wandb: Any, run: Any, files: list[Path], layers: list[Path], chunked: bool) -> list[str]:
    facts = {"run_id": run.id, "run_name": run.name, "num_layers": len(layers)}
    facts |= {
        "layer_names": [path.stem.replace("--", ".") for path in layers],
        "has_token_ids": True,
        "has_metrics": True,
    }
    parts: list[tuple[str, str, list[tuple[Path, str]]]] = []
    if chunked:
        clean = f"activation_data_{clean_name(run.name)}_{run.id}"
        parts += [
            (f"{clean}_chunk_{i:03d}_{path.stem}", CHUNK_TYPE, [(path, path.name)]) for i, path in enumerate(layers)
        ]
        tokens = [(path, path.name) for path in files if path.name == _TOKENS]
        parts.append((f"{clean}_token_ids", CHUNK_TYPE, tokens))
    else:
        parts.append(
            (f"activation_data_{run.id}", WHOLE_TYPE, [(path, f"activation_data/{path.name}") for path in files])
        )
    for name, kind, held in parts:
        artifact = wandb.Artifact(name, type=kind, metadata={} if chunked else facts)
        for path, inside in held:
            artifact.add_file(str(path), name=inside)
        run.log_artifact(artifact)
    return [name for name, _, _ in parts]


def clean_name(name: str) -> str:
    """Return the name of a run as the names of its artefacts have it.

    >>> clean_name("org/my run:2")
    'org-my_run-2'
    """
    return name.replace("/", "-").replace(":", "-").replace(" ", "_")


def pull_activations(
    source: str,
    out: Path,
    *,
    model: str | None = None,
    units: int | None = None,
    value_kind: str | None = None,
    memory: int = MEMORY,
    progress: Progress = silent,
) -> ImportSummary:
    """Download the activations of a run, or one artefact, and import them into a store.

    Of several versions, the one with the largest number is taken.

    Args:
        source: `entity/project/run`, or `entity/project/artefact:version`.
        out: Folder of the store, which is replaced.
        model: Name of the model, where the files state none.
        units: Number of units of every layer, which the files do not state.
        value_kind: What a value is; the files do not say.
        memory: Bytes that sorting may take.
        progress: Called with the name of the step, the number done and the total.

    Returns:
        Counts of the import.

    Raises:
        InputError: The client is not logged in, or the run holds no activations.
        MissingExtra: wandb is not installed.
        UsageError: The name is none of a run or artefact.
    """
    with needs_extra("wandb"):
        import wandb
    if source.count("/") != 2:
        raise UsageError(f"{source!r} is neither entity/project/run nor entity/project/artefact:version")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / source.rpartition("/")[2].replace(":", "-")

        def download() -> None:
            api = wandb.Api()
            found = [api.artifact(source)] if ":" in source else newest(api.run(source).logged_artifacts())
            for number, artifact in enumerate(found):
                progress("downloading artefacts", number, len(found))
                artifact.download(root=str(folder))

        _translated(download)
        if not folder.exists():
            raise InputError(f"{source} holds no artefact of type {' or '.join(TYPES)}")
        options = {"model": model, "units": units, "value_kind": value_kind, "memory": memory}
        return IMPORTERS["activations"].run([folder], out, progress=progress, **options)


def newest(artifacts: Iterable[Any]) -> list[Any]:
    """Return the newest version of every artefact of activations. Versions are numbers: v10 is newer than v9."""
    found: dict[str, tuple[int, Any]] = {}
    for artifact in artifacts:
        if artifact.type in TYPES:
            version = _VERSION.search(artifact.name)
            name = artifact.name.partition(":")[0]
            number = int(version[1]) if version else 0
            if name not in found or number > found[name][0]:
                found[name] = (number, artifact)
    return [artifact for _, artifact in found.values()]


def _translated(run: Callable[[], Any]) -> Any:
    """Run a call of the client; its refusals are one line that says what to do."""
    import wandb

    try:
        return run()
    except (wandb.errors.UsageError, wandb.errors.AuthenticationError) as error:
        said = " ".join(str(error).split())[:200]
        raise InputError(f"Weights & Biases needs a login: {said} (wandb login, or --offline to push later)") from error
    except (wandb.errors.Error, wandb.errors.CommError, ValueError) as error:
        raise InputError(f"Weights & Biases refused: {' '.join(str(error).split())[:300]}") from error
