"""Importing zennit after TensorFlow would abort the process; it is refused instead. No zennit needed."""

from __future__ import annotations

import subprocess
import sys

GUARD = """
import sys, types
{before}
from signxai_core.errors import BackendError
from signxai_core.registry import registry
from signxai_torch.zennit_bridge import from_zennit, to_zennit
assert "zennit" not in sys.modules or {known}
for call in (lambda: to_zennit("lrp_z"), lambda: from_zennit(None), registry().backend("zennit").make):
    try:
        call()
    except BackendError as error:
        print(error)
"""


def run(before, *, known=False):
    code = GUARD.format(before=before, known=known)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_tensorflow_before_triton_is_refused():
    lines = run('sys.modules["tensorflow"] = types.ModuleType("tensorflow")')
    assert len(lines) == 3
    text = (
        "zennit cannot be imported after TensorFlow: it imports torchvision, which loads Triton, and loading Triton "
        "after TensorFlow aborts the process. Put 'import zennit' (or 'import torchvision') before the first import "
        "of TensorFlow"
    )
    assert set(lines) == {text}


def test_triton_before_tensorflow_is_fine_and_a_missing_zennit_is_named():
    before = (
        'sys.modules["tensorflow"] = types.ModuleType("tensorflow")\n'
        'sys.modules["triton"] = types.ModuleType("triton")\n'
        "class Block:\n"
        "    def find_spec(self, name, *_):\n"
        '        if name.partition(".")[0] == "zennit": raise ImportError("No module named zennit")\n'
        "sys.meta_path.insert(0, Block())"
    )
    lines = run(before)
    assert len(lines) == 3
    assert lines[0] == (
        "zennit cannot be imported: No module named zennit. Install it with: pip install 'signxai-core[zennit]'"
    )


def test_the_torch_backend_does_not_import_it():
    code = "import sys, signxai_torch.backend; assert not {'zennit', 'torchvision'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
