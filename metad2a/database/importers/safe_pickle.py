"""Reading other people's ``.pt`` files, which are pickles, without running anything they contain.

Unpickling may call any function by its name. Here only the few that rebuild plain data can be named; a file
that names another one is refused before anything of it is called.
"""

import tarfile
import warnings
import zipfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import torch
from torch.serialization import SourceChangeWarning

from metad2a.data.restricted_pickle import ARRAYS, RestrictedUnpickler, explained
from metad2a.errors import DatabaseError


@dataclass
class PickledGraph:
    """Stands for an ``igraph.Graph``, so that igraph need not be installed.

    Attributes:
        n: number of vertices.
        edges: pairs of vertices.
        directed: whether ``edges`` have a direction.
        graph_attributes: by name.
        vertex_attributes: by name, a value per vertex.
        edge_attributes: by name, a value per edge.
    """

    n: int
    edges: list[tuple[int, int]]
    directed: bool
    graph_attributes: dict[str, Any]
    vertex_attributes: dict[str, list[Any]]
    edge_attributes: dict[str, list[Any]]


class Skipped:
    """Stands for an object that is of no use here, such as an image transform: it is made and keeps nothing."""

    dump_patches = False  # what torch.load asks of modules in files from before torch 1.6

    def __new__(cls, *_arguments: Any) -> "Skipped":
        """Return the same empty object whatever the file gives."""
        return super().__new__(cls)

    def __setstate__(self, _state: Any) -> None:
        """Forget the state that the file gives."""


# What pickled compositions of torchvision's transforms name.
_SKIPPED = (
    *(("torchvision.transforms.transforms", name) for name in ("Compose", "Resize", "CenterCrop", "ToTensor")),
    ("torchvision.transforms.transforms", "Normalize"),
    ("torchvision.transforms.functional", "InterpolationMode"),
    ("PIL.Image", "Resampling"),
)


class _Unpickler(RestrictedUnpickler):
    allowed: ClassVar = {
        **ARRAYS,
        ("__builtin__", "set"): set,  # its name in protocol 2, which torch.save writes
        ("builtins", "set"): set,
        ("collections", "OrderedDict"): OrderedDict,
        ("igraph", "Graph"): PickledGraph,
        ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
        **dict.fromkeys(_SKIPPED, Skipped),
    }


# torch.load finds storages by itself and asks this "module" for everything else.
_RESTRICTED_PICKLE = SimpleNamespace(
    __name__="restricted_pickle",
    Unpickler=_Unpickler,
    load=lambda file, **options: _Unpickler(file, **options).load(),
)


def read_restricted(path: Path, *, mapped: bool = False) -> Any:
    """Return the content of a ``.pt`` file of tensors, arrays, graphs and plain data.

    Args:
        path: of the file.
        mapped: leave the tensors in the file until their values are read, which files from before torch 1.6
            do not allow: of these everything is read.

    Raises:
        DatabaseError: the file is missing or damaged, or would call something that is not allowed; the message
            names it, and nothing was called.
    """
    with explained(path, ".pt file", DatabaseError), warnings.catch_warnings():
        check_container(path)
        # The source code of skipped objects differs from that in the file, of course.
        warnings.simplefilter("ignore", SourceChangeWarning)
        return torch.load(
            path,
            map_location="cpu",
            weights_only=False,
            pickle_module=_RESTRICTED_PICKLE,
            mmap=mapped and zipfile.is_zipfile(path),
        )


def check_container(path: Path) -> None:
    """Refuse what torch.load also opens but torch.save never writes: archives that grow, scripts, tar files.

    And web pages, which servers send in place of files that are gone.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
        if any(Path(member.filename).name == "constants.pkl" for member in members):
            raise DatabaseError(f"{path} is not opened: it is a TorchScript program, not data.")
        size = sum(member.file_size for member in members)
        if size > path.stat().st_size or any(member.compress_type for member in members):
            raise DatabaseError(
                f"{path} is not opened: it would unpack to {size:,} bytes. "
                "What torch.save writes is not compressed."
            )
    elif path.is_file() and tarfile.is_tarfile(path):
        raise DatabaseError(f"{path} is not opened: it is a tar archive. Convert it with torch.save.")
    elif path.is_file() and _is_web_page(path):
        raise DatabaseError(f"{path} is a web page, not data: its download failed. Get the file again.")


def _is_web_page(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(256).lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype", b"<html"))
