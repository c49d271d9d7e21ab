"""What is imported when: nothing of a framework until a model of it is explained."""

from __future__ import annotations

import subprocess
import sys

import pytest

FRAMEWORKS = ("torch", "tensorflow", "keras", "jax", "matplotlib", "sklearn")


def modules_after(code: str) -> set[str]:
    script = f"{code}\nimport sys\nsys.stdout.write('\\n'.join(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in shown.stdout.split()}


@pytest.mark.parametrize(
    "code",
    [
        "import signxai_core",
        "import signxai_core as sx; [sx.name(sx.parse(n)) for n in sx.methods()]; sx.rules(); sx.backends()",
        "import signxai_rules, signxai_torch",
        "import signxai_core.testing",
    ],
)
def test_no_framework_is_imported(code):
    assert modules_after(code).isdisjoint(FRAMEWORKS)


def test_explaining_a_torch_model_imports_no_tensorflow():
    code = (
        "import torch, numpy, signxai_core as sx\n"
        "sx.explain(torch.nn.Linear(3, 2), numpy.ones((1, 3), 'float32'), 'lrp_z')"
    )
    found = modules_after(code)
    assert "torch" in found
    assert found.isdisjoint({"tensorflow", "keras"})
