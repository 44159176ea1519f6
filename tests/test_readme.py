"""The README's example runs as it stands, but for fewer steps of synthesis."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"


@pytest.mark.slow
def test_the_ten_lines_run():
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.S)
    assert "steps=200, progress=True" in code
    names: dict = {}
    exec(compile(code.replace("steps=200, progress=True", "steps=3"), str(README), "exec"), names)
    assert names["seen"].shape == (1, 3, 427, 640)
    assert names["means"].shape[:2] == (1, 3)
    assert names["answers"].dims[:2] == ("presentation", "neuroid")


def test_the_ledger_s_summary_is_the_ledger_s():
    root = Path(__file__).parents[1]
    summary = (root / "experiments/results/LEDGER.md").read_text(encoding="utf-8").splitlines()[4].rstrip(".")
    assert summary.replace("claims hold", "hold") in " ".join((root / "README.md").read_text(encoding="utf-8").split())
