"""What a step of each recipe takes here: memory, time, and how many of them fit into a night.

    python tests/bench/bench_recipes.py [RECIPE ...] [--device cpu|cuda] [--json FILE]

One picture of 640 x 480 with scenes' objects in it, brought to the recipe's size, with random
weights in 32 bits; in a process of its own. Memory is the most that it held over what it held
before the first step (on a GPU: the most that was allocated, the model included). On several images
a step, time multiplies; memory with the images of one pass.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))

from bench_full import pictures  # noqa: E402
from clock import highest_gb  # noqa: E402

from teachseg.checkpoints import MODELS  # noqa: E402
from teachseg.datasets.batch import resized_size  # noqa: E402
from teachseg.layers.backbones import freeze  # noqa: E402
from teachseg.learning.losses import total  # noqa: E402
from teachseg.recipes import RECIPES, find  # noqa: E402
from teachseg.train import make_optimizer  # noqa: E402

CLASSES = {"coco-train": 80, "sbd": 20, "nuclei": 1}
STEPS = 3  # of which the first warms up


def measure(name: str, device: str) -> dict:
    """One recipe's numbers, in this process."""
    recipe = find(name)
    page = import_module(f"teachseg.papers.{recipe.paper}")
    torch.manual_seed(0)
    config = recipe.config(CLASSES[recipe.data])
    model = getattr(page, MODELS[recipe.paper])(config).to(device).train()
    freeze(model.backbone, recipe.frozen_stages)
    size = (recipe.train.crop,) * 2 if recipe.train.crop else (480, 640)
    images, targets = pictures(size, 1, device)
    targets = [one._replace(labels=one.labels.clamp(max=config.num_classes)) for one in targets]
    optimizer, _ = make_optimizer(model, recipe.train)
    before, times = highest_gb(), []
    for step in range(STEPS):
        start = time.perf_counter()
        loss = total(page.training_losses(model, images, targets,
                                          torch.Generator().manual_seed(step)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    gb = torch.cuda.max_memory_allocated() / 1e9 if device == "cuda" else highest_gb() - before
    seen = resized_size(size, config.min_side, config.max_side)
    return {"recipe": name, "seen": list(seen), "gb": gb, "seconds": min(times[1:]),
            "parameters": sum(p.numel() for p in model.parameters()),
            "images_a_step": recipe.train.images_a_step, "steps": recipe.train.steps}


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measure(*sys.argv[2:4])))
        return
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("recipes", nargs="*", default=list(RECIPES), metavar="RECIPE")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    where = torch.cuda.get_device_name() if options.device == "cuda" else platform.machine()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {where}, load "
          f"{os.getloadavg()[0]:.1f}")
    print(f"{'recipe':<24} {'looks at':>12} {'GB':>6} {'s a picture':>12} {'all of it, days':>16}")
    rows = []
    for name in options.recipes:
        said = subprocess.run([sys.executable, __file__, "--one", name, options.device],
                              check=True, capture_output=True, text=True).stdout
        row = json.loads(said.splitlines()[-1])
        rows.append(row)
        days = row["seconds"] * row["images_a_step"] * row["steps"] / 86_400
        print(f"{name:<24} {row['seen'][0]:>5} x {row['seen'][1]:>4} {row['gb']:6.2f} "
              f"{row['seconds']:12.2f} {days:16.1f}", flush=True)
    if options.json:
        facts = {"torch": torch.__version__, "threads": torch.get_num_threads(), "machine": where,
                 "device": options.device, "command": " ".join(sys.argv), "rows": rows}
        options.json.write_text(json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    main()
