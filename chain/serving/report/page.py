# SPDX-License-Identifier: Apache-2.0
"""The page of a report, written section by section; what is not known of a product has no section."""

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from chain.runtime.provenance import software
from chain.serving.info import crs_name
from chain.serving.product_names import DATE_KEY, LAST_DATE_KEY
from chain.serving.provenance import SYSTEM_KEY
from chain.serving.report import charts, pictures
from chain.serving.report.numbers import BandNumbers, Numbers
from chain.serving.report.pictures import Composite, View
from chain.serving.report.places import Place
from chain.serving.report.subject import Subject

TEMPLATE = Path(__file__).with_name("page.html")
UNIT, OTHER_UNIT = "10 000 × reflectance", "numbers of the product"
BAR = 3.0
"""Sharpness that fills a bar."""
NOTHING = 1e-6
"""Share of the mean below which a shift is rounding."""


def page(
    subject: Subject, numbers: Numbers, doubts: Sequence[str], views: Sequence[View], places: Sequence[Place]
) -> str:
    """Return the page.

    Args:
        subject: the product.
        numbers: what was measured of it.
        doubts: warnings, in sentences.
        views: a part of it, before and after, in some compositions of bands.
        places: where most detail was added.
    """
    unit = UNIT if subject.is_reflectance else OTHER_UNIT
    sections = [
        _doubts(doubts, subject),
        _slider(views),
        _places(subject, places, views[0].composite, unit) if views and places else "",
        _bands(subject, numbers, unit),
        _angles(subject, numbers),
        _histograms(numbers, unit, bool(subject.natives)),
        _errors(subject, unit),
        _origin(subject),
    ]
    metadata = subject.dataset.GetMetadata()
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=escape(subject.path.name),
        kicker=escape(f"Super-resolution report · {metadata.get(SYSTEM_KEY, 'unknown system')}"),
        subtitle=escape(_subtitle(metadata)),
        facts="\n".join(_facts(subject, numbers, doubts)),
        sections="\n".join(filter(None, sections)),
        footer=escape(f"Written by {software()}. The page loads nothing from elsewhere."),
    )


def _subtitle(metadata: Mapping[str, str]) -> str:
    """Return what the product was made of, its level and its date, as far as it says so."""
    level = metadata.get("SR_LEVEL", "")
    moments = [metadata[key] for key in (DATE_KEY, LAST_DATE_KEY) if metadata.get(key)]
    told = [f"{moment[:10].replace(':', '-')} {moment[11:16]}" for moment in moments]
    dated = f"acquired {' to '.join(told)} UTC" if told else ""
    return " · ".join(filter(None, (metadata.get("SR_INPUT", ""), level if level != "unknown" else "", dated)))


def _facts(subject: Subject, numbers: Numbers, doubts: Sequence[str]) -> Iterator[str]:
    """Yield what is to be known first."""
    grid = subject.grid
    crs = crs_name(grid.projection) or "no georeference"
    ratios = sorted({round(ratio, 2) for ratio in subject.spacing_ratio.values() if ratio > 1 + 1e-6})
    from_ = f"{' and '.join(f'{ratio:g}' for ratio in ratios)} × finer than the input" if ratios else ""
    yield _fact("Pixel", _length(grid.dx, subject), from_)
    yield _fact("Size", f"{grid.columns} × {grid.rows}", f"pixels, {crs}")
    yield _fact("Bands", str(len(subject.bands)), _listed(subject.bands))
    compared = [numbers.bands[name] for name in subject.finer if np.isfinite(numbers.bands[name].relative)]
    if compared:
        worst = max(compared, key=lambda band: band.relative)
        yield _fact("Consistency", f"{worst.relative:.2%}", f"off the input in the worst band, {worst.name}")
    sharper = [band.sharpness for name, band in numbers.bands.items() if name in subject.finer]
    sharper = [value for value in sharper if np.isfinite(value)]
    if sharper:
        yield _fact("Sharpness", f"{np.median(sharper):.2f} ×", "bicubic, the median of bands made finer")
    if numbers.angles.size:
        yield _fact("Spectral angle", f"{np.median(numbers.angles):.2f}°", "median")
    yield _fact("Warnings", str(len(doubts)) if doubts else "none", "")


def _fact(name: str, value: str, more: str) -> str:
    return f"<div><dt>{escape(name)}</dt><dd>{escape(value)}<small>{escape(more)}</small></dd></div>"


def _length(length: float, subject: Subject) -> str:
    """Return a length on the product's map; without one, lengths are in pixels of the input."""
    if not subject.placed:
        return f"{length:.3g} px" if subject.natives else "1 px"
    return f"{length:.3g} °" if subject.is_geographic else f"{length:g} m"


