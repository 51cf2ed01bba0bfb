"""Weight wiring: time, share of the matrix-product rate, and memory, on a random model of OLMo's layout at reduced size.

    make bench-wire
    python tests/bench/bench_wire.py --layers 32 --neurons 11008 --width 4096 --device cuda

"products alone" are the same matrix products without any top K; "whole pairs" holds each layer pair at once and
sorts it by numpy: the obvious way. All three see the same weights.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import measure
import numpy as np
import torch
from safetensors.torch import save_file

from atlas.options import WireOptions
from atlas.wiring import Weights, wire
from atlas.wiring.top_k import product
from atlas.wiring.weights import on


def make(folder: Path, layers: int, neurons: int, width: int) -> Path:
    generator = torch.Generator().manual_seed(0)
    folder.mkdir()
    config = {"num_hidden_layers": layers, "intermediate_size": neurons, "hidden_size": width}
    (folder / "config.json").write_text(json.dumps(config))
    for layer in range(layers):
        tensors = {}
        for name, shape in (("up", (neurons, width)), ("gate", (neurons, width)), ("down", (width, neurons))):
            tensors[f"model.layers.{layer}.mlp.{name}_proj.weight"] = torch.randn(shape, generator=generator).bfloat16()
        save_file(tensors, folder / f"model-{layer:02d}.safetensors")
    return folder


def ours(model: Path, out: Path, device: str) -> None:
    summary = wire(model, out, device=device)
    print(json.dumps({"seconds": summary.seconds, "operations": summary.operations, "rows": summary.connections}))


def products(model: Path, _: Path, device: str) -> None:
    weights, started, pairs = Weights(model), time.monotonic(), 0
    for upper in range(1, weights.shape.layers):
        reads = [on(device, value) for value in weights.reads(upper, fold_norms=False)]
        for lower in range(upper):
            writes = on(device, weights.writes(lower, fold_norms=False))
            for read in reads:
                product(read, writes)
            pairs += 1
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    operations = pairs * 4 * weights.shape.neurons**2 * weights.shape.width
    print(json.dumps({"seconds": time.monotonic() - started, "operations": operations, "rows": 0}))


def whole_pairs(model: Path, _: Path, device: str) -> None:
    weights, top, started, kept, pairs = Weights(model), WireOptions().top_connections, time.monotonic(), {}, 0
    for upper in range(1, weights.shape.layers):
        up, gate = (value.float().numpy() for value in weights.reads(upper, fold_norms=False))
        for lower in range(upper):
            down = weights.writes(lower, fold_norms=False).float().numpy().T
            c_up, c_gate = up @ down, gate @ down
            for sign in (1, -1):
                strength = np.where((c_up * sign > 0) & (c_gate * sign > 0), (c_up + c_gate) * sign, 0)
                for axis in (0, 1):
                    order = np.argpartition(strength, -top, axis=axis).take(range(-top, 0), axis=axis)
                    kept[upper, lower, sign, axis] = order, np.take_along_axis(strength, order, axis)
            pairs += 1
    operations = pairs * 4 * weights.shape.neurons**2 * weights.shape.width
    print(json.dumps({"seconds": time.monotonic() - started, "operations": operations, "rows": 0}))


CONTENDERS = {"ours": ours, "products alone": products, "whole pairs (numpy)": whole_pairs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--neurons", type=int, default=2752)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        name, model, out = options.child
        CONTENDERS[name](Path(model), Path(out), options.device)
        return
    print(
        f"{options.layers} layers x {options.neurons:,} neurons, width {options.width:,}; {measure.cores()}, {options.device}"
    )
    print(f"{'':22} {'seconds':>8} {'TFLOP/s':>8} {'of products':>11} {'peak MB':>8}")
    with tempfile.TemporaryDirectory() as work:
        model = make(Path(work) / "model", options.layers, options.neurons, options.width)
        rate, lines = 0.0, []
        for name in CONTENDERS:
            out = Path(work) / "out"
            found, _, peak = measure.run([__file__, "--device", options.device, "--child", name, str(model), str(out)])
            speed = found["operations"] / found["seconds"] / 1e12
            rate = speed if name == "products alone" else rate
            lines.append((name, found["seconds"], speed, peak))
        for name, seconds, speed, peak in lines:
            print(f"{name:22} {seconds:8.2f} {speed:8.3f} {speed / rate:11.0%} {peak:8,.0f}")


if __name__ == "__main__":
    main()
