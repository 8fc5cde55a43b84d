"""Ours beside torchvision's, same scenes, same cores, same run. Prints ratios.

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
from teachseg.datasets.transforms import flip  # noqa: E402
from teachseg.evaluate import evaluate_pairs  # noqa: E402
from teachseg.learning.losses import total  # noqa: E402
from teachseg.papers import mask_rcnn  # noqa: E402
from teachseg.train import TrainConfig, make_optimizer  # noqa: E402

K = len(CLASSES)
WARMUP = 100  # steps


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
    """Prediction of 20 scenes, one at a time."""
    images = [Scenes("val", 20)[i][0] for i in range(20)]
    ours.eval(), theirs.eval()
    return compare(f"prediction, 20 scenes one by one ({note})",
                   lambda: [mask_rcnn.predict(ours, [image]) for image in images],
                   lambda: [peer_predict(theirs, [image]) for image in images], repeats=7)


class Learner:
    """A model that is trained for a fixed time: its learning rate falls to 0 as time runs out."""

    def __init__(self, name: str, model, losses_of, predict, seconds: float):
        self.name, self.model, self.losses_of, self.predict = name, model, losses_of, predict
        self.budget, self.spent, self.steps = seconds, 0.0, 0
        self.config = TrainConfig(steps=WARMUP + 1, warmup_steps=WARMUP)
        self.optimizer, _ = make_optimizer(model, self.config)
        self.generator = torch.Generator().manual_seed(0)
        model.train()

    def step(self, images: list, targets: list) -> None:
        """One update, on the clock; images are drawn off it, as both see the same ones."""
        start = time.perf_counter()
        left = 1 - self.spent / self.budget
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * min((self.steps + 1) / WARMUP, left)
        loss = total(self.losses_of(self.model, images, targets, self.generator))
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        self.optimizer.step()
        self.steps += 1
        self.spent += time.perf_counter() - start


def scenes_of_step(step: int, scenes: Scenes, batch: int = 8) -> tuple[list, list]:
    """A step's images and their targets, every other one mirrored; the same for both models."""
    indices = [(step * batch + i) % len(scenes) for i in range(batch)]
    items = [flip(*scenes[i]) if (i + step) % 2 else scenes[i] for i in indices]
    return [image for image, _ in items], [target for _, target in items]


def accuracy(learner: Learner, images: int = 200) -> dict:
    """AP of a trained model on validation scenes."""
    learner.model.eval()
    scenes = Scenes("val", images)
    return evaluate_pairs(
        ((learner.predict(learner.model, [image])[0], target) for image, target in scenes), K
    )


def equal_time(seconds: float) -> tuple[list[dict], list[dict]]:
    """Both trained for as long, then their AP and prediction time.

    They take turns, so that whatever else the machine does falls on both; who has spent less time
    goes next, so that both finish together, one with more steps than the other.
    """
    ours = Learner("ours", make_ours(), mask_rcnn.training_losses, mask_rcnn.predict, seconds)
    theirs = Learner("theirs", make_theirs(), peer_losses, peer_predict, seconds)
    scenes, rows = Scenes("train", 64_000), []
    while min(ours.spent, theirs.spent) < seconds:
        learner = min((ours, theirs), key=lambda one: one.spent)
        learner.step(*scenes_of_step(learner.steps, scenes))
    for learner in (ours, theirs):
        numbers = accuracy(learner)
        rows.append({"model": learner.name, "steps": learner.steps, "seconds": learner.spent,
                     **{k: numbers[k] for k in ("AP", "AP50", "AP75", "APr50", "APr70")}})
        print(f"{learner.name:<7} {learner.steps} steps in {learner.spent:.0f} s: "
              f"AP {numbers['AP']:.3f}, AP50 {numbers['AP50']:.3f}, AP75 {numbers['AP75']:.3f}",
              flush=True)
    return rows, [prediction_line(ours.model, theirs.model, "both trained")]


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
    plain = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=plain)
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
        facts |= {"lines": lines, "equal_time": trained}
        options.json.write_text(json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    main()
