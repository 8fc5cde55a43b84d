"""How good the found masks are: AP^r as VOC and MNC count it, and AP as COCO counts it.

Letters
    D     detections (of one image, or of one class in all images)
    G     ground-truth objects of one image
    K     object classes, labelled 1..K
    H, W  height and width of an image, in pixels
    t     IoU from which a detection counts as found

                        AP^r (VOC 2012 + SBD)              COCO
    second choice       no: a detection whose best object  yes: it may take the next best object
                        is taken is a false positive       that is still free
    IoU needed          one t, from 0.5 to 0.9             mean over .50, .55, ..., .95
    curve to number     11 recalls                         101 recalls
    detections used     all                                the best 100 of an image and class

Both are fed image by image and hold no dense mask afterwards: `MaskAP` keeps three numbers a
detection, `CocoMaskAP` the masks as run lengths (RLE). Boxes play no part: masks are compared,
by faster-coco-eval on their run lengths, which gives `geometry.masks.mask_iou`'s numbers sooner.

Lesson: 02
"""

import time
from array import array
from collections.abc import Callable, Iterable, Iterator
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np
import torch
from faster_coco_eval import COCO, COCOeval_faster
from faster_coco_eval.core import mask as rle
from torch import Tensor, nn

from teachseg.checks import check_shape
from teachseg.structures import Detections, Targets, crowd_of

VOC_THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)  # 0.5 and 0.7 are the ones MNC reports
GRID_STEPS = {"11-point": 10, "101-point": 100}  # recalls 0, 1/steps, 2/steps, ..., 1
INTERPOLATIONS = (*GRID_STEPS, "exact")
MASKS_AT_ONCE = 20_000  # a set with no more is evaluated at once
COCO_NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100")


# --- From a curve to a number ---------------------------------------------------------------------


def precision_recall(
    scores: Tensor, true_positive: Tensor, num_objects: int
) -> tuple[Tensor, Tensor]:
    """The curve one walks along when accepting detections one by one, best first.

    After the n best:  precision = true positives / n,  recall = true positives / num_objects.

    Args:
        scores: (D,) in any order; equal scores keep the order they came in.
        true_positive: (D,) bool.
        num_objects: ground-truth objects there are to find.

    Returns:
        precision (D,) and recall (D,), float64 in [0, 1]; recall is nan where there is no object.

    >>> precision, recall = precision_recall(
    ...     torch.tensor([0.9, 0.7, 0.8]), torch.tensor([True, True, False]), num_objects=4)
    >>> [round(p, 3) for p in precision.tolist()], recall.tolist()
    ([1.0, 0.5, 0.667], [0.25, 0.25, 0.5])
    """
    check_shape(scores, "D", "scores")
    check_shape(true_positive, "D", "true_positive")
    if len(scores) != len(true_positive):
        raise ValueError(f"There are {len(scores)} scores but {len(true_positive)} true_positive "
                         "flags: pass one flag for every score.")
    best_first = scores.argsort(descending=True, stable=True)
    found = true_positive[best_first].double().cumsum(dim=0)
    accepted = torch.arange(1, len(found) + 1, dtype=torch.float64, device=found.device)
    if num_objects == 0:
        return found / accepted, torch.full_like(found, torch.nan)
    return found / accepted, found / num_objects


