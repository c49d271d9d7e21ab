"""Names of TensorFlow's operations: what kind they are, and what other frameworks call them.

An operation in no table is recorded with the kind ``other``: gradients go through it, LRP asks
for a rule.
"""

from __future__ import annotations

from signxai_core.specs.operations import Kind

#: Results that depend on the shape of their argument, not on its numbers.
CONSTANT = frozenset({"Shape", "ShapeN", "Size", "Rank", "ZerosLike", "OnesLike"})

#: Operations whose outputs are their inputs.
ALIAS = frozenset(
    {"Identity", "IdentityN", "PreventGradient", "CheckNumerics", "EnsureShape", "Snapshot", "PlaceholderWithDefault"}
)

#: Operations behind which no derivative goes.
DETACHED = frozenset({"StopGradient"})

#: Operations that draw random numbers.
RANDOM = frozenset(
    """
    Multinomial ParameterizedTruncatedNormal RandomGamma RandomPoisson RandomPoissonV2 RandomShuffle
    RandomStandardNormal RandomUniform RandomUniformInt StatefulRandomBinomial StatefulStandardNormal
    StatefulStandardNormalV2 StatefulTruncatedNormal StatefulUniform StatefulUniformFullInt StatefulUniformInt
    StatelessMultinomial StatelessParameterizedTruncatedNormal StatelessRandomBinomial StatelessRandomGammaV2
    StatelessRandomGammaV3 StatelessRandomNormal StatelessRandomNormalV2 StatelessRandomPoisson
    StatelessRandomUniform StatelessRandomUniformFullInt StatelessRandomUniformFullIntV2 StatelessRandomUniformInt
    StatelessRandomUniformIntV2 StatelessRandomUniformV2 StatelessShuffle StatelessTruncatedNormal
    StatelessTruncatedNormalV2 TruncatedNormal
    """.split()  # noqa: SIM905 - one line for each would be long
)
#: Operations that change a variable.
ASSIGNMENTS = frozenset(
    """
    AssignVariableOp AssignAddVariableOp AssignSubVariableOp ResourceScatterUpdate ResourceScatterAdd
    ResourceScatterSub ResourceScatterMul ResourceScatterDiv ResourceScatterMin ResourceScatterMax
    ResourceScatterNdUpdate ResourceScatterNdAdd ResourceScatterNdSub ResourceScatterNdMin ResourceScatterNdMax
    ResourceStridedSliceAssign RngReadAndSkip RngSkip StatefulRandomBinomial StatefulStandardNormal
    StatefulStandardNormalV2 StatefulTruncatedNormal StatefulUniform StatefulUniformFullInt StatefulUniformInt
    """.split()  # noqa: SIM905 - as above
)


def _table(kind: Kind, text: str) -> dict[str, tuple[Kind, str]]:
    """Read ``Operation=name`` entries; the name is the neutral one."""
    pairs = (entry.partition("=") for entry in text.split())
    return {op: (kind, name) for op, _, name in pairs}


_ACTIVATIONS = """
    Relu=relu Relu6=relu6 LeakyRelu=leaky_relu Elu=elu Selu=selu Tanh=tanh Sigmoid=sigmoid
    Softplus=softplus Softsign=softsign Erf=erf Erfc=erfc Exp=exp Expm1=expm1 Log=log Log1p=log1p
    Sqrt=sqrt Rsqrt=rsqrt Square=square Abs=abs Reciprocal=reciprocal Inv=reciprocal
    Sin=sin Cos=cos Tan=tan Asin=asin Acos=acos Atan=atan
    Sinh=sinh Cosh=cosh Asinh=asinh Acosh=acosh Atanh=atanh
"""
_STEPS = "Sign=sign Floor=floor Ceil=ceil Round=round Rint=round"
_SHAPE = """
    Reshape=reshape Transpose=permute Squeeze=squeeze ExpandDims=unsqueeze BroadcastTo=expand Tile=tile
    Slice=index StridedSlice=index Split=split SplitV=split Unpack=unbind GatherV2=gather Gather=gather
    GatherNd=gather ReverseV2=flip Roll=roll MirrorPad=pad Pad=pad PadV2=pad SpaceToDepth=pixel_unshuffle
    DepthToSpace=pixel_shuffle SpaceToBatchND=space_to_batch BatchToSpaceND=batch_to_space
    ResizeNearestNeighbor=interpolate Cast=to ConcatV2=concat Concat=concat Pack=stack DynamicStitch=stitch
    MatrixDiagPartV3=diagonal MatrixDiagV3=diagonal_embed MatrixSetDiagV3=diagonal_scatter
    ExtractImagePatches=unfold ExtractVolumePatches=unfold
"""
_POOLS = "AvgPool=avg_pool2d AvgPool3D=avg_pool3d"
_RESIZINGS = """
    ResizeBilinear=interpolate ResizeArea=interpolate ResizeBicubic=interpolate ScaleAndTranslate=interpolate
"""
_MAX_POOLS = "MaxPool=max_pool2d MaxPool3D=max_pool3d"

#: Operations whose name alone decides kind and neutral name.
KIND: dict[str, tuple[Kind, str]] = {
    **_table("activation", _ACTIVATIONS),
    **_table("shape", _SHAPE),
    **_table("average_pooling", _POOLS),
    **_table("max_pooling", _MAX_POOLS),
    **_table("softmax", "Softmax=softmax LogSoftmax=log_softmax"),
    **_table("step", _STEPS),
    **_table("interpolation", _RESIZINGS),
}

#: Neutral names of operations that have no kind of their own.
NEUTRAL: dict[str, str] = {
    "Pow": "pow",
    "Select": "where",
    "SelectV2": "where",
    "Prod": "prod",
    "Cumsum": "cumsum",
    "TopKV2": "topk",
}

#: Core operations with weights: neutral name by number of spatial axes comes from the chain around them.
CONVOLUTIONS = frozenset({"Conv2D", "Conv3D", "DepthwiseConv2dNative", "Conv2DBackpropInput", "Conv3DBackpropInputV2"})
TRANSPOSED = frozenset({"Conv2DBackpropInput", "Conv3DBackpropInputV2"})
AVERAGE_POOLS = frozenset({"AvgPool", "AvgPool3D"})
POOLS = AVERAGE_POOLS | {"MaxPool", "MaxPool3D"}
MATMULS = frozenset({"MatMul", "BatchMatMulV2", "BatchMatMul", "BatchMatMulV3"})