def _listed(names: Sequence[str]) -> str:
    """Return names, shortened where they are many."""
    return ", ".join(names) if len(names) < 6 else f"{names[0]} … {names[-1]}"


def _section(title: str, text: str, content: str) -> str:
    """Return a section; `text` and `content` are HTML."""
    words = f"<p class='soft'>{text}</p>" if text else ""
    return f"<section>\n<h2>{escape(title)}</h2>\n{words}\n{content}\n</section>"


def _doubts(doubts: Sequence[str], subject: Subject) -> str:
    """Return the section of warnings, and of what is missing."""
    told = "".join(f"<li>{escape(doubt)}</li>" for doubt in doubts)
    content = f'<ul class="doubts">{told}</ul>' if doubts else ""
    if not subject.natives:
        content += (
            f'<p class="fine">{escape(subject.reason or "What the product was made of is not at hand.")} Pictures '
            "before and after, consistency, sharpness and spectral angles are therefore missing.</p>"
        )
    elif not doubts:
        content = '<p class="fine">Nothing unusual was found.</p>'
    return _section("Warnings", "", content)


def _slider(views: Sequence[View]) -> str:
    """Return the section that shows a part before and after."""
    if not views:
        return ""
    choices = "".join(
        f'<label class="choice"><input type="radio" name="bands" value="view{number}"{" checked" * (number == 0)}>'
        f"<span>{escape(view.composite.title)}</span></label>"
        for number, view in enumerate(views)
    )
    sliders = "".join(
        f'<div class="slider" id="view{number}"{" hidden" * (number > 0)}>'
        f'<img alt="The input, interpolated: {escape(view.composite.title)}" src="{view.before}" '
        f'width="{view.columns}" height="{view.rows}">'
        f'<img class="after" alt="The product at the same place" src="{view.after}">'
        '<span class="tag left">Input, bicubic</span><span class="tag right">Product</span>'
        '<span class="knob" aria-hidden="true">⇔</span>'
        '<input type="range" min="0" max="100" value="50" step="1" '
        'aria-label="Boundary between the input on the left and the product on the right, in percent"></div>'
        for number, view in enumerate(views)
    )
    chooser = f"<fieldset><legend>Bands</legend>{choices}</fieldset>" if len(views) > 1 else ""
    captions = " · ".join(f"{view.composite.title}: {', '.join(view.composite.bands)}" for view in views
                          if len(view.composite.bands) > 1)  # fmt: skip
    told = f"{captions}. Both sides have the contrast of the input." if captions else "Both have the input's contrast."
    caption = f"<figcaption>{escape(told)}</figcaption>"
    text = "Drag the line, or use the arrow keys. Left is the input, interpolated to the product's pixels."
    return _section("Before and after", text, f"{chooser}<figure>{sliders}{caption}</figure>")


def _places(subject: Subject, places: Sequence[Place], composite: Composite, unit: str) -> str:
    """Return the section of the places where most detail was added."""
    picture, columns, rows = pictures.overview(subject)
    factor = columns / subject.whole.columns
    font = max(columns, rows) / 26
    marks = "".join(
        f'<rect x="{place.region.x * factor:.1f}" y="{place.region.y * factor:.1f}" '
        f'width="{max(place.region.columns * factor, 3):.1f}" height="{max(place.region.rows * factor, 3):.1f}" '
        'fill="none" stroke="#000" stroke-width="4" vector-effect="non-scaling-stroke"/>'
        f'<rect x="{place.region.x * factor:.1f}" y="{place.region.y * factor:.1f}" '
        f'width="{max(place.region.columns * factor, 3):.1f}" height="{max(place.region.rows * factor, 3):.1f}" '
        'fill="none" stroke="#fff" stroke-width="2" vector-effect="non-scaling-stroke"/>'
        f'<text x="{place.region.x * factor + font * 0.2:.1f}" y="{place.region.y * factor + font:.1f}" '
        f'font-size="{font:.1f}" font-weight="700" fill="#fff" stroke="#000" stroke-width="{font / 6:.1f}" '
        f'paint-order="stroke">{number}</text>'
        for number, place in enumerate(places, start=1)
    )
    whole = (
        f'<figure class="map"><svg viewBox="0 0 {columns} {rows}" role="img" aria-label="The product with the numbered '
        f'places"><image href="{picture}" width="{columns}" height="{rows}"/>{marks}</svg>'
        "<figcaption>The whole product, and the places beside.</figcaption></figure>"
    )
    shown = "".join(_place(subject, number, place, composite) for number, place in enumerate(places, start=1))
    text = (
        "The input interpolated, the product, and how much was added: the mean absolute difference of the bands shown, "
        f"in {escape(unit)}. Places are ordered by detail as a share of the brightness."
    )
    return _section("Where most detail was added", text, f'<div class="places">{whole}<div>{shown}</div></div>')


