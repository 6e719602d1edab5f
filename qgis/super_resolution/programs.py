# SPDX-License-Identifier: Apache-2.0
"""The algorithms: which program each is, and which of its options it offers."""

from .algorithm import ProgramAlgorithm, extent, one_scene, scene
from .options import choice, choices, file, number, page, raster, rasters, switch, text

BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
PRECISIONS = ("float32", "bfloat16", "int8", "auto")
L1BSR_PRECISIONS = ("float32", "bfloat16", "auto")
DEEPSUM_PRECISIONS = ("float32", "bfloat16")


def offset():
    """Return the option of what is added to Sentinel-2's digital numbers."""
    label = "Added to digital numbers (default: as the metadata says)"
    return choice("--offset", label, ("auto", "0", "-1000"), "auto", advanced=True)


def report():
    """Return the option of the page that shows a product beside its input."""
    return page("--report", "Report: a page that shows the product beside its input")


def work():
    """Return the options of how a product of a scene is made."""
    return [
        choice("--precision", "Precision; auto: the fastest that is right within 2 numbers", PRECISIONS, "float32"),
        switch("--float", "Write reflectance (float32) instead of 10 000 × reflectance"),
        offset(),
        number("--tile-size", "Side of what one run of the network writes, in pixels", 768, minimum=8, advanced=True),
        number("--threads", "Threads (default: all cores)", minimum=1, advanced=True),
        switch("--restart", "Begin anew what was interrupted with another input or other options", advanced=True),
        report(),
    ]


class DSen2(ProgramAlgorithm):
    """All bands of Sentinel-2 at 10 m."""

    NAME, TITLE, MODULE = "dsen2", "Super-resolve Sentinel-2 (DSen2)", "inference.dsen2"
    HELP = (
        "Makes the 20 m and 60 m bands of Sentinel-2 10 m fine. The scene is that of raster layers, of a file, or the "
        "clearest of some days over the area. The product opens in natural colours; a style of false colours lies "
        "beside it. Expected errors become a layer of their own.\n\nCancelled, a run keeps what is finished, if the "
        "product is a file of a name of yours: the same run goes on."
    )
    BESIDE = (("--error", "_error.tif", "ERRORS", "Expected errors"),)

    def options(self):
        """Return the options that it offers."""
        return [
            *scene(search=True),
            extent(),
            choices("--bands", "Bands of the product (default: all)", BANDS),
            file("--model-dir", "Folder of other models, such as one of Fine-tune", folder=True),
            switch("--error", "Expected errors, too"),
            choice("--level", "Level, where the scene does not say it", ("L1C", "L2A")),
            raster("--exclude-mask", "Mask: left out where it is not 0"),
            text("--mask-classes", "Classes of the scene classification to leave out, such as 3,8,9,10"),
            number("--max-cloud-cover", "Most clouds over the area of a search, in %", 20.0, integer=False),
            *work(),
        ]

    def check(self, given):
        """Return what is wrong with the parameters that are given together, or nothing."""
        return one_scene(given, search=True)


class Spot7(ProgramAlgorithm):
    """Sentinel-2 at Spot-7's 1.5 m."""

    NAME, TITLE, MODULE = "spot7", "Super-resolve Sentinel-2 to Spot-7", "inference.spot7"
    HELP = (
        "Makes B04, B03, B02 and B08 of Sentinel-2 1.5 m fine, with a model that was trained on pairs of Sentinel-2 "
        "and Spot-7. Details that Sentinel-2 does not see are plausible, not measured."
    )

    def options(self):
        """Return the options that it offers."""
        return [
            *scene(),
            file("--model-dir", "Folder of the model", folder=True, optional=False),
            extent(),
            text("--band-names", "Names of the bands of a raster that does not say them, such as B04,B03,B02,B08"),
            *work(),
        ]

    def check(self, given):
        """Return what is wrong with the parameters that are given together, or nothing."""
        return one_scene(given)


class L1BSR(ProgramAlgorithm):
    """Sentinel-2 L1B at 5 m, with its bands aligned."""

    NAME, TITLE, MODULE = "l1bsr", "Super-resolve and align Sentinel-2 L1B (L1BSR)", "inference.l1bsr"
    HELP = (
        "Makes B02, B03, B04 and B08 of Sentinel-2 L1B, before resampling, 5 m fine on the grid of B03; or aligns "
        "them as they are."
    )

    def options(self):
        """Return the options that it offers."""
        return [
            rasters("--input", "Image of L1B: one raster layer, or one for each band", optional=False),
            choice("--task", "Task", ("superresolution", "registration"), "superresolution"),
            extent(),
            choice("--precision", "Precision; auto: the fastest that is right", L1BSR_PRECISIONS, "float32"),
            file("--model-dir", "Folder of another model", folder=True),
            text("--band-names", "Names of all bands in order, where the image does not say them"),
            number("--count-scale", "Counts of one digital number, for other levels", integer=False, advanced=True),
            number("--count-offset", "Added to digital numbers", 0.0, integer=False, advanced=True),
            number("--threads", "Threads (default: all cores)", minimum=1, advanced=True),
            switch("--restart", "Begin anew what was interrupted with another input or other options", advanced=True),
            report(),
        ]


