"""A skip for want of something that the environment says is there fails, wherever the skip stands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.packaging.conftest import ROOT

IN_A_TEST = "import pytest\ndef test_it():\n    pytest.skip('KUBECONFIG is not set')\n"
BY_A_MARK = "import pytest\n@pytest.mark.skipif(True, reason='needs KUBECONFIG')\ndef test_it():\n    pass\n"
OF_A_MODULE = "import pytest\npytest.skip('needs KUBECONFIG', allow_module_level=True)\n"


def run_pytest(folder: Path, source: str, required: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(ROOT / "conftest.py", folder)
    (folder / "test_it.py").write_text(source)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={folder}", "test_it.py"],
        cwd=folder,
        env={**os.environ, "PYPZ_REQUIRED": required, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("source", [IN_A_TEST, BY_A_MARK, OF_A_MODULE])
def test_a_skip_for_want_of_something_required_fails_and_names_it(tmp_path: Path, source: str) -> None:
    done = run_pytest(tmp_path, source, "KAFKA_BOOTSTRAP KUBECONFIG")
    assert done.returncode != 0
    assert "skipped for want of KUBECONFIG" in done.stdout


@pytest.mark.parametrize("source", [IN_A_TEST, BY_A_MARK, OF_A_MODULE])
@pytest.mark.parametrize("required", ["", "KAFKA_BOOTSTRAP"])
def test_a_skip_for_want_of_something_else_stays_a_skip(tmp_path: Path, source: str, required: str) -> None:
    done = run_pytest(tmp_path, source, required)
    assert done.returncode in (0, 5)
    assert "1 skipped" in done.stdout
