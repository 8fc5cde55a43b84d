"""What something costs: seconds of each part, and bytes at the peak.

No boxes here.

Lesson: 40
"""

import time
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Laps:
    """A stopwatch: `done(name)` ends a part; `seconds` holds how long each took.

    Args:
        clock: gives seconds. device: a GPU is waited for at the end of each part.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter,
                 device: torch.device | None = None):
        self.clock, self.device = clock, device
        self.seconds: dict[str, float] = {}
        self._wait()
        self._started = clock()

    def _wait(self) -> None:
        if self.device is not None and self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def done(self, part: str) -> None:
        """From the last call, or the beginning, until now was this part."""
        self._wait()
        now = self.clock()
        self.seconds[part] = self.seconds.get(part, 0.0) + now - self._started
        self._started = now


class PeakMemory(TorchDispatchMode):
    """While it is entered: how many bytes of new tensors live at once, at most.

    Counted from the tensors' storages, each once, so that the number is the same on every machine.
    What an operation needs inside itself and gives back is not seen, nor what was there before, nor
    what a storage gains by resizing.

    >>> with PeakMemory() as memory:
    ...     x = torch.zeros(1000)
    ...     y = x + 1
    ...     del x
    ...     z = y + 1
    >>> memory.bytes  # x and y, then y and z
    8000
    """

    def __init__(self):
        super().__init__()
        self.bytes = 0
        self._now = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        before = {leaf.untyped_storage()._cdata for leaf in tree_leaves((args, kwargs))
                  if isinstance(leaf, Tensor)}
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._meet(leaf.untyped_storage(), before)
        self.bytes = max(self.bytes, self._now)
        return result

    def _meet(self, storage: torch.UntypedStorage, before: set[int]) -> None:
        key = storage._cdata
        if key in self._known or key in before:
            return
        self._known.add(key)
        size = storage.nbytes()
        self._now += size

        def gone() -> None:
            self._known.discard(key)
            self._now -= size

        weakref.finalize(storage, gone)


def peak_bytes(work: Callable[[], object]) -> int:
    """The bytes of new tensors that live at once while some work is done, at most."""
    with PeakMemory() as memory:
        work()
    return memory.bytes


def parameters(model: torch.nn.Module) -> int:
    """How many numbers a model has learned."""
    return sum(one.numel() for one in model.parameters())