class DeepSUM(ProgramAlgorithm):
    """One image of several dates, at a third of the pixel."""

    NAME, TITLE, MODULE = "deepsum", "Super-resolve several dates (DeepSUM)", "inference.deepsum"
    HELP = "Makes one image of nine or more images of one place, with a third of their pixel."

    def options(self):
        """Return the options that it offers."""
        return [
            rasters("--input", "Images, one raster layer for each date", optional=False),
            file("--model-dir", "Folder of another model", folder=True),
            extent(),
            choice("--precision", "Precision", DEEPSUM_PRECISIONS, "float32"),
            text("--band", "Name or number of the band (default: the only one)"),
            text("--qa", "Name or number of the band of classes"),
            rasters("--clear-masks", "Masks in the order of the images, which are not 0 where it is clear"),
            switch("--unmasked", "Take all pixels with data for clear"),
            switch("--repeat", "Repeat images where there are fewer than nine"),
            switch("--valid-zero", "Take 0 for data", advanced=True),
            switch("--float", "Write float32"),
            number("--threads", "Threads (default: all cores)", minimum=1, advanced=True),
            report(),
        ]


class SRDataset(ProgramAlgorithm):
    """Pairs of patches of Sentinel-2 and Spot-7."""

    NAME, TITLE, MODULE = "sr_dataset", "Make SR dataset", "sr_dataset"
    HELP = (
        "Makes pairs of patches of a Spot-6/7 image and the clearest Sentinel-2 image of some days over it, for "
        "training: {train,valid,test}_{lr,hr}.tif."
    )
    OUTPUT_FOLDER, OUTPUT_LABEL = True, "Folder of the patches"

    def options(self):
        """Return the options that it offers."""
        return [
            raster("--xs", "Spot: multispectral image", optional=False),
            raster("--pan", "Spot: panchromatic image", optional=False),
            text("--start-date", "First day", "2022-06-15", optional=False),
            text("--end-date", "Last day", "2022-08-15", optional=False),
            number("--max-cloud-cover", "Most clouds over the Spot image, in %", 5.0, integer=False),
            rasters("--sentinel2", "Sentinel-2 image to take instead of searching"),
            text("--bands", "Names of its bands, where it does not say them, such as B04,B03,B02,B08"),
            offset(),
            number("--lr-patch-size", "Side of the patches, in pixels of the multispectral image", 32, minimum=1),
            number("--hr-patch-size", "Side of the patches, in pixels of the panchromatic image", 128, minimum=1),
            number("--step", "Distance between patches (default: their side)", minimum=1, advanced=True),
            switch("--match-radiometry", "Bring Spot's bands to Sentinel-2's radiometry"),
            switch("--tfrecords", "Write TFRecords too"),
            number("--seed", "Seed of the split", 0, minimum=0, advanced=True),
        ]


class FineTune(ProgramAlgorithm):
    """DSen2's weights, adapted to a scene."""

    NAME, TITLE, MODULE = "fine_tune", "Fine-tune DSen2 on this scene", "train.dsen2"
    FIXED = ("--adapt",)
    OUTPUT_FLAG, OUTPUT_FOLDER, OUTPUT_LABEL = "--model-dir", True, "Folder of the model"
    HELP = (
        "Trains the project's weights of DSen2 for a short while on a scene, which has to have the bands of 20 m, or "
        "of 60 m, at their own resolution. Super-resolve Sentinel-2 (DSen2) takes the folder as that of other models."
    )

    def options(self):
        """Return the options that it offers."""
        return [
            *scene(),
            choice("--role", "2x: 20 m bands to 10 m; 6x: 60 m bands to 10 m", ("2x", "6x"), "2x", required=True),
            number("--epochs", "Epochs, at most (default: 10)", minimum=1),
            number("--samples", "Patches of an epoch (default: 800)", minimum=1),
            offset(),
            number("--seed", "Seed of weights, order and augmentation", 0, minimum=0, advanced=True),
        ]

    def check(self, given):
        """Return what is wrong with the parameters that are given together, or nothing."""
        return one_scene(given)


ALGORITHMS = (DSen2, Spot7, L1BSR, DeepSUM, SRDataset, FineTune)
