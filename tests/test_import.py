import json
import subprocess
import sys

import pytest

import metad2a

HEAVY = {
    *("torch", "numpy", "pandas", "scipy", "sklearn", "matplotlib", "PIL", "pyarrow", "torch_geometric"),
    *("wandb", "tensorboard", "lightning_fabric", "hydra", "omegaconf", "typer", "rich", "jinja2", "torchvision"),
}


def imported_by(code: str) -> set[str]:
    """Return the packages that a new Python has imported after ``code``."""
    report = "import sys, json; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stderr == ""
    return set(json.loads(done.stdout))


def test_importing_the_package_imports_nothing_else() -> None:
    assert imported_by("import metad2a; metad2a.__version__; dir(metad2a)") & HEAVY == set()


def test_searching_needs_no_training_tools() -> None:
    loaded = imported_by("from metad2a import MetaD2A, ImageSet, get_space; get_space('nasbench201')")
    assert {"torch", "numpy"} <= loaded
    unwanted = {"pandas", "matplotlib", "wandb", "hydra", "omegaconf", "sklearn", "torchvision", "tensorboard"}
    assert loaded & unwanted == set()


@pytest.mark.parametrize("name", metad2a.__all__)
def test_public_names_are_there(name: str) -> None:
    assert getattr(metad2a, name) is not None
    assert name in dir(metad2a)


def test_public_names_are_the_things_themselves() -> None:
    from metad2a import ImageSet, MetaD2A
    from metad2a.data.image_set import ImageSet as OwnImageSet
    from metad2a.search.metad2a import MetaD2A as OwnMetaD2A

    assert MetaD2A is OwnMetaD2A
    assert ImageSet is OwnImageSet


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'metad2a' has no attribute 'MetaD2B'"):
        _ = metad2a.MetaD2B
