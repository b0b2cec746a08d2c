"""Number formats of a training."""

from typing import Any

from lightning_fabric import Fabric

PRECISIONS = ("auto", "32-true", "16-mixed", "bf16-mixed", "64-true")


def resolve_precision(name: str, device: str) -> Any:
    """Return the name that Lightning Fabric knows; ``auto`` is half precision where it is faster, on a GPU."""
    if name != "auto":
        return name
    return "bf16-mixed" if device == "cuda" else "32-true"


def one_device(device: str = "cpu", precision: str = "auto") -> Fabric:
    """Return the Fabric of one process on ``cpu``, ``cuda`` or ``mps``."""
    return Fabric(accelerator=device, devices=1, precision=resolve_precision(precision, device))
