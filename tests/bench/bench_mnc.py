"""MNC beside Mask R-CNN, on the same scenes and cores in the same run; where its time goes; and
what voting and the last two stages are worth.

    python tests/bench/bench_mnc.py [--full] [--json FILE]

Both are the course's models, as they are and with as many proposals and rois as each other.
`--full` also runs the paper's VGG-16 model on a 600 x 1000 image and prints how much memory that
took. A ratio is MNC / Mask R-CNN: above 1, MNC takes longer.
"""

import argparse
import json
import os
import platform
import resource
import sys
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch

sys.path.insert(0, str(Path(__file__).parent))

from clock import compare, percentile, show  # noqa: E402
from run import stepper  # noqa: E402

from teachseg.checkpoints import load  # noqa: E402
from teachseg.datasets.scenes import CLASSES, Scenes  # noqa: E402
from teachseg.evaluate import evaluate_pairs  # noqa: E402
from teachseg.papers import mask_rcnn, mnc  # noqa: E402

K = len(CLASSES)
PROPOSALS = {"post_nms_train": 60, "post_nms_test": 100, "roi_draw": 32}
HEADER = f"{'':<82} {'MNC ms':>9} {'M R-CNN':>9}   ratio  (10 % - 90 %)"
PAPER_MS = {  # VGG-16 on an Nvidia K40   [MNC, its table of inference times]
    "conv": 150, "stage 2": 10, "stage 3": 80, "stage 4": 10, "stage 5": 80, "others": 30,
}


def make(page, class_name: str, **changes):
    """A course model with some numbers changed."""
    torch.manual_seed(0)
    return getattr(page, class_name)(replace(page.Config.course(K), **changes))


def lines() -> list[dict]:
    """Training step and prediction, of the models as they are and at equal proposals."""
    found = []
    for note, changes in (("as they are", {}), ("equal proposals and rois", PROPOSALS)):
        ours, theirs = make(mnc, "MNC", **changes), make(mask_rcnn, "MaskRCNN", **changes)
        found.append(compare(f"training step, 8 scenes of 128 x 128 ({note})",
                             stepper(ours, mnc.training_losses),
                             stepper(theirs, mask_rcnn.training_losses), repeats=9))
    images = [Scenes("val", 20)[i][0] for i in range(20)]
    ours, theirs = load("mnc"), load("mask_rcnn")
    for note, proposals in (("as they are", {}), ("100 proposals each", PROPOSALS)):
        for model in (ours, theirs):
            model.config = replace(model.config, **proposals)
        found.append(compare(f"prediction, 20 scenes one by one (shipped models, {note})",
                             lambda: [mnc.predict(ours, [image]) for image in images],
                             lambda: [mask_rcnn.predict(theirs, [image]) for image in images],
                             repeats=7))
    return found


def stage_rows(scenes: int = 20) -> list[dict]:
    """Milliseconds of each stage of the shipped model on one scene: median, 10 % and 90 %."""
    model, split = load("mnc"), Scenes("val", scenes)
    times = [mnc.stage_times(model, split[i][0]) for i in range(scenes)]
    times = times[2:]  # the first ones warm up
    rows = []
    for stage in times[0]:
        milliseconds = [1e3 * one[stage] for one in times]
        rows.append({"stage": stage, "ms": median(milliseconds), "paper_ms": PAPER_MS.get(stage),
                     "low": percentile(milliseconds, 0.1), "high": percentile(milliseconds, 0.9)})
    return rows


def accuracy_rows(scenes: int = 200) -> list[dict]:
    """mAP^r of the shipped model on validation scenes, with and without voting, 3 and 5 stages."""
    model, split, rows = load("mnc"), Scenes("val", scenes), []
    items, config = [split[i] for i in range(scenes)], model.config
    for stages in (3, 5):
        for voting in (False, True):
            model.config = replace(config, stages_test=stages, voting=voting)
            pairs = ((mnc.predict(model, [image])[0], target) for image, target in items)
            numbers = evaluate_pairs(pairs, K)
            rows.append({"stages": stages, "voting": voting, "scenes": scenes} | {
                name: numbers[name] for name in ("APr50", "APr60", "APr70", "APr80", "APr90",
                                                 "AP", "AP50", "AP75")})
    return rows


def full_row() -> dict:
    """The paper's model with random weights on one image of 600 x 1000; memory of the process."""
    torch.manual_seed(0)
    model = mnc.MNC(mnc.Config.paper(20)).eval()
    image = torch.rand(3, 600, 1000, generator=torch.Generator().manual_seed(0))
    parts = mnc.trace(model, image)
    times = mnc.stage_times(model, image)
    return {"map": list(parts["features"].shape[-2:]), "anchors": len(parts["anchors"]),
            "rois": len(parts["boxes_2"]), "instances": len(parts["instances"].boxes),
            "seconds": times,
            "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()}, "
          f"load {os.getloadavg()[0]:.1f}")
    full = full_row() if options.full else None  # first: memory is the process's highest
    if full:
        print(f"paper, 600 x 1000: map {full['map']}, {full['anchors']} anchors, {full['rois']} "
              f"rois, {full['instances']} instances, {sum(full['seconds'].values()):.1f} s, peak "
              f"{full['peak_gb']:.2f} GB")
    found, rows = lines(), stage_rows()
    print(HEADER)
    for line in found:
        print(show(line))
    print(f"\n{'stage':<10} {'ms':>8}  (10 % - 90 %)    paper, VGG-16 on a K40")
    for row in rows:
        paper = "-" if row["paper_ms"] is None else row["paper_ms"]
        print(f"{row['stage']:<10} {row['ms']:8.2f}  ({row['low']:.2f} - {row['high']:.2f})"
              f"{paper!s:>14}")
    accuracy = accuracy_rows()
    print(f"\n{'stages':<8}{'voting':<8}{'AP^r@.5':>8}{'@.7':>8}{'@.9':>8}{'AP':>8}")
    for row in accuracy:
        print(f"{row['stages']:<8}{'yes' if row['voting'] else 'no':<8}{row['APr50']:8.3f}"
              f"{row['APr70']:8.3f}{row['APr90']:8.3f}{row['AP']:8.3f}")
    if options.json:
        facts = {"torch": torch.__version__, "threads": torch.get_num_threads(),
                 "machine": platform.machine(), "command": " ".join(sys.argv), "lines": found,
                 "stages": rows, "accuracy": accuracy, "full": full}
        options.json.write_text(json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    main()