def average_precision(
    precision: Tensor, recall: Tensor, interpolation: str = "11-point"
) -> float:
    """The curve's mean height, each precision lifted to the best at this recall or a later one.

        envelope(r) = max of precision where recall >= r;  0 beyond the last recall

        "11-point"   mean of envelope(r) over r = 0, 0.1, ..., 1       [VOC 2007; MNC's evaluation]
        "101-point"  mean of envelope(r) over r = 0, 0.01, ..., 1      [COCO]
        "exact"      area under envelope                               [VOC 2010 on]

    A recall of 3 / 10 reaches r = 0.3. (np.arange(0, 1.1, 0.1), as in MNC's code, holds
    0.30000000000000004 instead, and so misses it: there, some classes of 10, 20, ... objects lose
    1/11 of a precision.)

    Args:
        precision, recall: (D,) in [0, 1], best detection first, so that recall never falls.

    Returns:
        In [0, 1]: 0.0 for an empty curve, nan where recall is nan (no object to find).

    >>> precision, recall = [1, 1 / 2, 2 / 3, 3 / 4, 3 / 5], [.25, .25, .5, .75, .75]
    >>> [round(average_precision(precision, recall, way), 6) for way in ("11-point", "exact")]
    [0.613636, 0.625]
    """
    _check_interpolation(interpolation)
    precision, recall, slack = _check_curve(precision, recall)
    if len(recall) == 0:
        return 0.0
    if recall.isnan().any():
        return float("nan")

    envelope = precision.flip(0).cummax(dim=0).values.flip(0)
    if interpolation == "exact":
        steps = recall.diff(prepend=recall.new_zeros(1))
        return float((steps * envelope).sum())

    steps = GRID_STEPS[interpolation]
    grid = torch.arange(steps + 1, dtype=torch.float64) / steps
    first = torch.searchsorted(recall, grid - slack)  # (steps + 1,) first place with recall >= r
    heights = torch.cat([envelope, envelope.new_zeros(1)])[first]
    return float(heights.mean())


def _check_interpolation(interpolation: str) -> None:
    if interpolation not in INTERPOLATIONS:
        raise ValueError(f"interpolation must be one of {', '.join(map(repr, INTERPOLATIONS))}, "
                         f"got {interpolation!r}.")


def _check_curve(precision: Tensor, recall: Tensor) -> tuple[Tensor, Tensor, float]:
    """Both in float64 on the CPU, and how far a recall may lie below the number it stands for."""
    single = any(isinstance(x, Tensor) and x.dtype != torch.float64 for x in (precision, recall))
    slack = 4 * torch.finfo(torch.float32 if single else torch.float64).eps
    precision, recall = (
        torch.as_tensor(x, dtype=torch.float64, device="cpu") for x in (precision, recall)
    )
    check_shape(precision, "D", "precision")
    check_shape(recall, "D", "recall")
    if len(precision) != len(recall):
        raise ValueError(f"precision has {len(precision)} values but recall {len(recall)}: a point "
                         "of the curve needs one of each.")
    if (recall.diff() < 0).any():
        raise ValueError("recall falls along the curve, and accepting more detections cannot lose "
                         "an object. Pass (precision, recall) in this order, best score first.")
    return precision, recall, slack


# --- One image at the door ------------------------------------------------------------------------


class Encoded(NamedTuple):
    """One image's objects, each mask written as the lengths of its runs (RLE)."""

    image_size: tuple[int, int]  # (height, width)
    labels: np.ndarray           # (N,) int64 in 1..K
    scores: np.ndarray           # (N,) float64; ones for ground truth
    runs: list[bytes]            # N masks, COCO's compressed counts
    crowd: np.ndarray            # (N,) bool: a region of many objects, not an object

    def _only(self, which: np.ndarray) -> "Encoded":
        runs = [self.runs[i] for i in np.flatnonzero(which)]
        return Encoded(self.image_size, self.labels[which], self.scores[which], runs,
                       self.crowd[which])

    def of_class(self, label: int) -> "Encoded":
        """Only what is of one class, in its order."""
        return self._only(self.labels == label)

    def crowds(self, wanted: bool = True) -> "Encoded":
        """Only the crowd regions, or only the objects."""
        return self._only(self.crowd == wanted)

    def rles(self) -> list[dict]:
        """The masks in the form that faster-coco-eval takes."""
        return [{"size": list(self.image_size), "counts": counts} for counts in self.runs]


def _runs(masks: Tensor) -> list[bytes]:
    """(N, H, W) bool -> N run lengths."""
    bytes_ = masks.detach().cpu().numpy().view(np.uint8)
    columns = np.ascontiguousarray(bytes_.transpose(0, 2, 1))  # runs go down the columns
    return [mask["counts"] for mask in rle.encode(columns.transpose(2, 1, 0))]  # (H, W, N)


