# SPDX-License-Identifier: Apache-2.0
"""The registry, parameters of every type, enumerations, documentation and errors of otbApplication."""

import re
from pathlib import Path

import numpy as np
import otbApplication as otb
import pytest
from osgeo import ogr

from tests.native.regions import pair, region_of

CONSTANTS = {
    "ComplexImagePixelType_double": 3,
    "ComplexImagePixelType_float": 2,
    "ImagePixelType_cdouble": 10,
    "ImagePixelType_cfloat": 9,
    "ImagePixelType_cint16": 7,
    "ImagePixelType_cint32": 8,
    "ImagePixelType_double": 6,
    "ImagePixelType_float": 5,
    "ImagePixelType_int16": 1,
    "ImagePixelType_int32": 3,
    "ImagePixelType_uint16": 2,
    "ImagePixelType_uint32": 4,
    "ImagePixelType_uint8": 0,
    "ParameterType_Band": 24,
    "ParameterType_Bool": 22,
    "ParameterType_Choice": 9,
    "ParameterType_Directory": 8,
    "ParameterType_Double": 2,
    "ParameterType_Field": 23,
    "ParameterType_Float": 1,
    "ParameterType_Group": 17,
    "ParameterType_InputFilename": 5,
    "ParameterType_InputFilenameList": 6,
    "ParameterType_InputImage": 10,
    "ParameterType_InputImageList": 11,
    "ParameterType_InputVectorData": 12,
    "ParameterType_InputVectorDataList": 13,
    "ParameterType_Int": 0,
    "ParameterType_ListView": 18,
    "ParameterType_OutputFilename": 7,
    "ParameterType_OutputImage": 14,
    "ParameterType_OutputVectorData": 15,
    "ParameterType_RAM": 19,
    "ParameterType_Radius": 16,
    "ParameterType_String": 3,
    "ParameterType_StringList": 4,
    "Role_Input": 0,
    "Role_Output": 1,
    "UserLevel_Advanced": 1,
    "UserLevel_Basic": 0,
}


def create(name):
    return otb.Registry.CreateApplicationWithoutLogger(name)


def test_constants():
    prefixes = ("ParameterType_", "ImagePixelType_", "ComplexImagePixelType_", "Role_", "UserLevel_")
    found = {name: value for name, value in vars(otb).items() if name.startswith(prefixes)}
    assert found == CONSTANTS
    assert all(type(value) is int for value in found.values())


def test_registry():
    names = otb.Registry.GetAvailableApplications()
    assert {"BandMath", "Superimpose", "PatchesSelection", "PatchesExtraction", "TensorflowModelServe"} <= set(names)
    assert otb.Registry.CreateApplication("NoSuchApplication") is None
    assert create("NoSuchApplication") is None
    assert isinstance(create("BandMath"), otb.Application)


def test_application_path(monkeypatch, tmp_path):
    import os

    path = os.environ["OTB_APPLICATION_PATH"]
    try:
        otb.Registry.SetApplicationPath(str(tmp_path))
        assert otb.Registry.GetAvailableApplications(False) == ()
        (debians,) = Path("/usr/lib").glob("*/otb/applications")
        otb.Registry.AddApplicationPath(str(debians))
        assert "BandMath" in otb.Registry.GetAvailableApplications()
    finally:
        otb.Registry.SetApplicationPath(path)


