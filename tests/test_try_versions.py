"""Which versions scripts/try_versions.py asks for; installing them is tried by hand."""

from pathlib import Path

import pytest
import try_versions
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent


def as_pins(lines: list[str]) -> dict[str, str]:
    return {Requirement(line).name: str(Requirement(line).specifier) for line in lines}


def test_the_versions_are_those_of_the_constraints():
    lines = try_versions.pins([], "pinned")
    assert set(lines) == {line for line in (ROOT / "constraints.txt").read_text().splitlines()
                          if line and not line.startswith("#")}


def test_a_named_torch_takes_its_own_cuda_along():
    pins = as_pins(try_versions.pins(["torch==2.11.0", "torchvision==0.26.0"], "pinned"))
    assert (pins["torch"], pins["torchvision"]) == ("==2.11.0", "==0.26.0")
    assert "numpy" in pins and not [name for name in pins if name.startswith(("nvidia", "cuda"))]
    pins = as_pins(try_versions.pins(["numpy==2.0.0"], "pinned"))
    assert pins["numpy"] == "==2.0.0" and pins["torch"] == as_pins(
        try_versions.pins([], "pinned"))["torch"]


def test_the_lowest_are_the_bounds():
    pins = as_pins(try_versions.pins(["numpy==2.0.0"], "lowest"))
    bounds = {one.name: one.specifier for one in try_versions.wanted()}
    assert pins["numpy"] == "==2.0.0" and pins["torch"] == "==2.11"
    assert set(pins) == {one.replace("_", "-").lower() for one in bounds}


def test_of_two_bounds_the_higher_holds():
    two = [Requirement("a>=1.9"), Requirement("a>=1.10"), Requirement("b>=2")]
    assert try_versions.lowest(two) == {"a": "1.10", "b": "2"}


def test_the_newest_are_free():
    assert try_versions.pins(["torch==2.11.0"], "newest") == ["torch==2.11.0"]


def test_versions_that_do_not_go_together_are_said(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(try_versions, "PLACE", tmp_path / "versions")

    class Failed:
        returncode = 1

    monkeypatch.setattr(try_versions.venv, "create", lambda *words, **more: None)
    monkeypatch.setattr(try_versions.subprocess, "run", lambda *words, **more: Failed)
    with pytest.raises(SystemExit, match="pip cannot install these versions together"):
        try_versions.main(["torch==0.1"])
    assert "torch==0.1" in (tmp_path / "versions" / "constraints.txt").read_text()
