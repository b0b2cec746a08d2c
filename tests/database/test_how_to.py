import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "build-a-database.md"


@pytest.mark.slow
def test_the_python_on_the_page_runs(tmp_path: Path) -> None:
    first, *_ = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "this.py").write_text(first)
    done = subprocess.run([sys.executable, "this.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "BuildSummary(computed=4, failed=0, known=0, left=0)" in done.stdout
    assert (tmp_path / "my_database" / "manifest.json").is_file()