@pytest.mark.parametrize(
    ("application", "key", "kind", "value"),
    [
        ("ExtractROI", "startx", "Int", 12),
        ("ExtractROI", "mode.extent.ulx", "Float", 1.5),
        ("Superimpose", "interpolator.bco.radius", "Radius", 4),
        ("MultiImageSamplingRate", "il", "InputFilenameList", ["a.csv", "b.csv"]),
        ("ReadImageInfo", "gcp.ids", "StringList", ["first", "second"]),
        ("BandMath", "exp", "String", "im1b1 + 1"),
        ("RadiometricIndices", "list", "ListView", ["Vegetation:NDVI"]),
        ("ConcatenateImages", "il", "InputImageList", ["a.tif", "b.tif"]),
        ("OrthoRectification", "elev.geoid", "InputFilename", "geoid.tif"),
        ("ComputeImagesStatistics", "out.xml", "OutputFilename", "statistics.xml"),
        ("OrthoRectification", "elev.dem", "Directory", "dem"),
        ("BandMath", "out", "OutputImage", "out.tif"),
        ("OrthoRectification", "outputs.isotropic", "Bool", False),
        ("BandMath", "ram", "RAM", 128),
        ("ConcatenateVectorData", "vd", "InputVectorDataList", ["a.shp", "b.shp"]),
        ("VectorDataReprojection", "in.vd", "InputFilename", "in.shp"),
        ("VectorDataExtractROI", "io.vd", "InputVectorData", "in.shp"),
        ("VectorDataExtractROI", "io.out", "OutputVectorData", "out.shp"),
    ],
)
def test_value_of_each_type(application, key, kind, value):
    app = create(application)
    assert app.GetParameterType(key) == getattr(otb, f"ParameterType_{kind}")
    assert app.GetParameterTypeAsString(app.GetParameterType(key)) == f"ParameterType_{kind}"
    try:
        app.SetParameterValue(key, value)
    except RuntimeError as error:
        pytest.fail(f"{key}: {error}")
    found = app.GetParameterValue(key)
    expected = tuple(value) if isinstance(value, list) else value
    assert found == (pytest.approx(value) if isinstance(value, float) else expected)
    assert type(found) is type(expected)
    assert app.HasValue(key) and app.HasUserValue(key)


def test_fields_and_bands(tmp_path, write_raster):
    source = ogr.GetDriverByName("ESRI Shapefile").CreateDataSource(str(tmp_path / "in.shp"))
    layer = source.CreateLayer("in", None, ogr.wkbPoint)
    for name in ("red", "nir"):
        layer.CreateField(ogr.FieldDefn(name, ogr.OFTReal))
    layer.CreateFeature(ogr.Feature(layer.GetLayerDefn()))
    del layer, source
    app = create("OGRLayerClassifier")
    app.SetParameterString("inshp", str(tmp_path / "in.shp"))
    app.SetParameterValue("feat", ["red", "nir"])
    assert app.GetParameterValue("feat") == ("red", "nir")
    with pytest.raises(TypeError, match="parameter feat: expected a list of texts, got 'nir'"):
        app.SetParameterValue("feat", "nir")
    app = create("ExtractROI")
    app.SetParameterString("in", str(write_raster("in.tif", np.zeros((4, 5, 3), np.uint8))))
    app.SetParameterValue("cl", ["Channel2"])
    assert app.GetParameterValue("cl") == ("Channel2",)
    app.Execute()
    assert app.GetImageNbBands("out") == 1


def test_choice_and_group():
    app = create("ExtractROI")
    assert app.GetChoiceKeys("mode") == ("standard", "fit", "extent", "radius")
    assert app.GetChoiceNames("mode")[0] == "Standard"
    app.SetParameterValue("mode", "extent")
    proxy = app.GetParameterValue("mode")
    assert isinstance(proxy, otb.ApplicationProxy)
    assert str(proxy) == "extent" and proxy == "extent" and proxy != "fit"
    app.MODE = "radius"
    assert app.GetParameterString("mode") == "radius"
    app.MODE.radius.R = 12.5
    assert app.GetParameterFloat("mode.radius.r") == 12.5
    with pytest.raises(AttributeError):
        _ = app.MODE.nonsense


def test_attributes(write_raster):
    app = create("BandMath")
    app.EXP = "im1b1"
    path = str(write_raster("a.tif", np.zeros((4, 5), np.uint8)))
    app.IL = [path]
    assert app.EXP == "im1b1" and app.IL == (path,)
    with pytest.raises(AttributeError):
        app.NONSENSE = 1
    with pytest.raises(AttributeError):
        _ = app.NONSENSE


def test_set_and_get_parameters():
    app = create("ExtractROI")
    app.SetParameters({"mode": "standard", "startx": 4, "sizex": 10})
    values = app.GetParameters()
    assert values["startx"] == 4 and str(values["mode"]) == "standard"
    assert "out" not in values


def test_setting_a_parameter_updates_those_that_depend_on_it(write_raster):
    app = create("ExtractROI")
    app.SetParameterString("in", str(write_raster("in.tif", np.zeros((4, 5, 3), np.uint8))))
    assert (app.GetParameterInt("sizex"), app.GetParameterInt("sizey")) == (5, 4)
    assert app.GetChoiceKeys("cl") == ("channel1", "channel2", "channel3")
    with pytest.raises(RuntimeError, match="^Cannot open image missing.tif"):
        app.SetParameterString("in", "missing.tif")


