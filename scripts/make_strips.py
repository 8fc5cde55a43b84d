"""Draw the frames of the explorers' sweeps: what the site shows where a notebook has sliders.

    python scripts/make_strips.py                          all notebooks
    python scripts/make_strips.py notebooks/10_some.ipynb  only these

Each notebook is run once more in a fresh kernel. Every `explorer.sweep(name, values)` is a strip:
its frames as small pictures, and their captions, in lessons/_site/strips. A test holds the captions
equal to those in the notebook's stored outputs.
"""

import base64
import json
import shutil
import sys
import tempfile
from pathlib import Path

import nbformat
from make_notebooks import ROOT, execute, find, fix_environment

STRIPS = ROOT / "lessons" / "_site" / "strips"
KIND = "application/x-teachseg-strip+json"
ZOOM, QUALITY = 1.2, 50  # pixels a unit, and how much of them WebP keeps

# Run in the kernel before the notebook: a sweep also shows its frames, as data.
LISTEN = f"""
def _listen():
    import base64, io
    from IPython.display import display
    from teachseg.explore.explorer import Explorer, rendered

    plain = Explorer.sweep

    def picture(frame):
        file, pixels = io.BytesIO(), rendered(frame.svg, {ZOOM})
        pixels.save(file, "WEBP", quality={QUALITY}, method=6)
        return dict(picture=base64.b64encode(file.getvalue()).decode(), width=pixels.width,
                    height=pixels.height)

    def sweep(self, name, values):
        values = list(values)
        plain(self, name, values)
        frames = [(value, self.draw(**{{name: value}})) for value in values]
        drawn = [dict(value=str(value), caption=frame.caption, **picture(frame))
                 for value, frame in frames if frame.svg]
        label = self.controls[name].description
        display({{"{KIND}": dict(label=label, name=name, frames=drawn)}}, raw=True)

    Explorer.sweep = sweep

_listen()
"""


def strips_of(path: Path) -> list[dict]:
    """The strips of a notebook, each with the number of its cell."""
    notebook = nbformat.read(path, as_version=4)
    first = nbformat.v4.new_code_cell(LISTEN)
    notebook.cells = [first, *notebook.cells]
    execute(notebook, path)
    return [{"cell": number, **output.data[KIND]}
            for number, cell in enumerate(notebook.cells[1:]) if cell.cell_type == "code"
            for output in cell.outputs if KIND in output.get("data", {})]


def keep(path: Path, strips: list[dict]) -> None:
    """Write a notebook's strips: the pictures as files, the rest as JSON."""
    folder = STRIPS / path.stem
    shutil.rmtree(folder, ignore_errors=True)
    if not strips:
        return
    folder.mkdir(parents=True)
    for number, strip in enumerate(strips):
        for place, frame in enumerate(strip["frames"]):
            frame["file"] = f"{number}_{place}.webp"
            (folder / frame["file"]).write_bytes(base64.b64decode(frame.pop("picture")))
    (folder / "strips.json").write_text(json.dumps(strips, indent=1) + "\n", "utf-8")


def main(paths: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        fix_environment(folder)
        for path in find(paths):
            strips = strips_of(path)
            keep(path, strips)
            frames = sum(len(strip["frames"]) for strip in strips)
            print(f"{path.name}: {len(strips)} strips, {frames} frames", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
