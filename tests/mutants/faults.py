"""Faults of one line each, to be planted in the library one at a time; unit tests must see them.

A fault is (file under src/teachseg, old, new, why). `old` stands exactly once in that file and
within one line; where it no longer does, the gate fails, and the fault has to be written anew.
"""

from typing import NamedTuple


class Fault(NamedTuple):
    """One wrong line."""

    file: str
    old: str
    new: str
    why: str  # what a hurried hand did

    @property
    def tests(self) -> str:
        """The test file of the module: layers/roi.py -> layers/test_roi.py."""
        folder, name = self.file.rsplit("/", 1)
        return f"{folder}/test_{name}"


ROI, BOXES, NMS = "layers/roi.py", "geometry/boxes.py", "geometry/nms.py"
VOTING, CASCADE, TARGETS = "decoding/voting.py", "layers/cascade.py", "learning/targets.py"
SIMILARITY, LOSSES, SAMPLING = ("geometry/similarity.py", "learning/losses.py",
                                "geometry/sampling.py")
SEEDS, MASKS, EMBEDDING = "decoding/seeds.py", "geometry/masks.py", "layers/embedding.py"
METRIC = "papers/deep_metric.py"

FAULTS = [
    Fault(ROI, "boxes = boxes - 0.5", "boxes = boxes - 0.0", "the half pixel dropped"),
    Fault(ROI, "boxes = boxes - 0.5", "boxes = boxes + 0.5", "the half pixel added"),
    Fault(ROI, "return whole + (2 * (x - whole)).trunc()", "return x.round()",
          "halves to the even number"),
    Fault(ROI, "return whole + (2 * (x - whole)).trunc()", "return x.floor()", "floor for round"),
    Fault(ROI, "bin_size = (high - low + 1).clamp(min=1)", "bin_size = (high - low).clamp(min=1)",
          "the last cell left out of a pooled box"),
    Fault(ROI, "end = (((i + 1) * bin_size).ceil()", "end = (((i + 1) * bin_size).floor()",
          "bins that do not share cells"),
    Fault(ROI, "torch.stack([1 - share, share], dim=-1)", "torch.stack([share, 1 - share], dim=-1)",
          "the two cells' shares swapped"),
    Fault(ROI, "middle = torch.minimum(sample, n - 1) + 0.5",
          "middle = torch.minimum(sample, n - 1)",
          "samples at the beginning of their part of a bin"),
    Fault(ROI, "bin_size = extent[:, None, None] / bins",
          "bin_size = extent[:, None, None] / max(1, bins - 1)", "divided by bins - 1"),
    Fault(ROI, "i * (extent[:, None] / bins)", "(i + 0.5) * (extent[:, None] / bins)",
          "the warp reads a bin's middle"),
    Fault(ROI, "cells, weights = axis_weights(z, cells_here, reach=1.0)",
          "cells, weights = axis_weights(z, cells_here, reach=0.5)",
          "samples given up half a cell too early"),
    Fault(ROI, "axis_weights(z[:, :, None], size, reach=0.5 if rounding else None)",
          "axis_weights(z[:, :, None], size, reach=1.0 if rounding else None)",
          "the released warp's edge widened"),
    Fault(ROI, "for axis, count, size in ((1, bins[0], features.shape[2]), (0,",
          "for axis, count, size in ((0, bins[0], features.shape[2]), (1,",
          "x and y swapped in the warp"),
    Fault(ROI, "boxes = boxes - boxes.detach() + round_half_away(boxes.detach())",
          "boxes = round_half_away(boxes)", "no gradient through the rounding"),
    Fault(BOXES, "(size / size_a).log()], dim=1)", "size / size_a], dim=1)", "the log forgotten"),
    Fault(BOXES, "center = center_a + deltas[..., :2] * size_a",
          "center = center_a + deltas[..., :2].flip(-1) * size_a", "dx and dy swapped"),
    Fault(BOXES, "(center - center_a) / size_a,", "(center_a - center) / size_a,",
          "a shift's sign turned round"),
    Fault(BOXES, "return deltas * deltas.new_tensor(weights)",
          "return deltas / deltas.new_tensor(weights)", "divided by the weights"),
    Fault(BOXES, "union = area_a[:, None] + area_b - common", "union = area_a[:, None] + area_b",
          "what both have in common counted twice"),
    Fault(BOXES, "return (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(dim=1)",
          "return (boxes[:, 2:] - boxes[:, :2] + 1).clamp(min=0).prod(dim=1)",
          "+ 1 in a width"),
    Fault(BOXES, "corner_2 = torch.minimum(a[:, None, 2:], b[:, 2:])",
          "corner_2 = torch.maximum(a[:, None, 2:], b[:, 2:])",
          "the box around both for the part in common"),
    Fault(BOXES, "boxes[..., 0::2].clamp(0, width), boxes[..., 1::2].clamp(0, height)",
          "boxes[..., 0::2].clamp(0, height), boxes[..., 1::2].clamp(0, width)",
          "height and width swapped"),
    Fault(BOXES, "return boxes + boxes.new_tensor([0, 0, 1, 1])", "return boxes",
          "the inclusive door left open"),
    Fault(NMS, "boxes[rest])[0] <= iou_threshold]", "boxes[rest])[0] < iou_threshold]",
          "< for <= at the threshold"),
    Fault(NMS, "order = scores.argsort(descending=True, stable=True)",
          "order = scores.argsort(descending=False, stable=True)", "worst first"),
    Fault(NMS, "kept[members[nms(boxes[members], scores[members], iou_threshold)]] = True",
          "kept[nms(boxes[members], scores[members], iou_threshold)] = True",
          "indices within a group taken for indices of all"),
    Fault(VOTING, "for label in range(1, scores.shape[1])", "for label in range(scores.shape[1])",
          "background competes as a class"),
    Fault(VOTING, "box_iou(boxes[rows], boxes) >= merge_iou",
          "box_iou(boxes[rows], boxes) > merge_iou", "> for >= at the merge threshold"),
    Fault(VOTING, "shares = scores.float().T[labels] * similar",
          "shares = scores[:, 1:].float().amax(dim=1) * similar",
          "votes weighted by the voter's best class"),
    Fault(VOTING, "masks[where] = part >= binarize", "masks[where] = part > binarize",
          "> for >= at the mask's threshold"),
    Fault(VOTING, "boxes[here] - tile[:2].repeat(2), size)",
          "boxes[here] - tile[:2].flip(0).repeat(2), size)", "x and y of a tile's corner swapped"),
    Fault(VOTING, "votes &= ~kept[:, labels].T", "votes &= ~kept.any(dim=1)",
          "suppressed in every class for suppressed in this one"),
    Fault(CASCADE, "return seg_class_logits[:, 1:].argmax(dim=1) + 1",
          "return seg_class_logits[:, 1:].argmax(dim=1)", "classes counted from 0"),
    Fault(CASCADE, "x = torch.cat([mask_path, box_path], dim=1)",
          "x = torch.cat([box_path, mask_path], dim=1)", "the two pathways in another order"),
    Fault(TARGETS, "good = common >= positive_iou * union.clamp(min=1)",
          "good = common > positive_iou * union.clamp(min=1)", "> for >= at the mask label's IoU"),
    Fault(TARGETS, "(predicted | real).sum(dim=(1, 2))", "predicted.sum(dim=(1, 2))",
          "what the object has outside of its box forgotten"),
    Fault(SIMILARITY, "return 2 * torch.sigmoid(-squared_distance(e_p, e_q))",
          "return torch.sigmoid(-squared_distance(e_p, e_q))", "the 2 forgotten"),
    Fault(SIMILARITY, "return math.log(2 / sigma - 1)", "return math.log(1 / sigma)",
          "a bell inverted in its place"),
    Fault(SIMILARITY, "sums.addcmul_(difference, difference)", "sums.add_(difference.abs())",
          "absolute differences for squared ones"),
    Fault(SIMILARITY, "own = embeddings[:, seeds[:, 0], seeds[:, 1]].T",
          "own = embeddings[:, seeds[:, 1], seeds[:, 0]].T", "row and column swapped"),
    Fault(LOSSES, "attract = F.softplus(distance) - math.log(2)",
          "attract = F.softplus(distance)", "the log 2 forgotten"),
    Fault(LOSSES, "terms = torch.where(same, attract,", "terms = torch.where(~same, attract,",
          "objects pulled together, their pixels pushed apart"),
    Fault(LOSSES, "weights = share[:, None] * share", "weights = share[:, None] + share",
          "weights added"),
    Fault(SAMPLING, "return order[rank < most]", "return order[rank <= most]",
          "one point too many of each instance"),
    Fault(SAMPLING, "order = order[on_cpu[order].argsort(stable=True)]",
          "order = on_cpu.argsort(stable=True)", "always the first cells of an instance"),
    Fault(SEEDS, "return similarities >= tau.expand", "return similarities > tau.expand",
          "> for >= at tau"),
    Fault(SEEDS, "value = left + alpha * distance.log()", "value = left - alpha * distance.log()",
          "alpha's sign turned round"),
    Fault(SEEDS, "distance = torch.minimum(distance, distances_to",
          "distance = torch.maximum(distance * 0, distances_to",
          "the newest seed alone for the nearest of all"),
    Fault(SEEDS, "values, best = class_probs[:, 1:].flatten(0, 1).max(dim=0)",
          "values, best = class_probs[:, :-1].flatten(0, 1).max(dim=0)",
          "background for the last class"),
    Fault(SEEDS, "clash = mask_iou(masks[order], masks[order]) > max_iou",
          "clash = mask_iou(masks[order], masks[order]) >= max_iou",
          ">= for > at the limit of duplicates"),
    Fault(MASKS, "common = torch.minimum(pixel + 1, low + cell) - torch.maximum(pixel, low)",
          "common = torch.minimum(pixel, low + cell) - torch.maximum(pixel, low)",
          "pixels without a width"),
    Fault(TARGETS, "found = torch.where(best >= background, who + 1, nothing)",
          "found = torch.where(best > background, who + 1, nothing)",
          "a tie with background lost by the object"),
    Fault(TARGETS, "grown = (distances <= distance_at(tau)).float()",
          "grown = (distances <= tau).float()", "tau taken for a distance"),
    Fault(TARGETS, "union = (grown @ in_image)[:, None] + sizes - common",
          "union = (grown @ in_image)[:, None] + sizes", "what both have in common counted twice"),
    Fault(EMBEDDING, "places = torch.stack([x.expand(height, -1), y[:, None].expand(-1, width)])",
          "places = torch.stack([y[:, None].expand(-1, width), x.expand(height, -1)])",
          "y before x"),
    Fault(METRIC, "return config.seed_weight * (progress - start) / (end - start)",
          "return config.seed_weight * progress / end", "the ramp from the first step on"),
    Fault(METRIC, "maps = maps[:, :, : size[0], : size[1]]", "maps = maps[:, :, -size[0] :]",
          "the padding kept, the image's beginning cut off"),
]