def test_states():
    app = create("Superimpose")
    assert app.IsMandatory("inr") and not app.IsMandatory("lms")
    assert app.GetParameterRole("inr") == otb.Role_Input
    assert create("ReadImageInfo").GetParameterRole("sizex") == otb.Role_Output
    assert app.GetParameterUserLevel("inr") == otb.UserLevel_Basic
    assert app.GetParameterName("fv") == "Fill Value"
    app.EnableParameter("lms")
    assert app.IsParameterEnabled("lms")
    app.DisableParameter("lms")
    assert not app.IsParameterEnabled("lms")
    app.SetParameterFloat("fv", 3.0)
    assert app.HasUserValue("fv")
    app.ClearValue("fv")
    assert not app.HasUserValue("fv")
    assert not app.IsApplicationReady()


def test_lists():
    app = create("ConcatenateImages")
    for name in ("a.tif", "b.tif"):
        app.AddParameterStringList("il", name)
    app.SetNthParameterStringList("il", 1, "c.tif")
    assert app.GetParameterStringList("il") == ("a.tif", "c.tif")
    assert app.GetNumberOfElementsInParameterInputImageList("il") == 2
    app.ClearParameterInputImageList("il")
    assert app.GetParameterStringList("il") == ()


def test_output_pixel_type():
    app = create("BandMath")
    assert app.GetParameterOutputImagePixelType("out") == otb.ImagePixelType_float
    app.SetParameterOutputImagePixelType("out", otb.ImagePixelType_uint16)
    assert app.GetParameterOutputImagePixelType("out") == otb.ImagePixelType_uint16
    with pytest.raises(ValueError, match="expected an ImagePixelType_ value, got 42"):
        app.SetParameterOutputImagePixelType("out", 42)


def test_wrong_types_are_refused():
    app = create("ExtractROI")
    for key, value in (
        *(("startx", "one"), ("startx", 1.5), ("startx", np.int64(1)), ("in", 3)),
        *(("mode.extent.ulx", "left"), ("mode.extent.ulx", np.float32(1))),
    ):
        with pytest.raises(TypeError):
            app.SetParameterValue(key, value)
    for value in ("a.tif", ("a.tif",)):
        with pytest.raises(TypeError):
            create("BandMath").SetParameterValue("il", value)
    for value in ("on", 1, 0):
        with pytest.raises(TypeError, match="outputs.isotropic: expected True or False, got"):
            create("OrthoRectification").SetParameterValue("outputs.isotropic", value)


def test_booleans():
    app = create("OrthoRectification")
    app.SetParameterString("outputs.isotropic", "off")
    assert app.GetParameterValue("outputs.isotropic") is False
    app.SetParameterInt("outputs.isotropic", 1)
    assert app.GetParameterValue("outputs.isotropic") is True


def test_errors_carry_otb_s_message(tmp_path):
    app = create("ExtractROI")
    with pytest.raises(RuntimeError, match="nonsense"):
        app.GetParameterInt("nonsense")
    with pytest.raises(RuntimeError, match=r"^Cannot open image .*missing.tif\. The file does not exist\.$"):
        app.SetParameterString("in", str(tmp_path / "missing.tif"))


def test_documentation():
    app = create("BandMath")
    assert app.GetName() == "BandMath"
    assert "mathematical" in app.GetDescription().lower()
    assert "muParser" in app.GetDocLongDescription()
    assert app.GetDocAuthors() == "OTB-Team"
    assert app.GetDocTags() and not app.IsDeprecated()
    assert app.GetNumberOfExamples() == 1
    pairs = {
        app.GetExampleParameterKey(0, i): app.GetExampleParameterValue(0, i)
        for i in range(app.GetExampleNumberOfParameters(0))
    }
    assert "exp" in pairs
    assert "otbcli_BandMath" in app.GetCLExample()
    assert str(app).startswith("BandMath\n")
    assert app.GetNameOfClass()


def test_xml(tmp_path):
    app = create("ExtractROI")
    app.SetParameters({"startx": 4, "sizex": 10})
    path = str(tmp_path / "parameters.xml")
    app.SaveParametersToXML(path)
    other = create("ExtractROI")
    other.LoadParametersFromXML(path)
    assert (other.GetParameterInt("startx"), other.GetParameterInt("sizex")) == (4, 10)


