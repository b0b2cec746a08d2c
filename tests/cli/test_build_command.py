from pathlib import Path

from omegaconf import OmegaConf

from metad2a.cli.configuration import compose, plain
from metad2a.cli.jobs.build_command import build_command


def test_no_place_of_this_machine_is_in_it(tmp_path: Path) -> None:
    own = ["label_source=images", f"label_source.mine.images={tmp_path}/x.npz", "label_source.mine.licence=ours"]
    cfg = compose("build_database", [*own, f"label_source.mine.task_list={tmp_path}/tasks.json"])
    command = build_command(plain(OmegaConf.masked_copy(cfg, [key for key in cfg if key != "hydra"])))
    assert "label_source.mine.task_list=tasks.json" in command
    assert str(tmp_path) not in command
