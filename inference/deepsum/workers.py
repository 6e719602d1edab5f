# SPDX-License-Identifier: Apache-2.0
"""Scenes of the challenge on many processes or machines: workers make the images, this process writes them."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np

from chain.serving.input_files import InputWatch
from datasets.deepsum.kelvins import KelvinsScene
from inference.deepsum.options import Options
from inference.deepsum.scenes import watch_of

MadeElsewhere = Callable[[KelvinsScene], tuple[InputWatch, np.ndarray]]
SCENES_AT_ONCE = 64
"""Scenes that are handed out at once."""


@contextmanager
def made_by_workers(
    scenes: Sequence[KelvinsScene], options: Options, cancelled: Callable[[], bool] | None
) -> Iterator[MadeElsewhere | None]:
    """Let workers make the images of scenes for a while, in their order.

    Args:
        scenes: the scenes.
        options: how images are made.
        cancelled: says whether the work is to stop.

    Yields:
        What returns, when the image of a scene is made, what has watched the scene's files meanwhile, and the image;
        None where options ask for no workers.

    Raises:
        RuntimeError: Dask is not installed, or no worker comes.
        OSError: the scheduler does not answer.
    """
    if not options.scheduler:
        yield None
        return
    from chain.serving.dask.scheduler import opened_workers

    stopped = threading.Event()
    with opened_workers(options, "inference.deepsum", at_once=1) as workers, ThreadPoolExecutor(SCENES_AT_ONCE) as pool:

        def stops() -> bool:
            return stopped.is_set() or bool(cancelled and cancelled())

        def make(scene: KelvinsScene) -> tuple[InputWatch, np.ndarray]:
            assert workers
            watch, module = watch_of(scene), "inference.deepsum.challenge"
            return watch, workers.make_scene(scene.name, module, "image_of", (str(scene.folder),), stops)

        images = {scene.name: pool.submit(make, scene) for scene in scenes}
        try:
            yield lambda scene: images[scene.name].result()
        finally:
            stopped.set()
            pool.shutdown(wait=True, cancel_futures=True)
