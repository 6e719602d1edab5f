# SPDX-License-Identifier: Apache-2.0
"""Whether TensorFlow computes what it is asked for, also where the system gives it no memory for its code."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from models.convolutions import check_convolutions

pytestmark = pytest.mark.keras

CODE = 256 * 1024
"""Bytes of memory for one of the routines that oneDNN makes."""
NO_MEMORY = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

void *mmap(void *address, size_t size, int protection, int flags, int file, off_t offset) {
  static void *(*real)(void *, size_t, int, int, int, off_t);
  static int routines;
  const char *refused = getenv("REFUSED");
  if (!real) real = dlsym(RTLD_NEXT, "mmap");
  if (refused && size == %d && file == -1 && ++routines == atoi(refused)) {
    errno = ENOMEM;
    return MAP_FAILED;
  }
  return real(address, size, protection, flags, file, offset);
}
"""
CONVOLVE = """
import sys
import numpy as np
from chain.runtime.resources import prepare_process
prepare_process(1)
import tensorflow as tf
from models.convolutions import check_convolutions
if sys.argv[1] == "checked":
    check_convolutions()
draw = np.random.default_rng(1).uniform
images, kernel = draw(-1, 1, (1, 20, 20, 8)).astype(np.float32), draw(-1, 1, (1, 1, 8, 8)).astype(np.float32)
found = tf.nn.conv2d(images, kernel, 1, "VALID").numpy()
print("right" if np.allclose(found, images @ kernel[0, 0], atol=1e-4) else "wrong")
"""


def test_convolutions_are_right_here_also_where_a_function_is_traced():
    check_convolutions.cache_clear()
    check_convolutions()
    check_convolutions.cache_clear()
    tf.function(check_convolutions)()


@pytest.mark.parametrize("operation, wrong", [("matmul", 0.5), ("conv2d", np.nan), ("conv2d_transpose", 0.5)])
def test_other_numbers_are_noticed(monkeypatch, operation, wrong):
    module = tf.linalg if operation == "matmul" else tf.nn
    right = getattr(module, operation)
    monkeypatch.setattr(module, operation, lambda *arguments: right(*arguments) + np.float32(wrong))
    check_convolutions.cache_clear()
    with pytest.raises(RuntimeError, match="^expected TensorFlow to convolve as NumPy does"):
        check_convolutions()
    check_convolutions.cache_clear()


@pytest.mark.slow
@pytest.mark.parametrize("routine", [1, 5, 10, 15, 20])
def test_nothing_wrong_is_computed_where_there_is_no_memory_for_code(tmp_path, routine):
    """Without the check, TensorFlow's convolutions may be wrong, and nobody is told."""
    source, library = tmp_path / "no_memory.c", tmp_path / "no_memory.so"
    source.write_text(NO_MEMORY % CODE)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    variables = {**os.environ, "LD_PRELOAD": str(library), "REFUSED": str(routine), "TF_ENABLE_ONEDNN_OPTS": "0"}
    said = {
        how: subprocess.run([sys.executable, "-c", CONVOLVE, how], env=variables, capture_output=True, text=True)
        for how in ("unchecked", "checked")
    }
    checked = said["checked"]
    if said["unchecked"].stdout.strip() == "wrong":
        assert "RuntimeError: expected TensorFlow to convolve" in checked.stderr
    else:
        assert checked.stdout.strip() == "right" or "RuntimeError: expected TensorFlow to convolve" in checked.stderr
