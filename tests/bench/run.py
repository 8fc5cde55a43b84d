"""`make bench`: ours beside torchvision's, same scenes, same cores, same run. Prints ratios.

    python tests/bench/run.py [--train SECONDS] [--full] [--json FILE]

No line passes or fails: a ratio below 1 means that ours is faster. `--train` trains both models for
that many seconds and compares their accuracy; `--full` compares ResNet-50-FPN at 800 x 1066.
"""

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))

import bench_roi  # noqa: E402
from clock import HEADER, compare, show  # noqa: E402
from peer import make_peer, peer_losses, peer_predict  # noqa: E402

from teachseg.datasets.scenes import CLASSES, Scenes  # noqa: E402
from teachseg.evaluate import evaluate_pairs  # noqa: E402
from teachseg.learning.losses import total  # noqa: E402
from teachseg.papers import mask_rcnn  # noqa: E402
from teachseg.train import TrainConfig, fit  # noqa: E402

K = len(CLASSES)


def make_ours() -> mask_rcnn.MaskRCNN:
    torch.manual_seed(0)
    return mask_rcnn.MaskRCNN(mask_rcnn.Config.course(K))


def make_theirs():
    torch.manual_seed(0)
    return make_peer(K)


def stepper(model, losses_of):
    """A training step on eight scenes, as a function of nothing."""
    items = [Scenes("train", 8)[i] for i in range(8)]
    images, targets = [image for image, _ in items], [target for _, target in items]
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4)
    generator = torch.Generator().manual_seed(0)
    model.train()

    def step():
        loss = total(losses_of(model, images, targets, generator))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def short_lines() -> list[dict]:
    """Training step and prediction of the course's model, and the RoI operators."""
    ours, theirs = make_ours(), make_theirs()
    lines = [compare("training step, 8 scenes of 128 x 128",
                     stepper(ours, mask_rcnn.training_losses), stepper(theirs, peer_losses))]
    lines += bench_roi.lines()
    return lines


def prediction_line(ours, theirs, note: str) -> dict:
    """Prediction of one scene, over 20 scenes."""
    images = [Scenes("val", 20)[i][0] for i in range(20)]
    ours.eval(), theirs.eval()
    return compare(f"prediction, one scene ({note})",
                   lambda: [mask_rcnn.predict(ours, [image]) for image in images],
                   lambda: [peer_predict(theirs, [image]) for image in images], repeats=7)


def train_for(model, losses_of, seconds: float) -> dict:
    """Train for about `seconds`: the schedule's length follows from the time of 20 steps."""
    scenes = Scenes("train", 20_000)
    probe = make_ours() if losses_of is mask_rcnn.training_losses else make_theirs()
    records = [r.seconds for r in fit(probe, losses_of, scenes, TrainConfig(steps=20, device="cpu"))]
    steps = max(20, int(seconds / (sum(records[5:]) / 15)))
    start = time.perf_counter()
    for _ in fit(model, losses_of, scenes, TrainConfig(steps=steps, device="cpu")):
        pass
    return {"steps": steps, "seconds": time.perf_counter() - start}


def accuracy(model, predict, images: int = 200) -> dict:
    """AP of a trained model on validation scenes."""
    model.eval()
    scenes = Scenes("val", images)
    pairs = ((predict(model, [image])[0], target) for image, target in scenes)
    return evaluate_pairs(pairs, K)


def equal_time(seconds: float) -> tuple[list[dict], list[dict]]:
    """Both trained for as long, one after the other, then their AP and prediction time."""
    ours, theirs, rows = make_ours(), make_theirs(), []
    for name, model, losses_of, predict in (
        ("ours", ours, mask_rcnn.training_losses, mask_rcnn.predict),
        ("theirs", theirs, peer_losses, peer_predict),
    ):
        spent = train_for(model, losses_of, seconds)
        numbers = accuracy(model, predict)
        rows.append({"model": name, **spent, **{k: numbers[k] for k in ("AP", "AP50", "AP75", "APr50")}})
        print(f"{name:<7} {spent['steps']} steps in {spent['seconds']:.0f} s: AP {numbers['AP']:.3f}, "
              f"AP50 {numbers['AP50']:.3f}, AP75 {numbers['AP75']:.3f}", flush=True)
    return rows, [prediction_line(ours, theirs, "both trained")]


def full_size_line() -> dict:
    """ResNet-50-FPN with the same random weights at 800 x 1066."""
    from torchvision.models.detection import maskrcnn_resnet50_fpn

    torch.manual_seed(0)
    theirs = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None).eval()
    ours = mask_rcnn.from_torchvision(theirs.state_dict())
    image = torch.rand(3, 800, 1066, generator=torch.Generator().manual_seed(0))
    return compare("prediction, ResNet-50-FPN at 800 x 1066",
                   lambda: mask_rcnn.predict(ours, [image]), lambda: peer_predict(theirs, [image]),
                   repeats=5, warmup=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--train", type=float, default=0, metavar="SECONDS")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()}, "
          f"load {os.getloadavg()[0]:.1f}\n{HEADER}")
    lines, trained = short_lines(), []
    if not options.train:
        lines.append(prediction_line(make_ours(), make_theirs(), "both untrained"))
    if options.full:
        lines.append(full_size_line())
    if options.train:
        trained, more = equal_time(options.train)
        lines += more
    print(HEADER)
    for line in lines:
        print(show(line))
    if options.json:
        facts = {"torch": torch.__version__, "threads": torch.get_num_threads(),
                 "machine": platform.machine(), "command": " ".join(sys.argv)}
        options.json.write_text(json.dumps({**facts, "lines": lines, "equal_time": trained}, indent=2) + "\n")


if __name__ == "__main__":
    main()