def _place(subject: Subject, number: int, place: Place, composite: Composite) -> str:
    """Return a place: before, after, and what was added."""
    seen = pictures.view(subject, place, composite)
    difference, highest = pictures.added(subject, place, composite)
    grid, region = subject.grid, place.region
    x, y = grid.left + (region.x + region.columns / 2) * grid.dx, grid.top - (region.y + region.rows / 2) * grid.dy
    digits = 5 if subject.is_geographic else 0
    at = f"x {x:.{digits}f}, y {y:.{digits}f}" if subject.placed else f"column {region.x}, row {region.y}"
    images = "".join(
        f'<img alt="{alt}" src="{source}" width="{seen.columns}" height="{seen.rows}">'
        for alt, source in (
            (f"Place {number}: the input, interpolated", seen.before),
            (f"Place {number}: the product", seen.after),
            (f"Place {number}: what was added", pictures.mapped(difference, highest)),
        )
    )
    caption = (
        f'<span class="number">{number}</span> {escape(at)} · detail {place.detail:.1%} of the brightness · '
        f'<span class="scale" aria-hidden="true"></span> 0 to {_plain(highest)}'
    )
    return f'<figure class="place"><div class="triple">{images}</div><figcaption>{caption}</figcaption></figure>'


def _bands(subject: Subject, numbers: Numbers, unit: str) -> str:
    """Return the section of the numbers of each band."""
    if not subject.natives:
        return ""
    rows = "".join(_row(band, subject) for band in numbers.bands.values())
    head = (
        "<tr><th>Band</th><th>Input pixel</th><th>Mean of the input</th><th>Mean shift</th><th>Off the input (RMS)</th>"
        "<th>Share of the mean</th><th>Sharpness, bicubic = 1</th></tr>"
    )
    read = "" if subject.sampled == 1 else (
        f" {len(subject.windows)} windows, {subject.sampled:.0%} of the pixels, were read."
    )  # fmt: skip
    text = (
        "The product made as coarse as the input (Wald's protocol: a blur, by a Gaussian of 1/2 pixel where 2 lie "
        "along one of the input, 1/3 where 3 do; then the mean), minus the input: the mean is the shift, the root mean "
        "square how far the product is off its input. What is large is not the input made finer: displaced bands, "
        f"other dates, or a wrong unit. Numbers are in {escape(unit)}.{read}"
    )
    if subject.moved:
        text += f" {escape(', '.join(sorted(subject.moved)))}: laid onto another band, and therefore not compared."
    table = f'<div class="wide"><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>'
    return _section("Band by band", text, table)


def _row(band: BandNumbers, subject: Subject) -> str:
    """Return the numbers of a band as a row."""
    if not np.isfinite(band.spacing):
        return f"<tr><th scope='row'>{escape(band.name)}</th><td colspan='6' class='text'>not in the input</td></tr>"
    width = min(np.nan_to_num(band.sharpness) / BAR, 1) * 5
    bar = f'<span class="bars"><span class="bar" style="width:{width:.2f}rem"></span></span>'
    cells = (
        _length(band.spacing, subject), _plain(band.mean), _shift(band), _plain(band.consistency),
        f"{band.relative:.2%}" if np.isfinite(band.relative) else "–",
    )  # fmt: skip
    written = "".join(f"<td>{cell}</td>" for cell in cells)
    return f"<tr><th scope='row'>{escape(band.name)}</th>{written}<td>{bar}{_plain(band.sharpness)}</td></tr>"


def _shift(band: BandNumbers) -> str:
    """Return the shift of a band's level as it is shown."""
    if abs(band.shift) <= NOTHING * abs(band.mean):
        return "0"
    return f"{'+' if band.shift > 0 else '−'}{_plain(abs(band.shift))}"


def _plain(value: float) -> str:
    """Return a number as it is shown: three digits, large ones whole; a dash where there is none."""
    if not np.isfinite(value):
        return "–"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:#.3g}".rstrip(".") if value else "0"


