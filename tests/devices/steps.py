"""A script, not a test: train a small model on scenes, in as many processes as asked for.

    python steps.py PAPER DEVICES BATCH STEPS FOLDER [resume]

It writes its run into FOLDER, and `gradients.safetensors`: those of the first step, as they are
when every process has the average of all.
"""

import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import torch
from safetensors.torch import save_file

from teachseg import processes, train
from teachseg.checkpoints import MODELS
from teachseg.datasets.scenes import Scenes

SMALL = {
    "mask_rcnn": {"fpn_channels": 32, "box_hidden": 32, "mask_channels": 16, "mask_convs": 1,
                  "anchor_sizes": (8, 16, 32), "pre_nms_train": 50, "post_nms_train": 20,
                  "roi_draw": 16},
    "mnc": {"roi_draw": 16, "post_nms_train": 20},
    "deep_metric": {"points": 5, "background_points": 20, "ramp": (0.0, 0.0)},
}


class WithAnEmptyOne:
    """Eight scenes, of which the one that is seen first shows nothing."""

    def __init__(self, config):
        self.scenes = Scenes("two processes", 8, image_size=64)
        self.empty = train.draws(0, 8, config)[0][0]

    def __len__(self):
        return 8

    def __getitem__(self, index):
        image, targets = self.scenes[index]
        if index == self.empty:
            return image, type(targets)(*(part[:0] for part in targets))
        return image, targets


def main(paper, devices, batch, steps, folder, *more):
    config = train.TrainConfig(
        steps=int(steps), batch_size=int(batch), devices=int(devices), learning_rate=0.01,
        warmup_steps=0, schedule="constant", optimizer="sgd", clip_norm=None, save_every=1,
        device="cpu", threads=1)
    page = import_module(f"teachseg.papers.{paper}")
    torch.manual_seed(0)
    model = getattr(page, MODELS[paper])(replace(page.Config.course(5), **SMALL[paper]))
    records = train.fit(model, page.training_losses, WithAnEmptyOne(config), config, folder,
                        resume=more == ("resume",))
    for record in records:
        if record.step == 1 and processes.rank() == 0:
            save_file({name: p.grad.clone() for name, p in model.named_parameters()},
                      Path(folder, "gradients.safetensors"))
        if processes.rank() == 0:
            print(record.step, record.losses, flush=True)
    print("rank", processes.rank(), "of", processes.world(), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