def encode(objects: Detections | Targets) -> Encoded:
    """Dense masks (N, H, W) -> run lengths; an object of 100 x 100 pixels takes about 200 bytes.

    Crowd regions of targets stand behind the objects.
    """
    runs, labels = _runs(objects.masks), objects.labels
    scores, crowd = torch.ones(len(runs)), np.zeros(len(runs), dtype=bool)
    if isinstance(objects, Detections):
        scores = objects.scores
    elif len(crowd_of(objects).labels):
        regions = crowd_of(objects)
        runs = runs + _runs(regions.masks)
        labels = torch.cat([labels, regions.labels])
        scores, crowd = torch.ones(len(runs)), np.arange(len(runs)) >= len(crowd)
    return Encoded(
        tuple(objects.masks.shape[1:]),
        labels.detach().cpu().numpy().astype(np.int64),
        scores.detach().cpu().double().numpy(),
        runs,
        crowd,
    )


def _check_objects(objects: Detections | Targets, name: str, num_classes: int) -> None:
    """Raise ValueError unless masks, labels and scores fit one another and 1..K."""
    check_shape(objects.masks, "N H W", f"{name}.masks")
    check_shape(objects.labels, "N", f"{name}.labels")
    masks, labels = objects.masks, objects.labels
    if masks.dtype != torch.bool:
        raise ValueError(f"{name}.masks must be bool, got {masks.dtype}. Probabilities become "
                         "masks by a threshold: masks > 0.5.")
    if len(masks) != len(labels):
        raise ValueError(f"{name} has {len(masks)} masks but {len(labels)} labels: it needs one of "
                         "each for every object.")
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise ValueError(f"{name}.labels must be whole numbers, got {labels.dtype}: "
                         "pass labels.long().")
    if len(labels) and not (1 <= int(labels.min()) and int(labels.max()) <= num_classes):
        raise ValueError(f"{name}.labels run from {int(labels.min())} to {int(labels.max())}, but "
                         f"num_classes={num_classes} allows 1..{num_classes}: 0 is background and "
                         "never a label. Labels that start at 0 need + 1.")
    if isinstance(objects, Targets):
        return
    check_shape(objects.scores, "N", f"{name}.scores")
    if len(objects.scores) != len(masks):
        raise ValueError(f"{name} has {len(masks)} masks but {len(objects.scores)} scores: it "
                         "needs one of each for every detection.")
    if not objects.scores.isfinite().all():
        raise ValueError(f"{name}.scores hold nan or infinity, which no order can be made of. Look "
                         "for a division by zero or a learning rate too high where they were made.")


def encode_pair(
    detections: Detections, targets: Targets, num_classes: int, image: int = 0
) -> tuple[Encoded, Encoded]:
    """Check one image's detections and ground truth, and write both as run lengths.

    Args:
        image: the image's number, for the words of an error.
    """
    for given, wanted in ((detections, Detections), (targets, Targets)):
        if not isinstance(given, wanted):
            raise ValueError(f"Image {image}: expected teachseg.structures.{wanted.__name__}, got "
                             f"{type(given).__name__}. The order is detections, then targets.")
    _check_objects(detections, f"detections[{image}]", num_classes)
    _check_objects(targets, f"targets[{image}]", num_classes)
    if detections.masks.shape[1:] != targets.masks.shape[1:]:
        found, real = tuple(detections.masks.shape[1:]), tuple(targets.masks.shape[1:])
        raise ValueError(f"Image {image}: the detections' masks are {found} but the targets' are "
                         f"{real} (height, width). Both must be as large as the image; where "
                         "nothing is found, Detections.empty(image_size).")
    return encode(detections), encode(targets)


def _check_num_classes(num_classes: int) -> None:
    if isinstance(num_classes, bool) or not isinstance(num_classes, int) or num_classes < 1:
        raise ValueError(f"num_classes must be a whole number of at least 1, got {num_classes!r}: "
                         "it counts the object classes, without background.")


# --- AP^r -----------------------------------------------------------------------------------------


