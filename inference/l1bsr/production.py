# SPDX-License-Identifier: Apache-2.0
"""From the files of an image to its product: what both tasks have in common."""

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from chain.runtime.progress import LOG, Progress
from chain.runtime.provenance import write
from chain.runtime.resources import bytes_of
from chain.serving.companions import write_companions
from chain.serving.ground import part_of
from chain.serving.input_files import local_files
from chain.serving.options import SHOWN
from chain.serving.outputs import check_files, check_outputs, is_interrupted
from chain.serving.product import DONE, Product
from chain.serving.product_file import product_of
from chain.serving.provenance import write_record
from chain.serving.up_to_date import check_same
from inference.l1bsr.counts import Counts, check_range, read_counts
from inference.l1bsr.image import open_image
from inference.l1bsr.in_precision import in_precision
from inference.l1bsr.model import Execution, check_size, find_network
from inference.l1bsr.options import REGISTRATION, SUPER_RESOLUTION, Options
from inference.l1bsr.product import ProductInputs
from inference.l1bsr.registration import flow_file, register, register_first, registered_file
from inference.l1bsr.registration_metrics import registration_metrics
from inference.l1bsr.report import given_of
from inference.l1bsr.scratch import Scratch
from inference.l1bsr.super_resolution import super_resolve
from models.l1bsr import BANDS

NETWORKS = {SUPER_RESOLUTION: "REC", REGISTRATION: "CSR"}
"""The network of each task."""
READ, REGISTERED = 0.05, 0.6
"""Fractions of the work that are done when the image is read, and when what is super-resolved is registered."""


def open_inputs(task: str, names: Sequence[str], output: Path, options: Options) -> ProductInputs:
    """Open the image of a product, and find its networks.

    Args:
        task: `superresolution` or `registration`.
        names: files of the image.
        output: the product.
        options: how it is made.

    Raises:
        ValueError: the image, the model or the options do not suit each other.
    """
    network = find_network(options.model_dir, NETWORKS[task])
    registrar = None
    if network.description.arguments.get("registered"):
        registrar = find_network(options.csr, NETWORKS[REGISTRATION], "--csr")
    image = open_image(names, options.band_names)
    part = None
    if options.box or options.bbox or options.geometry:
        part = part_of(options, image.grid)
        image = image.part(part)
    check_size([network, *([registrar] if registrar else [])], image.grid)
    return ProductInputs(
        task,
        output,
        image,
        network,
        registrar,
        scale=1.0 if options.count_scale is None else options.count_scale,
        offset=options.count_offset,
        original_cast=options.original_cast,
        overwrite=options.overwrite,
        restart=options.restart,
        names=tuple(names),
        nodata=options.nodata,
        creation=options.co,
        part=part,
    )


def make_product(
    task: str, names: Sequence[str], output: Path, options: Options, keep_done: bool, progress: Progress
) -> Product:
    """Make the product of an image.

    Args:
        task: `superresolution` or `registration`.
        names: files of the image.
        output: the product.
        options: how it is made.
        keep_done: leave it alone when it is there and would be made again as it is.
        progress: where progress is reported.

    Raises:
        FileExistsError: a product that would be made otherwise is there, or was begun.
        ValueError: the image, the model or the options do not suit each other.
        RuntimeError: OTB or TensorFlow refuses.
        OSError: the disk refuses.
    """
    start = time.perf_counter()
    if not keep_done:
        check_outputs(options, output)
    scratch = Scratch(output.resolve().parent)
    execution = Execution(options.mode, bytes_of(options.memory) if options.memory else None, scratch)
    inputs = in_precision(open_inputs(task, names, output, options), options, execution)
    check_files(options, names, local_files(inputs.watch.names), output)
    layout = inputs.layout(BANDS, "uint16", inputs.identity)
    if output.exists() and not options.overwrite:
        check_same(output, inputs.identity, "--output-dir" if keep_done else "--output")
        if keep_done and not is_interrupted(options, output):
            return product_of(output, layout, DONE)
        inputs = replace(inputs, overwrite=True)  # a file that goes with it is missing
    for warning in inputs.image.warnings:
        LOG.warning("%s", warning)
    work, showing = progress.divided(SHOWN, options.report is not None)
    with inputs.watch.reading():
        counts = _read(inputs, options, execution, work.part(0, READ))
    scores = None
    if task == REGISTRATION:
        flow = flow_file(Path(options.flow or output))
        resumed = register(inputs, counts, execution, flow, work.part(READ, 1))
        scores = registration_metrics(counts, output, flow)
        if options.flow:
            os.replace(flow, options.flow)
        else:
            flow.unlink()
        if options.metrics:
            write(Path(options.metrics), scores)
    elif inputs.registrar:
        counts = register_first(inputs, counts, execution, work.part(READ, REGISTERED))
        resumed = super_resolve(inputs, counts, execution, work.part(REGISTERED, 1))
        registered_file(output).unlink()
    else:
        resumed = super_resolve(inputs, counts, execution, work.part(READ, 1))
    write_record(output, options, inputs.notes, inputs.identity, resumed, time.perf_counter() - start)
    write_companions(options, output)
    if options.report:
        from chain.serving.report.write import write_report

        write_report(output, Path(options.report), given_of(inputs.image, options), progress=showing)
    return replace(product_of(output, layout), scores=scores)


def _read(inputs: ProductInputs, options: Options, execution: Execution, progress: Progress) -> Counts:
    """Read the counts of an image.

    Raises:
        ValueError: its numbers cannot be counts, or a band that is to be registered has one value.
    """
    counts = read_counts(inputs.image, execution.scratch, options.count_scale, options.count_offset, progress)
    check_range(counts.statistics, options.count_scale)
    constant = ", ".join(counts.constant)
    if constant and (inputs.registrar or inputs.task == REGISTRATION):
        raise ValueError(f"--input: expected bands that vary, got one value in {constant}")
    if constant:
        LOG.warning("one value in all of %s", constant)
    return counts
