import numpy as np
import pytest

from chain.sentinel2.image import open_product
from tests.chain.sentinel2.scenes import read, write

PIXELS = np.arange(900, dtype=np.uint16).reshape(30, 30) + 500


@pytest.mark.parametrize("bands", [("B04",), ("B04", "B03")])
@pytest.mark.parametrize(
    "name",
    [
        *(
            "a?b",
            "a?&bands=2",
            "a?&skipgeom=true",
            "a&b",
            "a#b",
            "a b",
            "a'b",
            'a"b',
            "a\nb",
            "a\tb",
            "a:3",
            "a;b",
            "a,b",
        ),
        *("a%20b", "a\\b", "a<b>", "-a", "~a", "$a", "[a]*", "ä", "http:a", "x" * 240),
    ],
)
def test_odd_characters_in_names_lead_to_no_other_pixels(tmp_path, name, bands):
    """OTB cuts names at a question mark: the file of what is left is another one."""
    write(tmp_path / "a", [PIXELS + 7])
    path = write(tmp_path / f"{name}_B04.tif", [PIXELS + number for number in range(len(bands))], bands)
    assert np.array_equal(read(open_product(path, ("B04",), offset=0), "B04"), PIXELS)
