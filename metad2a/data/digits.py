"""The embedded image set ``digits``."""

import numpy as np

from metad2a.data.image_set import ImageSet


def digits() -> ImageSet:
    """Return scikit-learn's handwritten digits: 1,797 gray images of 8 x 8 pixels in 10 classes.

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pixels = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    return ImageSet.from_arrays(pixels, bunch.target, name="digits", source="embedded:digits")
