"""Calls for which the host has to wait for the device, forbidden."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

WAITING = {"_local_scalar_dense", "nonzero", "nonzero_numpy", "masked_select", "equal", "unique"}
"""Operations whose result, or its shape, a GPU would have to be asked for."""

INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_"}
"""The same, if an index is boolean."""


class Waited(AssertionError):
    pass


class _Forbid(TorchDispatchMode):
    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        name = func.overloadpacket.__name__
        masked = name in INDEXING and any(i is not None and i.dtype == torch.bool for i in args[1])
        if name in WAITING or masked:
            raise Waited(f"{func}: the host waits for the device")
        return func(*args, **(kwargs or {}))


@contextlib.contextmanager
def no_waiting(device: torch.device) -> Iterator[None]:
    """Within it, a call that waits for the device raises.

    A CPU is never waited for: there, it is the operations that would make a GPU wait.
    """
    if device.type != "cuda":
        with _Forbid():
            yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")
