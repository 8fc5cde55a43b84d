"""What the tests of single commands share."""

import pytest
from typer.testing import CliRunner, Result

from teachseg import cli


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    """Whatever is written without a path lands there, and a learner's progress too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TEACHSEG_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TEACHSEG_DEBUG", raising=False)


@pytest.fixture
def run():
    """`run(*words)` is `teachseg WORDS` in this process: .stdout, .stderr, .exit_code."""
    def invoke(*words) -> Result:
        return CliRunner().invoke(cli.app, [str(word) for word in words])

    return invoke
