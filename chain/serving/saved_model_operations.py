# SPDX-License-Identifier: Apache-2.0
"""What a SavedModel would do, told from its file, before anything of it is loaded: a SavedModel is a program.

`check_operations` refuses graphs with operations that networks of images do not need: those that read or write files,
call the host, or are nobody's. Each SavedModel has operations that restore and save its variables. Saving is accepted
where TensorFlow puts it, apart from all that is run when a model is loaded or served.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

SAVED_MODEL = "saved_model.pb"
LARGEST = 1 << 30
"""Bytes of the largest graph that is looked at."""
DEPTH = 3
"""Levels of folders in which models are looked for."""
OPERATIONS = frozenset(
    """
    Abs AddN AddV2 Add All Any ArgMax ArgMin AssignVariableOp AvgPool BatchMatMulV2 BatchMatMulV3 BatchToSpaceND BiasAdd
    BroadcastTo Cast Ceil ClipByValue Concat ConcatV2 Const Conv2D Conv2DBackpropInput Conv3D Conv3DBackpropInputV2 Cos
    Cumsum DepthToSpace DepthwiseConv2dNative DisableCopyOnRead DivNoNan Einsum Elu EnsureShape Equal Erf Exp ExpandDims
    ExtractImagePatches Fill Floor FloorDiv FloorMod FusedBatchNormV3 Gather GatherNd GatherV2 Greater GreaterEqual
    Identity IdentityN IsFinite IsNan LeakyRelu Less LessEqual Log Log1p LogicalAnd LogicalNot LogicalOr MatMul Max
    MaxPool Maximum Mean Min Minimum MirrorPad Mul Neg NoOp NotEqual OneHot OnesLike Pack Pad PadV2 PartitionedCall
    Placeholder PlaceholderWithDefault Pow Prod Range Rank ReadVariableOp RealDiv Reciprocal Relu Relu6 Reshape
    ResizeArea ResizeBicubic ResizeBilinear ResizeNearestNeighbor ReverseV2 Roll Round Rsqrt ScatterNd Select SelectV2
    Selu Shape ShapeN Sigmoid Sign Sin Size Slice Softmax Softplus SpaceToBatchND SpaceToDepth Split SplitV Sqrt Square
    SquaredDifference Squeeze StatefulPartitionedCall StopGradient StridedSlice Sub Sum Tan Tanh Tile TopKV2 Transpose
    TruncateDiv Unpack VarHandleOp VarIsInitializedOp VariableShape Where Xdivy ZerosLike
    """.split()
)
"""What networks of images are made of."""
RESTORING = frozenset("RestoreV2 StaticRegexFullMatch StringJoin ShardedFilename".split())
"""What restores variables from the model's own folder, when TensorFlow loads it."""
SAVING = frozenset("SaveV2 MergeV2Checkpoints".split())
"""What TensorFlow adds to save variables; it writes files."""


def check_folders(folders: Iterable[str | Path], argument: str = "--safe-models") -> None:
    """Refuse folders in which a SavedModel has operations that networks do not need.

    Args:
        folders: folders of models, or that hold such.
        argument: name of the option, for errors.

    Raises:
        ValueError: there is one, or a file that is no SavedModel.
    """
    for folder in folders:
        for depth in range(DEPTH + 1):
            for path in sorted(Path(folder).glob("/".join(["*"] * depth + [SAVED_MODEL]))):
                check_operations(path, argument)


def check_operations(path: Path, argument: str = "--safe-models") -> None:
    """Refuse a SavedModel with operations that networks do not need.

    Args:
        path: its `saved_model.pb`.
        argument: name of the option, for errors.

    Raises:
        ValueError: it has some, or the file is no SavedModel.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    if path.stat().st_size > LARGEST:
        raise ValueError(f"{argument}: expected a graph of at most {LARGEST >> 20} MiB, got {path}")
    model = saved_model_pb2.SavedModel()
    try:
        model.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise ValueError(f"{argument}: expected a SavedModel, got {path} ({error})") from error
    for graph in model.meta_graphs:
        refused = _refused(graph)
        if refused:
            raise ValueError(
                f"{argument}: expected a model of the operations that networks need, got {', '.join(refused)} in {path}"
            )


def _refused(graph: Any) -> list[str]:
    """Return the operations of a graph, a `MetaGraphDef`, that are not accepted where they are."""
    functions = {function.signature.name: function.node_def for function in graph.graph_def.library.function}
    nodes = {node.name: node for node in graph.graph_def.node}
    used = {node.op for node in nodes.values()} | {node.op for body in functions.values() for node in body}
    refused = used - OPERATIONS - RESTORING - SAVING - functions.keys()
    saving = graph.saver_def.save_tensor_name.split(":")[0]
    called = _called([node for name, node in nodes.items() if name != saving], functions)
    called |= _called([], functions, graph.object_graph_def.concrete_functions)
    apart = [node for name, node in nodes.items() if name != saving]
    run = {node.op for node in apart} | {node.op for name in called for node in functions.get(name, ())}
    return sorted(refused | (run & SAVING))


def _called(nodes: Iterable[Any], functions: dict[str, Any], names: Iterable[str] = ()) -> set[str]:
    """Return the functions that nodes call, and those of some names, with all that these call."""
    found: set[str] = set()
    asked = [*names, *(name for node in nodes for name in _named(node))]
    while asked:
        name = asked.pop()
        if name not in found and name in functions:
            found.add(name)
            asked += [each for node in functions[name] for each in _named(node)]
    return found


def _named(node: Any) -> list[str]:
    """Return the functions that a node names."""
    found = [node.op]
    for value in node.attr.values():
        found += [value.func.name, *(each.name for each in value.list.func)]
    return [name for name in found if name]