class _ClassRecord:
    """All that AP^r needs of one class: three numbers a detection, and the count of objects."""

    def __init__(self):
        self.scores = array("d")
        self.best_iou = array("d")     # with the object it overlaps most; 0 where there is none
        self.best_object = array("q")  # that object's number among the class's, over all images
        self.crowd_share = array("d")  # of it that lies in a crowd region of the class
        self.num_objects = 0

    def true_positives(self, iou_threshold: float) -> Tensor:
        """(D,) bool, in order of arrival: the best scored of those that claim an object gets it."""
        true_positive = torch.zeros(len(self.scores), dtype=torch.bool)
        taken = set()
        for i in np.argsort(-np.array(self.scores), kind="stable").tolist():
            if self.best_iou[i] >= iou_threshold and self.best_object[i] not in taken:
                taken.add(self.best_object[i])
                true_positive[i] = True
        return true_positive

    def judged(self, iou_threshold: float) -> tuple[Tensor, Tensor]:
        """Scores (D,) and true positives (D,) of all detections but those that lie in a crowd."""
        right = self.true_positives(iou_threshold)
        counts = right | torch.from_numpy(np.array(self.crowd_share) < iou_threshold)
        return torch.from_numpy(np.array(self.scores))[counts], right[counts]


class MaskAP:
    """AP^r: average precision of masks, by the rules of VOC 2012 + SBD as MNC runs them.

    Of each class, the detections of all images stand in one row, best score first (equal scores as
    they came). Each looks at the object of its class and image that it overlaps most, and at no
    other. It is a true positive if their IoU is at least t and no detection before it took that
    object; else a false positive. Where an image has no such object, every detection is one. What
    is no true positive and lies in a crowd region of its class, by a share of at least t of its own
    pixels, counts neither way. [MNC's lib/utils/voc_eval.py. There, masks are made from 21 x 21
    inside rounded boxes; here they come at full size.]

    The object looked at does not depend on t, so one pass over the images serves every t:

    >>> mask = torch.ones(1, 4, 4, dtype=torch.bool)
    >>> box, label = torch.tensor([[0.0, 0.0, 4.0, 4.0]]), torch.tensor([2])
    >>> metric = MaskAP(num_classes=2)
    >>> metric.add(Detections(box, label, torch.tensor([0.9]), mask), Targets(box, label, mask))
    >>> metric.result(0.5)
    (tensor([nan, 1.]), 1.0)
    """

    def __init__(self, num_classes: int):
        _check_num_classes(num_classes)
        self.num_classes = num_classes
        self.num_images = 0
        self._classes = [_ClassRecord() for _ in range(num_classes)]

    def add(self, detections: Detections, targets: Targets) -> None:
        """Count one image. Its masks are not kept."""
        self.add_encoded(*encode_pair(detections, targets, self.num_classes, self.num_images))

    def add_encoded(self, found: Encoded, real: Encoded) -> None:
        """Count one image that `encode_pair` has made."""
        for label in np.union1d(found.labels, real.labels):
            record = self._classes[label - 1]
            mine, theirs = found.of_class(label), real.of_class(label).crowds(False)
            regions = real.of_class(label).crowds()
            num_found, num_real = len(mine.runs), len(theirs.runs)
            best_iou, best_object = np.zeros(num_found), np.zeros(num_found, dtype=np.int64)
            if num_found and num_real:
                iou = rle.iou(mine.rles(), theirs.rles(), [0] * num_real)  # (D, G), none is a crowd
                best_iou, best_object = iou.max(axis=1), iou.argmax(axis=1)
            share = np.zeros(num_found)
            if num_found and regions.runs:  # of a crowd: over the detection's own area
                share = rle.iou(mine.rles(), regions.rles(), [1] * len(regions.runs)).max(axis=1)
            record.scores.extend(mine.scores)
            record.crowd_share.extend(share)
            record.best_iou.extend(best_iou)
            record.best_object.extend(best_object + record.num_objects)
            record.num_objects += num_real
        self.num_images += 1

    def curve(self, label: int, iou_threshold: float = 0.5) -> tuple[Tensor, Tensor, Tensor]:
        """One class over all images, best first: scores (D,), precision (D,), recall (D,)."""
        if not 1 <= label <= self.num_classes:
            raise ValueError(f"label must be in 1..{self.num_classes}, got {label}.")
        _check_iou_threshold(iou_threshold)
        record = self._classes[label - 1]
        scores, right = record.judged(iou_threshold)
        precision, recall = precision_recall(scores, right, record.num_objects)
        return scores.sort(descending=True, stable=True).values, precision, recall

    def result(
        self, iou_threshold: float = 0.5, interpolation: str = "11-point"
    ) -> tuple[Tensor, float]:
        """AP^r of what has been added so far.

        Args:
            iou_threshold: t, in (0, 1].
            interpolation: "11-point" | "exact" | "101-point", see `average_precision`.

        Returns:
            per_class: (K,) float32 in [0, 1], nan for a class without ground truth.
            mean: over the classes that have ground truth; nan if none has.
        """
        _check_iou_threshold(iou_threshold)
        _check_interpolation(interpolation)
        per_class = []
        for label, record in enumerate(self._classes, start=1):
            _, precision, recall = self.curve(label, iou_threshold)
            ap = average_precision(precision, recall, interpolation)
            per_class.append(ap if record.num_objects else float("nan"))
        mean = torch.tensor(per_class, dtype=torch.float64).nanmean()
        return torch.tensor(per_class, dtype=torch.float32), float(mean)


