"""Importing zennit, and the one order of imports that aborts the process."""

from __future__ import annotations

import importlib
import sys

from signxai_core.errors import BackendError


def need_zennit() -> None:
    """Import zennit.

    zennit imports torchvision, which with the CUDA builds of PyTorch loads Triton. Loading Triton
    after TensorFlow aborts the whole process (both register the same options with LLVM), and no
    exception could be caught: so this raises one before.

    Raises
    ------
    BackendError
        Saying what to import first, or what is missing.
    """
    if "zennit" in sys.modules:
        return
    if "tensorflow" in sys.modules and "triton" not in sys.modules:
        raise BackendError(
            "zennit cannot be imported after TensorFlow: it imports torchvision, which loads Triton, and loading "
            "Triton after TensorFlow aborts the process. Put 'import zennit' (or 'import torchvision') before the "
            "first import of TensorFlow"
        )
    try:
        importlib.import_module("zennit")
    except ImportError as error:
        raise BackendError(
            f"zennit cannot be imported: {error}. Install it with: pip install 'signxai-core[zennit]'"
        ) from error
