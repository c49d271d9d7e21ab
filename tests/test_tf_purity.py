"""What is imported when: no framework without its models, and TensorFlow's trap with Triton."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytest.importorskip("tensorflow")

TORCH = "model, x = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.ReLU()), np.ones((1, 3), 'float32')\n"
METHODS = "['lrp_z', 'lrp_epsilon_0_25_std_x', 'guided_backprop', 'smoothgrad']"


def run(code, *folders):
    """Run Python code with folders in front of the path."""
    paths = os.pathsep.join([*map(str, folders), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)


def succeed(code):
    done = run(code)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture
def triton(tmp_path):
    """A folder with a module that ends the process as Triton does where TensorFlow came first."""
    (tmp_path / "triton.py").write_text("import os, sys\nif 'tensorflow' in sys.modules: os.abort()\n")
    return tmp_path


@pytest.fixture
def stand_in(tmp_path):
    """A folder with a module in place of TensorFlow, which takes seconds to import."""
    folder = tmp_path / "stand_in"
    folder.mkdir()
    (folder / "tensorflow.py").write_text("")
    return folder


def test_registering_imports_no_framework():
    succeed(
        "import sys, signxai_core as sx\n"
        "assert 'tensorflow' in sx.backends()\n"
        "sx.parse('lrp_z'); sx.methods()\n"
        "assert not {'tensorflow', 'keras', 'torch'} & set(sys.modules)\n"
    )


def test_a_keras_model_imports_neither_torch_nor_triton():
    succeed(
        "import sys, keras, numpy as np, signxai_core as sx\n"
        "model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])\n"
        f"results = sx.explain_many(model, np.ones((1, 3), 'float32'), {METHODS})\n"
        "assert {result.backend for result in results.values()} == {'tensorflow'}\n"
        "assert not {'torch', 'triton', 'torchvision', 'zennit'} & set(sys.modules)\n"
    )


def test_a_torch_model_after_tensorflow_loads_no_triton(triton):
    done = run(
        f"import sys, tensorflow, torch, numpy as np, signxai_core as sx\n{TORCH}"
        f"assert sx.explain_many(model, x, {METHODS})['lrp_z'].backend == 'torch'\n"
        "assert 'triton' not in sys.modules\n"
        "print('explained', flush=True)\n"
        "import triton\n",
        triton,
    )
    assert done.stdout == "explained\n", done.stderr[-2000:]
    assert done.returncode < 0, "Triton would have ended the process"


def test_zennit_after_tensorflow_is_refused_before_it_loads_triton(triton, stand_in):
    (triton / "zennit.py").write_text("import triton\n")
    code = "import {0}\nfrom signxai_torch.zennit_bridge import to_zennit\nto_zennit('lrp_z')\n"
    done = run(code.format("tensorflow"), triton, stand_in)
    assert done.returncode == 1
    assert "BackendError: zennit cannot be imported after TensorFlow" in done.stderr
    assert run(code.format("triton, tensorflow"), triton, stand_in).returncode >= 0


def test_the_command_line_refuses_a_module_that_loads_triton_after_tensorflow(triton, stand_in):
    (triton / "careless.py").write_text("import tensorflow\nimport triton\n")
    code = "import sys\nfrom signxai_core.cli import main\nsys.argv[1:] = 'plan careless:f x.npy -m gradient'.split()\n"
    done = run(f"{code}main()\n", triton, stand_in)
    assert done.returncode == 1, done.stderr
    assert "Put 'import triton' first in the module of the model" in " ".join(done.stderr.split())
