"""From the image features of a data set to one vector."""

from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from metad2a.models.set_attention import SetPool


class SetEncoder(nn.Module):
    """Pool the images of each class, then the classes (Lee et al., MetaD2A, ICLR 2021, section 3.2).

    The result depends neither on the order of the images of a class nor on that of the classes.

    Args:
        feature_dim: ``F``.
        dim: ``H``, width of the class prototypes and of the result.
        num_heads: attention heads.
        normalize: bring every feature vector to mean 0 and variance 1 first. The published weights take the
            features of ResNet-18 as they are; those of other embedders have other scales.
    """

    def __init__(self, feature_dim: int, dim: int = 56, *, num_heads: int = 4, normalize: bool = False) -> None:
        super().__init__()
        self.normalize = normalize
        self.intra = SetPool(feature_dim, dim, num_heads=num_heads)
        self.inter = SetPool(dim, dim, num_heads=num_heads)

    def prototypes(
        self, features: Float[Tensor, "B C K F"], mask: Bool[Tensor, "B C K"] | None = None
    ) -> Float[Tensor, "B C H"]:
        """Return one vector a class; that of a class without images means nothing."""
        if self.normalize:
            features = F.layer_norm(features, features.shape[-1:])
        images = None if mask is None else mask.flatten(0, 1)
        return self.intra(features.flatten(0, 1), images).unflatten(0, features.shape[:2])

    def forward(
        self, features: Float[Tensor, "B C K F"], mask: Bool[Tensor, "B C K"] | None = None
    ) -> Float[Tensor, "B H"]:
        """Return one vector a data set.

        Args:
            features: of the images, anything finite where there is none.
            mask: True where an image exists; a class without images does not exist. None: all exist.
        """
        classes = None if mask is None else mask.any(-1)
        return self.inter(self.prototypes(features, mask), classes)
