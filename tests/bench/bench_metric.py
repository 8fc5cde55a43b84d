"""Deep metric learning beside torchvision's Mask R-CNN, on the same scenes and cores in one run;
how its time and memory grow with the image; and what it reaches.

    python tests/bench/bench_metric.py [--train SECONDS] [--full] [--json FILE]

The peer is that of run.py; `--train` trains it for so many seconds first, so that it predicts few
objects, as a trained model does. `--full` also runs the paper's model. No line passes or fails.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from functools import partial
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))

from clock import HEADER, compare, milliseconds, show  # noqa: E402
from peer import peer_losses, peer_predict  # noqa: E402
from run import Learner, make_theirs, scenes_of_step, stepper  # noqa: E402

from teachseg.checkpoints import load  # noqa: E402
from teachseg.datasets.scenes import CLASSES, Scenes  # noqa: E402
from teachseg.evaluate import evaluate_pairs  # noqa: E402
from teachseg.geometry.similarity import similarity_maps  # noqa: E402
from teachseg.papers import deep_metric  # noqa: E402

K = len(CLASSES)
SIDES = (64, 128, 256, 512)
ASKED_MS = 15.0  # one seed against a map of 512 x 512 with D = 64

# In a process of its own: memory is the process's highest.
GROWTH = """
import sys, torch
sys.path.insert(0, sys.argv[2])
from clock import highest_gb
from teachseg.checkpoints import load
from teachseg.datasets.scenes import Scenes
from teachseg.papers import deep_metric
side, model = int(sys.argv[1]), load("deep_metric").train()
image, target = Scenes("train", 1, image_size=side)[0]
before = highest_gb()
losses = deep_metric.training_losses(model, [image], [target], torch.Generator().manual_seed(0))
sum(losses.values()).backward()
print(highest_gb() - before)
"""


def trained_peer(seconds: float):
    """torchvision's small Mask R-CNN, trained for so long on the scenes."""
    learner = Learner("theirs", make_theirs(), peer_losses, peer_predict, max(seconds, 1e-9))
    scenes = Scenes("train", 64_000)
    while learner.spent < seconds:
        learner.step(*scenes_of_step(learner.steps, scenes))
    return learner.model.eval()


def lines(peer, note: str) -> list[dict]:
    """Prediction and training step beside the peer's."""
    model = load("deep_metric")
    images = [Scenes("val", 20)[i][0] for i in range(20)]
    found = [compare(f"prediction, 20 scenes of 128 x 128 one by one (peer {note})",
                     lambda: [deep_metric.predict(model, [image]) for image in images],
                     lambda: [peer_predict(peer, [image]) for image in images], repeats=9)]
    found.append(compare("training step, 8 scenes of 128 x 128",
                         stepper(load("deep_metric"), deep_metric.training_losses),
                         stepper(make_theirs(), peer_losses), repeats=9))
    return found


def similarity_rows() -> list[dict]:
    """One seed against all cells of a map, D = 64."""
    rows = []
    for side in SIDES:
        embeddings = torch.randn(64, side, side, generator=torch.Generator().manual_seed(0))
        seed = torch.tensor([[side // 2, side // 3]])
        rows.append({"side": side} | milliseconds(partial(similarity_maps, embeddings, seed)))
    return rows


def growth_rows() -> list[dict]:
    """Prediction's time, and memory of a training step, of one scene of each size."""
    model, rows = load("deep_metric"), []
    for side in SIDES:
        image = Scenes("val", 1, image_size=side)[0][0]
        said = subprocess.run([sys.executable, "-c", GROWTH, str(side), str(Path(__file__).parent)],
                              check=True, capture_output=True, text=True).stdout
        rows.append({"side": side, "training_mb": 1e3 * float(said)}
                    | milliseconds(partial(deep_metric.predict, model, [image]), 9))
    return rows


def accuracy(scenes: int = 200) -> dict:
    """AP of the shipped model on validation scenes."""
    model = load("deep_metric")
    found = evaluate_pairs(((deep_metric.predict(model, [image])[0], target)
                            for image, target in Scenes("val", scenes)), K)
    return {name: found[name] for name in ("APr50", "APr60", "APr70", "APr80", "APr90", "AP",
                                           "AP50", "AP75")}


def full_row() -> dict:
    """The paper's model on an image of 320 x 480."""
    torch.manual_seed(0)
    model = deep_metric.DeepMetric(deep_metric.Config.paper(20)).eval()
    image = torch.rand(3, 320, 480, generator=torch.Generator().manual_seed(0))
    shape = list(deep_metric.trace(model, image)["embeddings"].shape)
    return {"embeddings": shape} | milliseconds(partial(deep_metric.predict, model, [image]), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--train", type=float, default=0, metavar="SECONDS")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()}, "
          f"load {os.getloadavg()[0]:.1f}")
    note = f"trained for {options.train:.0f} s" if options.train else "untrained"
    found = lines(trained_peer(options.train), note)
    print(HEADER)
    for line in found:
        print(show(line))
    similar, growth, reached = similarity_rows(), growth_rows(), accuracy()
    print(f"\none seed to all cells, D = 64 (asked of 512 x 512: {ASKED_MS:.0f} ms)")
    for row in similar:
        print(f"  {row['side']:3} x {row['side']:3}  {row['ms']:7.2f} ms  "
              f"({row['low']:.2f} - {row['high']:.2f})")
    print("\none scene: prediction, and the memory that a training step adds")
    for row in growth:
        print(f"  {row['side']:3} x {row['side']:3}  {row['ms']:7.1f} ms  "
              f"({row['low']:.1f} - {row['high']:.1f})  {row['training_mb']:7.1f} MB")
    print("\n200 validation scenes: " + ", ".join(f"{k} {v:.3f}" for k, v in reached.items()))
    full = full_row() if options.full else None
    if full:
        print(f"paper, 320 x 480: embeddings {full['embeddings']}, {full['ms'] / 1e3:.1f} s")
    if options.json:
        facts = {"torch": torch.__version__, "threads": torch.get_num_threads(),
                 "machine": platform.machine(), "command": " ".join(sys.argv), "lines": found,
                 "similarity": similar, "growth": growth, "accuracy": reached, "full": full}
        options.json.write_text(json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    main()
