"""The benchmark's cases of the MobileNetV3 space alone: what inherited weights, NSGANetV2 and counting cost."""

import numpy as np
import torch

from metad2a.evaluation.benchmark.measure import Work
from metad2a.fitting.network import LabelledImages, seeded
from metad2a.fitting.supernet_file import TrainedSupernet
from metad2a.oracles.supernet import SupernetOracle
from metad2a.runtime import numpy_rng, torch_rng
from metad2a.search.base import get_searcher
from metad2a.spaces.base import Architecture
from metad2a.spaces.networks.supernet import Supernet
from metad2a.spaces.registry import get_space

SPACE = "mobilenetv3"
COUNTED = 1000
INHERITED = 4
DESIGN, ASKED = 100, 8  # networks known before an iteration of NSGANetV2, and those that it asks for
_WIDTH, _DOWNSAMPLING, _RESOLUTION, _CLASSES = 35, 8, 16, 200  # as in conf/recipe/supernet16.yaml
_STATISTICS, _MEASURED = 1024, 1000


def inherited_accuracies() -> Work:
    """Return the work of telling the accuracies of some networks with inherited weights, on noise."""
    rng = torch_rng("benchmark", "inherited")
    with seeded(0):
        net = Supernet(_CLASSES, width=_WIDTH, downsampling=_DOWNSAMPLING).eval()
    classes = tuple(map(str, range(_CLASSES)))
    supernet = TrainedSupernet(net, classes, _RESOLUTION, (128.0,) * 3, (64.0,) * 3)

    def images(count: int) -> LabelledImages:
        pixels = torch.randint(256, (count, 3, _RESOLUTION, _RESOLUTION), generator=rng, dtype=torch.uint8)
        return LabelledImages(pixels, torch.arange(count) % _CLASSES)

    oracle = SupernetOracle(supernet, images(_STATISTICS), images(_MEASURED), classes)
    archs = get_space(SPACE).sample(INHERITED, numpy_rng("benchmark", "inherited"))
    return lambda: oracle.evaluate(archs)


def nsganetv2_iteration() -> Work:
    """Return the work of one iteration: choosing a surrogate, NSGA-II, and filling the gaps of the front."""
    space = get_space(SPACE)
    searcher = get_searcher("nsganetv2", space, doe=DESIGN, k=ASKED)
    archs = searcher.ask(DESIGN)
    noise = numpy_rng("benchmark", "accuracy").normal(size=DESIGN)
    values = 60 + 5 * np.log(space.flops(archs, 10, 224) / 1e8) + 0.2 * noise
    searcher.tell(archs, values.tolist())
    state = searcher.state_dict()

    def iteration() -> list[Architecture]:
        searcher.load_state_dict(state)
        return searcher.ask(ASKED)

    return iteration


def count_multiply_adds() -> Work:
    """Return the work of counting the multiply-adds of many networks."""
    space = get_space(SPACE)
    archs = space.sample(COUNTED, numpy_rng("benchmark", "counted"))
    return lambda: space.flops(archs, 1000, space.resolution)
