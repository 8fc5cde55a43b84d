"""What went wrong in an image: every object's fate and every detection's, by kind.

AP is one number; it does not say whether two objects were taken for one or one for two. Here each
object of an image gets exactly one fate, and each detection one part in it.

Letters
    D     detections, best first        H, W  height and width of the image, in pixels
    G     objects of the image

The fates of an object, tried in this order:

    found        a detection of its class has a mask IoU of at least 1/2 with it
    wrong class  one of another class has
    merged       a detection covers at least half of it, and at least half of another object too
    split        two detections or more lie in it by at least half of their own pixels, and together
                 cover at least half of it
    loose mask   the best of the detections overlaps it with an IoU of at least 1/10, but below 1/2
    missed       none does

Wrong class, split and loose mask look only at detections that are neither right nor duplicates:
those stand for another object already.

and the parts of a detection:

    right        it found an object
    duplicate    its object (same class, IoU of at least 1/2) was found by a better scored one
    wrong class, merged, split, loose mask: the one (or ones) behind an object's fate
    nothing      it stands for no object's fate: on background, say, or a loose second mask

Masks are compared, boxes play no part. The distinction of localisation, classification, duplicates,
background and misses is that of Bolya et al. 2020 (TIDE, section 2.2); merged and split are added,
as they are what the three papers differ in.

Lesson: 40
"""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from torch import Tensor

from teachseg.geometry.masks import mask_iou
from teachseg.structures import Detections, Targets

RIGHT_IOU = 0.5     # from here on a mask is right
TOUCHING_IOU = 0.1  # from here on a detection means an object at all
HALF = 0.5          # of an object, or of a detection
FATES = ("found", "wrong class", "merged", "split", "loose mask", "missed")
PARTS = ("right", "duplicate", "wrong class", "merged", "split", "loose mask", "nothing")


class Judged(NamedTuple):
    """One image: what became of each object, and what part each detection has."""

    fates: list[str]       # (G) of FATES
    by: list[list[int]]    # (G) the detections behind each fate; [] for "missed"
    parts: list[str]       # (D) of PARTS
    fit: list[float]       # (G) mask IoU with the detection that found it; 0 where none did


def overlaps(detections: Detections, targets: Targets) -> tuple[Tensor, Tensor, Tensor]:
    """(D, G) IoU; share of each object that is covered; share of each detection that lies in it."""
    found, real = detections.masks.flatten(1).float(), targets.masks.flatten(1).float()
    common = found @ real.T
    iou = mask_iou(detections.masks, targets.masks)
    return (iou, common / real.sum(dim=1).clamp(min=1),
            common / found.sum(dim=1, keepdim=True).clamp(min=1))


def find_right(iou: Tensor, same_class: Tensor) -> list[int]:
    """(G) the detection that finds each object, or -1: best score first, each takes the object of
    its class that it fits best among those still free, if the IoU is at least `RIGHT_IOU`.
    [COCO's rule]

    Args:
        iou: (D, G), best score first. same_class: (D, G) bool.
    """
    finder = [-1] * iou.shape[1]
    allowed = (iou * same_class).tolist()
    for d, row in enumerate(allowed):
        free = [(value, g) for g, value in enumerate(row) if finder[g] < 0 and value >= RIGHT_IOU]
        if free:
            finder[max(free)[1]] = d
    return finder


def judge_image(detections: Detections, targets: Targets) -> Judged:
    """What became of each object, and what part each detection has in it.

    Args:
        detections: those that would be shown: `detections.above(0.5)`, say.

    Raises:
        ValueError: masks of two sizes.
    """
    if detections.masks.shape[1:] != targets.masks.shape[1:]:
        raise ValueError(f"The detections' masks are {tuple(detections.masks.shape[1:])} and the "
                         f"objects' {tuple(targets.masks.shape[1:])} (height, width): both must "
                         "be as large as the image.")
    num_found, num_real = len(detections.labels), len(targets.labels)
    iou, covered, inside = overlaps(detections, targets)
    same_class = detections.labels[:, None] == targets.labels
    finder = find_right(iou, same_class)
    parts = ["nothing"] * num_found
    for d in finder:
        if d >= 0:
            parts[d] = "right"
    for d in range(num_found):
        if parts[d] == "nothing" and bool((same_class[d] & (iou[d] >= RIGHT_IOU)).any()):
            parts[d] = "duplicate"

    fates, by = [], []
    for g in range(num_real):
        on_object = detections.masks[:, targets.masks[g]]  # (D, its pixels)
        fate, behind = _fate(g, finder[g], iou, covered, inside, parts, on_object)
        fates.append(fate)
        by.append(behind)
    for fate, behind in zip(fates, by):
        for d in behind:
            if parts[d] == "nothing":
                parts[d] = fate
    fit = [float(iou[d, g]) if d >= 0 else 0.0 for g, d in enumerate(finder)]
    return Judged(fates, by, parts, fit)


def _fate(
    g: int, finder: int, iou: Tensor, covered: Tensor, inside: Tensor, parts: list[str],
    on_object: Tensor,
) -> tuple[str, list[int]]:
    """What became of object g, and the detections behind it.

    Args:
        on_object: (D, pixels of the object) bool, which of them each detection covers.
    """
    if finder >= 0:
        return "found", [finder]
    spare = [d for d in range(len(parts)) if parts[d] == "nothing"]  # stand for nothing else
    other = [d for d in spare if iou[d, g] >= RIGHT_IOU]
    if other:
        return "wrong class", [max(other, key=lambda d: float(iou[d, g]))]
    merging = [d for d in range(len(parts)) if covered[d, g] >= HALF
               and int((covered[d] >= HALF).sum()) >= 2]
    if merging:
        return "merged", [max(merging, key=lambda d: float(covered[d, g]))]
    pieces = [d for d in spare if inside[d, g] >= HALF]
    if len(pieces) >= 2 and on_object[pieces].any(dim=0).float().mean() >= HALF:
        return "split", pieces
    if spare:
        best = max(spare, key=lambda d: float(iou[d, g]))
        if iou[best, g] >= TOUCHING_IOU:
            return "loose mask", [best]
    return "missed", []


class Tally(NamedTuple):
    """Sums over images."""

    objects: int
    detections: int
    fates: Counter   # of objects, by FATES
    parts: Counter   # of detections, by PARTS

    def share(self, fate: str) -> float:
        """Of the objects, in [0, 1]; 0 without any."""
        return self.fates[fate] / max(self.objects, 1)


def tally(judged: Iterable[Judged]) -> Tally:
    """The sums of some images."""
    fates, parts = Counter(), Counter()
    for one in judged:
        fates.update(one.fates)
        parts.update(one.parts)
    return Tally(fates.total(), parts.total(), fates, parts)
