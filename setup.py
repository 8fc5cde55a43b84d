"""What pyproject.toml cannot say: a wheel brings the trained models, results and notebooks along.

They lie beside the library in a clone, and are copied to teachseg/course in a wheel, where
teachseg.places finds them. An editable installation uses the clone's own.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
PARTS = {"data": "*", "notebooks": "[0-9][0-9]_*.ipynb"}  # folder -> its files that go along


class WithCourse(build_py):
    """The library's modules, and the course beside them."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib, "teachseg", "course")
        shutil.rmtree(target, ignore_errors=True)  # what an older build left there
        for source, place in self._files():
            file = target / place
            file.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, file)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """What is installed, by name."""
        target = Path(self.build_lib, "teachseg", "course")
        ours = [str(target / place) for _, place in self._files()]
        return super().get_outputs(include_bytecode) + ours

    @staticmethod
    def _files() -> list[tuple[Path, Path]]:
        """Each file of the course with its place in the wheel."""
        found = [file for part, pattern in PARTS.items() for file in (HERE / part).rglob(pattern)]
        return [(file, file.relative_to(HERE)) for file in sorted(found) if file.is_file()]


setup(cmdclass={"build_py": WithCourse})
