# SPDX-License-Identifier: Apache-2.0
"""The shuffle against a C++ program made with the compiler at hand."""

import shutil
import subprocess

import pytest
from otbtf_applications.libstdcpp_shuffle import shuffled

PROGRAM = """
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <random>
#include <vector>
int main(int argc, char** argv)
{
  for (int k = 1; k < argc; ++k)
  {
    std::vector<int> elements(std::atoi(argv[k]));
    std::iota(elements.begin(), elements.end(), 0);
    std::default_random_engine engine;
    std::shuffle(elements.begin(), elements.end(), engine);
    for (int element : elements) std::printf("%d ", element);
    std::printf("\\n");
  }
}
"""


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ to compile the reference program with")
def test_same_order_as_the_standard_library(tmp_path):
    (tmp_path / "shuffle.cpp").write_text(PROGRAM)
    subprocess.run(["g++", "shuffle.cpp", "-o", "shuffle"], cwd=tmp_path, check=True)
    sizes = [*range(1, 20), 56, 1001, 46340, 46341, 46343]
    printed = subprocess.run(
        [tmp_path / "shuffle", *map(str, sizes)], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    for size, line in zip(sizes, printed):
        assert shuffled(range(size)) == [int(word) for word in line.split()], size


def test_known_order():
    assert shuffled([]) == []
    assert shuffled("a") == ["a"]
    assert sorted(shuffled(range(100))) == list(range(100))
    assert shuffled(range(100)) != list(range(100))


def test_too_many_elements():
    with pytest.raises(ValueError, match="elements: expected at most .*, got 2147483647"):
        shuffled(range(2**31 - 1))