def _check_iou_threshold(iou_threshold: float) -> None:
    if not 0 < iou_threshold <= 1:
        raise ValueError(f"iou_threshold must be above 0 and at most 1, got {iou_threshold}. "
                         "A share is meant, not per cent: 0.5.")


# --- COCO's AP ------------------------------------------------------------------------------------


class CocoMaskAP:
    """COCO's AP and AR of masks, by faster-coco-eval.

    Small objects have fewer than 32 x 32 pixels of mask, large ones more than 96 x 96; one of
    exactly 32 x 32 counts as small and as medium. Detections in a crowd region (iscrowd) of their
    class count neither way.

    Of a large set, classes are evaluated one after the other, which needs a K-th of the memory;
    of a small one all at once, which is quicker. COCO's numbers are means of the classes' numbers.
    """

    def __init__(self, num_classes: int):
        _check_num_classes(num_classes)
        self.num_classes = num_classes
        self._images: list[tuple[Encoded, Encoded]] = []              # found, real
        self._images_of: list[list[int]] = [[] for _ in range(num_classes)]  # those with the class

    @property
    def num_images(self) -> int:
        """How many have been added."""
        return len(self._images)

    def add(self, detections: Detections, targets: Targets) -> None:
        """Keep one image's masks as run lengths."""
        self.add_encoded(*encode_pair(detections, targets, self.num_classes, self.num_images))

    def add_encoded(self, found: Encoded, real: Encoded) -> None:
        """Keep one image that `encode_pair` has made."""
        for label in np.union1d(found.labels, real.labels):
            self._images_of[label - 1].append(self.num_images)
        self._images.append((found, real))

    def result(self) -> dict[str, float]:
        """The numbers for what has been added so far, each a mean over the classes that have it.

        Returns:
            AP          mean over IoU .50, .55, ..., .95
            AP50, AP75  at one IoU
            APs, APm, APl     of small, medium and large objects
            AR1, AR10, AR100  recall with 1, 10, 100 detections an image and class, mean over IoU
            All in [0, 1]; nan where no object (of that size) is in the ground truth.
        """
        rows = [list(numbers.values()) for numbers in self.per_class().values()]
        table = torch.tensor(rows, dtype=torch.float64).reshape(-1, len(COCO_NAMES))
        return dict(zip(COCO_NAMES, table.nanmean(dim=0).tolist()))

    def per_class(self) -> dict[int, dict[str, float]]:
        """label -> that class's numbers, as `result`; only classes that have ground truth."""
        found, real = ([pair[which] for pair in self._images] for which in (0, 1))
        if sum(len(image.runs) for image in found + real) <= MASKS_AT_ONCE:
            return _coco_numbers(found, real)
        numbers = {}
        for label, images in enumerate(self._images_of, start=1):
            numbers |= _coco_numbers([found[i].of_class(label) for i in images],
                                     [real[i].of_class(label) for i in images])
        return numbers


