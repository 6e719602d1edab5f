# SPDX-License-Identifier: Apache-2.0
"""What trainings ask of the samples of a set."""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import tensorflow as tf


class Samples(Protocol):
    """The samples of one set, as a training asks for them."""

    @property
    def size(self) -> int:
        """Number of samples of an epoch."""

    def identity(self) -> dict[str, str]:
        """Return digests of what the samples are made of, by name."""

    def dataset(self, batch_size: int, *, augmentation: bool = False, first_epoch: int = 0) -> "tf.data.Dataset":
        """Make a dataset of (inputs, targets), one pass being one epoch.

        Args:
            batch_size: number of samples of a batch.
            augmentation: flip and rotate at random.
            first_epoch: number of the epoch that is the first pass.
        """
