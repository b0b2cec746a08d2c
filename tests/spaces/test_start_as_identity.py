import torch

from metad2a.spaces.mobilenetv3 import MobileNetV3
from metad2a.spaces.networks.mobilenetv3 import Block, start_as_identity


def test_blocks_with_a_shortcut_change_nothing_at_first() -> None:
    space = MobileNetV3()
    network = space.build(space.parse("+".join(["d2:k3e3-k5e4-~k3e3-~k3e3"] * 5)), 4, width=35, downsampling=8)
    start_as_identity(network)
    blocks = [block for block in network.modules() if isinstance(block, Block)]
    with_shortcut = [block for block in blocks if block.shortcut]
    assert 5 <= len(with_shortcut) < len(blocks)
    for block in blocks:
        x = torch.randn(2, next(block.parameters()).shape[1] if hasattr(block.body, "expand") else 8, 4, 4)
        assert torch.equal(block(x), x) == block.shortcut
    network(torch.randn(2, 3, 16, 16)).sum().backward()
    assert all(block.body.project.norm.weight.grad.abs().sum() > 0 for block in with_shortcut)