def _coco_numbers(found: list[Encoded], real: list[Encoded]) -> dict[int, dict[str, float]]:
    """label -> COCO's numbers of that class, for the classes of which there is an object."""
    labels = sorted({int(label) for image in real for label in image.labels[~image.crowd]})
    if not labels:
        return {}
    evaluation = COCOeval_faster(_coco_dataset(real, labels), _coco_dataset(found, labels),
                                 "segm", print_function=_silent)
    evaluation.run()
    precision, recall = (evaluation.eval[name] for name in ("precision", "recall"))
    return {label: _of_class(precision[:, :, k], recall[:, k]) for k, label in enumerate(labels)}


def _of_class(precision: np.ndarray, recall: np.ndarray) -> dict[str, float]:
    """One class's numbers from COCO's tables, in which -1 stands where there is nothing to find.

    Args:
        precision: (10, 101, 4, 3): IoU, recall, area (all, small, medium, large), detections.
        recall: (10, 4, 3).
    """
    every, small, medium, large = (precision[:, :, area, 2] for area in range(4))
    tables = [every, every[0], every[5], small, medium, large,
              recall[:, 0, 0], recall[:, 0, 1], recall[:, 0, 2]]
    known = [table[table > -1] for table in tables]
    return {name: float(table.mean()) if table.size else float("nan")
            for name, table in zip(COCO_NAMES, known)}


def _coco_dataset(images: list[Encoded], labels: list[int]) -> COCO:
    """What a COCO annotation file of these classes would hold, in memory."""
    annotations = [
        {"id": 0, "image_id": i, "category_id": label, "iscrowd": int(crowd), "score": score,
         "segmentation": mask}
        for i, image in enumerate(images, start=1)
        for label, score, crowd, mask in zip(image.labels.tolist(), image.scores.tolist(),
                                             image.crowd, image.rles())
    ]
    areas = rle.area([annotation["segmentation"] for annotation in annotations])  # in pixels
    for number, (annotation, area) in enumerate(zip(annotations, areas), start=1):
        annotation["id"], annotation["area"] = number, float(area)
    content = {
        "images": [{"id": i, "height": image.image_size[0], "width": image.image_size[1]}
                   for i, image in enumerate(images, start=1)],
        "annotations": annotations,
        "categories": [{"id": label, "name": str(label)} for label in labels],
    }
    return COCO(content, print_function=_silent)


def _silent(*_: object) -> None:
    """Where faster-coco-eval's progress lines go: the library returns, it does not print."""


# --- The calls for whole data sets ----------------------------------------------------------------


def _paired(
    detections: Iterable[Detections], targets: Iterable[Targets]
) -> Iterator[tuple[Detections, Targets]]:
    """Both image by image; ValueError where one ends before the other."""
    for given, name in ((detections, "detections"), (targets, "targets")):
        if isinstance(given, (Detections, Targets)):
            raise ValueError(f"{name} must be one {type(given).__name__} an image, in a list or a "
                             f"generator. Only one image? Pass [{name}].")
    end = object()
    for image, pair in enumerate(zip_longest(detections, targets, fillvalue=end)):
        if pair[0] is end or pair[1] is end:
            ended, longer = "detections", "targets"
            if pair[1] is end:
                ended, longer = longer, ended
            raise ValueError(f"{ended} end after {image} images, but {longer} go on: pass one of "
                             "each for every image, Detections.empty(image_size) where nothing is "
                             "found.")
        yield pair