def test_itk_values():
    size, index = pair(otb.itkSize, 3, 4), otb.itkIndex()
    index[1] = -2
    assert list(size) == [3, 4] and list(index) == [0, -2] and len(size) == 2
    assert str(size) == "[3,4]"
    size.Fill(7)
    size.SetElement(0, 5)
    assert (size.GetElement(0), size.GetElement(1)) == (5, 7)
    assert otb.itkSize.GetSizeDimension() == otb.itkIndex.GetIndexDimension() == 2
    with pytest.raises(IndexError):
        size[2]
    region = otb.itkRegion()
    region.GetSize()[0] = 20
    region.GetSize()[1] = 25
    region.GetIndex().Fill(10)
    assert region == region_of(10, 10, 20, 25)
    assert list(region.GetUpperIndex()) == [29, 34]
    assert region.IsInside(pair(otb.itkIndex, 29, 34)) and not region.IsInside(pair(otb.itkIndex, 30, 34))
    assert region.keys() == ["index", "size"] and list(region["size"]) == [20, 25]
    region["index"] = pair(otb.itkIndex, 1, 2)
    assert re.fullmatch(r"\{index:\[1,2\], size:\[20,25\]\}", str(region))
    vector = pair(otb.itkVector, 3.0, 4.0)
    assert (vector.GetNorm(), vector.GetSquaredNorm()) == (5, 25)
    assert list(pair(otb.itkPoint, 0.5, 1.5)) == [0.5, 1.5]
    for refused in (lambda: otb.itkSize((3, 4)), lambda: otb.itkRegion(region), lambda: region.SetIndex((1, 2))):
        with pytest.raises(TypeError):
            refused()


def test_whole_interface_of_the_official_wrapper_used_by_programs():
    methods = """AddDocTag AddExample AddImageToParameterInputImageList AddObserver AddParameterStringList
        ClearParameterInputImageList ClearValue ConnectImage ConvertPixelTypeToNumpy DisableParameter EnableParameter
        Execute ExecuteAndWriteOutput ExportImage FreeRessources GetCLExample GetChoiceKeys GetChoiceNames GetCommand
        GetDescription GetDocAuthors GetDocLimitations GetDocLongDescription GetDocSeeAlso GetDocTags
        GetExampleComment GetExampleNumberOfParameters GetExampleParameterKey GetExampleParameterValue GetHtmlExample
        GetImageAsNumpyArray GetImageBasePixelType GetImageMetadata GetImageNbBands GetImageOrigin GetImageProjection
        GetImageRequestedRegion GetImageSize GetImageSpacing GetListViewSingleSelectionMode GetLogger
        GetMetaDataDictionary GetMetadataDictionary GetName GetNameOfClass
        GetNumberOfElementsInParameterInputImageList GetNumberOfExamples GetOutputParametersSumUp
        GetParameterAsString GetParameterDescription GetParameterDouble GetParameterFloat GetParameterInt
        GetParameterName GetParameterOutputImage GetParameterOutputImagePixelType GetParameterRole GetParameterString
        GetParameterStringList GetParameterType GetParameterTypeAsString GetParameterUserLevel GetParameterValue
        GetParameters GetParametersKeys GetProgressDescription GetProgressSource GetVectorImageAsNumpyArray
        HasAutomaticValue HasObserver HasUserValue HasValue ImageImporterMap ImportImage ImportVectorImage Init
        InvokeEvent IsApplicationReady IsDeprecated IsMandatory IsMultiWritingEnabled IsParameterEnabled
        LoadParametersFromXML NumpyExporterMap Print PropagateConnectMode PropagateRequestedRegion RemoveAllObservers
        RemoveObserver SaveParametersToXML SetDescription SetDocAuthors SetDocExampleParameterValue SetDocLimitations
        SetDocLongDescription SetDocSeeAlso SetDocTags SetExampleComment SetImageFromNumpyArray SetImageMetadata
        SetMetaDataDictionary SetName SetNthParameterInputImageList SetNthParameterStringList
        SetParameterDescription SetParameterDouble SetParameterFloat SetParameterInputImage SetParameterInt
        SetParameterOutputImagePixelType SetParameterString SetParameterStringList SetParameterUserValue
        SetParameterValue SetParameters SetVectorImageFromNumpyArray SetupImageInformation SetupLogger ToString
        UpdateParameters VectorImageImporterMap WriteOutput""".split()
    assert [name for name in methods if not hasattr(otb.Application, name)] == []
