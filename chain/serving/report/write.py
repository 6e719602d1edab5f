# SPDX-License-Identifier: Apache-2.0
"""Writing the report of a product: measured window by window, in bounded memory, one file that loads nothing.

write_report(Path("sr.tif"), Path("sr.html"), given)
"""

from pathlib import Path

from chain.raster.grids import Region
from chain.runtime.files import whole_file
from chain.runtime.progress import SILENT, Progress
from chain.sentinel2.opened_image import OpenedImage
from chain.serving.options import ServingOptions
from chain.serving.product import DONE, MADE, Product
from chain.serving.report import pictures
from chain.serving.report.doubts import doubts
from chain.serving.report.native import Given, of_image
from chain.serving.report.numbers import Measurement
from chain.serving.report.page import page
from chain.serving.report.places import Place, most_detailed, places_in
from chain.serving.report.subject import Subject

SHOWN = 384
"""Side of the part that is shown before and after, in pixels of the product."""


def write_report(
    product: Path,
    report: Path,
    given: Given | None,
    reason: str = "",
    argument: str = "--report",
    progress: Progress = SILENT,
) -> None:
    """Write the report of a product.

    Args:
        product: its file; a record beside it is read.
        report: the page, `.html`; one that is there is replaced.
        given: what it was made of; None where that is not at hand.
        reason: why it is not, a sentence.
        argument: the option that names the page, for errors.
        progress: where progress is reported.

    Raises:
        ValueError: the product is no raster, or the input is not of its ground.
        RuntimeError: a raster cannot be read.
        OSError: the disk refuses.
    """
    subject = Subject(product, given, reason)
    measurement, found = Measurement(subject), []
    for number, (region, pairs) in enumerate(subject.pairs(list(subject.natives))):
        progress(0.8 * number / len(subject.windows), "report")
        made = {name: pairs[name].made if name in pairs else subject.read(name, region) for name in subject.bands}
        measurement.add(made, pairs)
        still = [name for name in subject.finer if name not in subject.moved] or subject.finer
        found += places_in(region, {name: pairs[name] for name in still})
    places = most_detailed(found, subject)
    numbers = measurement.numbers
    progress(0.8, "report")
    compositions = pictures.composites(subject) if subject.natives else []
    views = [pictures.view(subject, _around(places, subject), each) for each in compositions]
    text = page(subject, numbers, doubts(subject, numbers), views, places)
    with whole_file(report, argument) as partial:
        partial.write_text(text, encoding="utf-8")
    progress(1.0, "report")


def report_of(product: Product, image: OpenedImage, options: ServingOptions, progress: Progress = SILENT) -> None:
    """Write the report that options ask for, of a product of an open image; of one that was there, if it is missing.

    Args:
        product: the product; one of which regions are missing has no report.
        image: what it was made of.
        options: those of the program.
        progress: where progress is reported.
    """
    report = Path(str(options.report))
    if product.outcome == MADE or (product.outcome == DONE and not report.exists()):
        write_report(product.path, report, of_image(image, options.floating), progress=progress)


def _around(places: list[Place], subject: Subject) -> Place:
    """Return the part that is shown before and after: around the place of most detail, or in the middle."""
    whole = subject.whole
    columns, rows = min(SHOWN, whole.columns), min(SHOWN, whole.rows)
    centre = places[0].region if places else whole
    x = min(max(centre.x + centre.columns // 2 - columns // 2, 0), whole.columns - columns)
    y = min(max(centre.y + centre.rows // 2 - rows // 2, 0), whole.rows - rows)
    return Place(Region(x, y, columns, rows), places[0].detail if places else 0.0)