def mask_ap_r(
    detections: Iterable[Detections],
    targets: Iterable[Targets],
    num_classes: int,
    iou_threshold: float = 0.5,
    interpolation: str = "11-point",
) -> tuple[Tensor, float]:
    """AP^r of every class, and their mean, by VOC's rules. (`MaskAP` gives many t at once.)

    Args:
        detections, targets: one an image, in the same order; lists or generators.
        num_classes: K.
        iou_threshold: t, in (0, 1].
        interpolation: "11-point" | "exact" | "101-point", see `average_precision`.

    Returns:
        per_class: (K,) float32 in [0, 1], nan for a class without ground truth.
        mean: over the classes that have ground truth; nan if none has.

    Raises:
        ValueError: lengths differ; labels outside 1..K; masks not bool or of two sizes; nan scores.
    """
    _check_iou_threshold(iou_threshold)
    _check_interpolation(interpolation)
    metric = MaskAP(num_classes)
    for pair in _paired(detections, targets):
        metric.add(*pair)
    return metric.result(iou_threshold, interpolation)


def coco_mask_ap(
    detections: Iterable[Detections], targets: Iterable[Targets], num_classes: int
) -> dict[str, float]:
    """COCO's AP, AP50, AP75, APs, APm, APl, AR1, AR10, AR100 of masks. See `CocoMaskAP`.

    Args:
        detections, targets: one an image, in the same order; lists or generators.
        num_classes: K.

    Returns:
        Each in [0, 1]; nan where no object (of that size) is in the ground truth.

    Raises:
        ValueError: lengths differ; labels outside 1..K; masks not bool or of two sizes; nan scores.
    """
    metric = CocoMaskAP(num_classes)
    for pair in _paired(detections, targets):
        metric.add(*pair)
    return metric.result()


class Seen(NamedTuple):
    """One image as a model saw it."""

    index: int         # of the image in its data set
    found: Detections  # on the CPU
    real: Targets
    seconds: float     # that the prediction took, the way back to the CPU with it


def see_each(
    model: nn.Module, predict: Callable[..., list[Detections]], data: Any, device: str,
    part: Iterable[int] | None = None,
) -> Iterator[Seen]:
    """Run a model on images, one at a time, so that one image's masks are in memory.

    Args:
        model: moved to the device, and set to testing.
        predict: its page's function of the model and a list of images.
        data: a data set: `len(data)`, and `data[index]` is (image, Targets).
        part: the indices that are looked at, in this order; None: all.
    """
    model.to(device).eval()
    for index in range(len(data)) if part is None else part:
        image, real = data[index]
        image = image.to(device)
        started = time.perf_counter()
        found = predict(model, [image])[0].to("cpu")  # waits for the device
        yield Seen(index, found, real, time.perf_counter() - started)


def evaluate_pairs(
    pairs: Iterable[tuple[Detections, Targets]], num_classes: int
) -> dict[str, float]:
    """All the numbers of a results table, in one pass over the images.

    Args:
        pairs: (what was found, what is there), one image at a time; a generator that runs a model
            keeps only one image's masks in memory.
        num_classes: K.

    Returns:
        images, objects, detections   counts
        APr50, APr60, ..., APr90      mean AP^r at that IoU, 11-point
        AP, AP50, ..., AR100          as `coco_mask_ap`
    """
    return evaluate_encoded(
        (encode_pair(found, real, num_classes, image) for image, (found, real) in enumerate(pairs)),
        num_classes)


def evaluate_encoded(
    pairs: Iterable[tuple[Encoded, Encoded]], num_classes: int
) -> dict[str, float]:
    """`evaluate_pairs` of images that `encode_pair` has made, in another process perhaps."""
    voc, coco = MaskAP(num_classes), CocoMaskAP(num_classes)
    objects = detections = 0
    for found, real in pairs:
        voc.add_encoded(found, real)
        coco.add_encoded(found, real)
        detections += len(found.runs)
        objects += int((~real.crowd).sum())
    counts = {"images": voc.num_images, "objects": objects, "detections": detections}
    ap_r = {f"APr{round(100 * t)}": voc.result(t)[1] for t in VOC_THRESHOLDS}
    return counts | ap_r | coco.result()
