"""What is imported when: no framework without its models, and TensorFlow's trap with Triton."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("tensorflow")


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_registering_imports_no_framework():
    run(
        "import sys, signxai_core as sx\n"
        "assert 'tensorflow' in sx.backends()\n"
        "sx.parse('lrp_z'); sx.methods()\n"
        "assert not {'tensorflow', 'keras', 'torch'} & set(sys.modules)\n"
    )


def test_a_keras_model_imports_neither_torch_nor_triton():
    run(
        "import sys, keras, numpy as np, signxai_core as sx\n"
        "x = np.ones((1, 3), 'float32')\n"
        "model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])\n"
        "assert sx.explain(model, x, 'lrp_z').backend == 'tensorflow'\n"
        "assert not {'torch', 'triton', 'torchvision', 'zennit'} & set(sys.modules)\n"
        "import torch\n"
        "assert sx.explain(torch.nn.Sequential(torch.nn.Linear(3, 2)), x, 'lrp_z').backend == 'torch'\n"
    )
