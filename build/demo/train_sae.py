"""Train the sparse autoencoder of the demo, on the sources of the Python standard library.

    python build/demo/train_sae.py build/demo        # or: make demo-sae

Writes `build/demo/sae`, a SAELens folder, with `training.json`: options, learning curve, and the measures on held-out files.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from train_demo import texts

from atlas.cli.main import main

LAYER, ACTIVE, EPOCHS = 2, 16, 2


def run(folder: Path) -> None:
    """Train, and write the folder of the autoencoder."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "stdlib.jsonl"
        with path.open("w", encoding="utf-8") as stream:
            for name, text in texts():
                stream.write(json.dumps({"text": text, "source": name}) + "\n")
        shown = ["--layer", str(LAYER), "--k", str(ACTIVE), "--epochs", str(EPOCHS), "--buffer", "500000"]
        given = ["train-sae", str(folder), str(path), "-o", str(folder / "sae"), *shown]
        main([*given, "--batch", "32", "--rate", "0.002", "--name", "circuit-atlas-demo", "--fresh"])


if __name__ == "__main__":
    run(Path(sys.argv[1]))
