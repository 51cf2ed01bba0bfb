"""Recorder of values inside a model of `transformers`, by hooks on its modules."""

from __future__ import annotations

from typing import Any

from torch import Tensor

Seen = dict[tuple[int, str], Any]


class Recorder:
    """Recorder of inputs and outputs of modules, by layer and name, until `remove` is called."""

    def __init__(self) -> None:
        self.seen: Seen = {}
        self._hooks: list[Any] = []

    def keep_input(self, module: Any, layer: int, name: str) -> None:
        """Record the first argument of a module."""

        def before(_: object, args: tuple[Tensor, ...]) -> None:
            self.seen[layer, name] = args[0]

        self._hooks.append(module.register_forward_pre_hook(before))

    def keep_output(self, module: Any, layer: int, name: str) -> None:
        """Record the output of a module; of an attention, its pattern."""

        def after(_: object, __: object, output: Any) -> None:
            self.seen[layer, name] = output[1] if isinstance(output, tuple) else output

        self._hooks.append(module.register_forward_hook(after))

    def keep_stream(self, block: Any, layer: int, name: str) -> None:
        """Record the output of a module that may be the first of a tuple, such as the residual stream behind a block."""

        def after(_: object, __: object, output: Any) -> None:
            self.seen[layer, name] = output[0] if isinstance(output, tuple) else output

        self._hooks.append(block.register_forward_hook(after))

    def keep_rotation(self, attention: Any, layer: int) -> None:
        """Record cosines and sines of the rotary positions of an attention."""

        def before(_: object, __: object, given: dict[str, Any]) -> None:
            self.seen[layer, "rotation"] = given["position_embeddings"]

        self._hooks.append(attention.register_forward_pre_hook(before, with_kwargs=True))

    def remove(self) -> None:
        """Remove all hooks."""
        for hook in self._hooks:
            hook.remove()
