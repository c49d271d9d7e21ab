"""zennit, with or without a torchvision that matches PyTorch.

zennit imports two classes of torchvision's, for a canonizer that nothing here uses. The registry's
torchvision is built for the CUDA builds of PyTorch and does not load beside a CPU build; where it
cannot be imported, empty classes of the same names take its place.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT / "examples/plugin_template/src"))

try:
    import torchvision  # noqa: F401 - before anything that may import TensorFlow
except (ImportError, RuntimeError):
    for name in ("torchvision", "torchvision.models", "torchvision.models.resnet"):
        sys.modules[name] = types.ModuleType(name)
    for name in ("Bottleneck", "BasicBlock"):
        setattr(sys.modules["torchvision.models.resnet"], name, type(name, (), {}))

import zennit  # noqa: E402, F401 - required here: missing is a failure, not a skip