def _angles(subject: Subject, numbers: Numbers) -> str:
    """Return the section of spectral angles."""
    if not numbers.angles.size:
        return ""
    median, most = np.percentile(numbers.angles, (50, 95))
    text = (
        "The angle between the spectra of the input and of the product, made as coarse as the input's largest pixels, "
        f"{_length(numbers.angle_spacing, subject)}: "
        f"{median:.2f}° in the median, less than {most:.2f}° in 95 %. Colours keep where it is small."
    )
    label = f"Histogram of spectral angles: median {median:.2f} degrees, 95th percentile {most:.2f} degrees"
    chart = f'<div class="narrow" role="img" aria-label="{label}">{charts.angles(numbers.angles)}</div>'
    return _section("Spectral angle", text, chart)


def _histograms(numbers: Numbers, unit: str, has_input: bool) -> str:
    """Return the section of histograms."""
    bands = [band for band in numbers.bands.values() if band.pixels]
    if not bands:
        return ""
    key = '<span class="key"></span>product'
    key += '<span class="key input"></span>input' if has_input else ""
    told = "; ".join(f"{band.name} from {band.lowest:.5g} to {band.highest:.5g}" for band in bands)
    chart = f'<div role="img" aria-label="Histograms: {escape(told)}">{charts.histograms(bands, unit)}</div>'
    return _section("Histograms", key, chart)


def _errors(subject: Subject, unit: str) -> str:
    """Return the section of the error layer."""
    found = pictures.errors(subject)
    if not found:
        return ""
    layers = "".join(
        f'<figure><img alt="Expected error of {escape(name)}" src="{source}" width="{columns}" height="{rows}">'
        f'<figcaption>{escape(name)} · <span class="scale" aria-hidden="true"></span> 0 to {_plain(highest)}'
        "</figcaption></figure>"
        for name, (source, highest, columns, rows) in found.items()
    )
    text = f"The absolute error to be expected, in {escape(unit)}: bright is uncertain."
    return _section("Error layer", text, f'<div class="layers">{layers}</div>')


def _origin(subject: Subject) -> str:
    """Return the section of weights, decisions and versions."""
    record, metadata = subject.record, subject.dataset.GetMetadata()
    if not record and not metadata.get(SYSTEM_KEY):
        return _section("Where it comes from", "", "<p>The file says nothing of it, and no record lies beside it.</p>")
    parts = [_models(record.get("models", ()), metadata)]
    decisions = record.get("decisions", ())
    if decisions:
        told = "".join(f"<li>{escape(str(decision))}</li>" for decision in decisions)
        parts.append(f"<h3>What was decided about the input</h3><ul>{told}</ul>")
    if record:
        names = record.get("input", {}).get("names", ())
        stated = {
            "Input": ", ".join(map(str, names)),
            "Software": metadata.get("TIFFTAG_SOFTWARE", ""),
            "Versions": ", ".join(f"{name} {version}" for name, version in record.get("versions", {}).items()),
            "Seconds": str(record.get("seconds", "")),
            "Identity": metadata.get("SR_IDENTITY", ""),
        }
        rows = "".join(
            f'<tr><th scope="row">{name}</th><td class="text">{escape(value)}</td></tr>'
            for name, value in stated.items() if value
        )  # fmt: skip
        parts.append(f"<h3>Run</h3><div class='wide'><table><tbody>{rows}</tbody></table></div>")
        text = escape(json.dumps(record, indent=2, ensure_ascii=False))
        parts.append(f"<details><summary>The whole record</summary><pre tabindex='0'>{text}</pre></details>")
    else:
        parts.append("<p class='note'>No record lies beside the product.</p>")
    return _section("Where it comes from", "", "".join(parts))


def _models(models: Sequence[Mapping[str, Any]], metadata: Mapping[str, str]) -> str:
    """Return the networks and their weights."""
    if not models:
        weights = metadata.get("SR_WEIGHTS", "unknown")
        return f"<p>Weights: {escape(weights)}</p>"
    rows = "".join(
        "<tr>"
        f"<th scope='row'>{escape(str(model.get('model') or model.get('system', '')))}</th>"
        f"<td class='text'>{escape(', '.join(model.get('output', {}).get('bands', ())))}</td>"
        f"<td class='text'>{escape(' and '.join(model.get('levels', ())) or 'any')}</td>"
        f"<td class='text'>{escape(str(model.get('precision', '')))}, {escape(str(model.get('engine', '')))}</td>"
        f"<td class='text'><code>{escape(str(model.get('weights') or 'unknown')[:16])}</code></td></tr>"
        for model in models
    )
    head = (
        "<tr><th>Network</th><th class='text'>Bands</th><th class='text'>Level</th><th class='text'>Precision, engine"
        "</th><th class='text'>Weights (SHA-256)</th></tr>"
    )
    return f"<div class='wide'><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>"
