"""Lesson 00's exercise: how many of the masks that a model reports are right.

The solution is plain loops. The library's way is `count_right` in `teachseg.explore.instances`;
the tests hold the two equal.

Letters
    D, G  masks found, and objects that are there
    H, W  height and width of the image, in pixels

No boxes here.

Lesson: 00
"""

import torch

from teachseg.exercises.registry import Case, Exercise, Mutant

# ---------------------------------------------------------------------------------------------
# first.found
# ---------------------------------------------------------------------------------------------


def found(masks, scores, threshold, truth):
    """How many objects are found by the masks with a score of at least `threshold`.

    masks is (D, H, W), the yes or no of each pixel; scores is (D,); truth is (G, H, W), the true
    masks, and no pixel belongs to two of them. An object is found if some mask has an IoU of at
    least 0.5 with it, and counts once, however many masks have.
    """
    count = 0
    for there in truth:
        hit = False
        for mask, score in zip(masks, scores):
            both = int((mask & there).sum())
            either = int((mask | there).sum())
            if score >= threshold and both >= 0.5 * either:
                hit = True
        if hit:
            count += 1
    return count


def _fits(masks, truth, iou=0.5, above=False, under="either"):
    """(D, G) yes or no: does mask d fit object g?"""
    answer = torch.zeros(len(masks), len(truth), dtype=torch.bool)
    for d, mask in enumerate(masks):
        for g, there in enumerate(truth):
            both, a, b = (int(pixels.sum()) for pixels in (mask & there, mask, there))
            below = {"either": a + b - both, "sum": a + b, "there": b, "mask": a}[under]
            answer[d, g] = both > iou * below if above else both >= iou * below
    return answer


def _found_with(masks, scores, threshold, truth, **changed):
    """`found` with another way to say what fits."""
    return int(_fits(masks[scores >= threshold], truth, **changed).any(dim=0).sum())


def _masks_that_fit(masks, scores, threshold, truth):
    return int(_fits(masks[scores >= threshold], truth).any(dim=1).sum())


def _in_pairs(masks, scores, threshold, truth):
    """The first mask with the first object alone, the second with the second, and so on."""
    sure = scores[: len(truth)] >= threshold
    return int((_fits(masks, truth).diagonal() & sure).sum())


def _share_found(masks, scores, threshold, truth):
    return found(masks, scores, threshold, truth) / max(len(truth), 1)


def _drawn(*drawings):
    """(N, 4, 4) masks; a drawing is its four rows, # where the object is."""
    rows = [[[pixel == "#" for pixel in row] for row in drawing.split()] for drawing in drawings]
    return torch.tensor(rows, dtype=torch.bool).view(-1, 4, 4)


SQUARE, BAR = "##.. ##.. .... ....", "...# ...# ...# ...#"  # two objects of 4 pixels
BOTH = _drawn(SQUARE, BAR)

FOUND = Exercise(
    name="first.found",
    title="How many objects are found?",
    lesson="00",
    reference=found,
    cases=(
        Case("both are found", (BOTH, torch.tensor([0.9, 0.8]), 0.5, BOTH)),
        Case("two masks on the square, one on the bar",
             (_drawn(SQUARE, "###. ##.. .... ....", BAR), torch.tensor([0.9, 0.8, 0.7]), 0.5,
              BOTH)),
        Case("one is not sure enough", (BOTH, torch.tensor([0.75, 0.25]), 0.5, BOTH)),
        Case("a score of exactly the threshold", (BOTH, torch.tensor([0.75, 0.5]), 0.5, BOTH)),
        Case("half of the square: an IoU of exactly 0.5",
             (_drawn("##.. .... .... ...."), torch.tensor([0.9]), 0.5, BOTH)),
        Case("one is much too large, the other half beside its object",
             (_drawn("###. ###. ###. ....", "..## ..## .... ...."), torch.tensor([0.9, 0.8]), 0.5,
              BOTH)),
        Case("much too small", (_drawn("#... .... .... ...."), torch.tensor([0.9]), 0.5, BOTH)),
        Case("a high threshold asks for sure masks, not for better ones",
             (_drawn("##.. #... .... ...."), torch.tensor([0.95]), 0.9, BOTH)),
        Case("nothing is reported", (_drawn(), torch.zeros(0), 0.5, BOTH)),
        Case("nothing is there", (_drawn(SQUARE), torch.tensor([0.9]), 0.5, _drawn())),
    ),
    tolerance=1e-4,
    hints=(
        "Ask every object: is there a mask that is sure enough and fits it? That is a yes or a no, "
        "and the answer is the number of yeses.",
        "Two loops: over truth, and inside it over masks and scores together. A mask fits if the "
        "pixels in both are at least half of the pixels in either.",
        "both = (mask & there).sum(), either = (mask | there).sum(); an object is found if for "
        "some mask score >= threshold and both / either >= 0.5. Add 1 for each such object.",
    ),
    solution="Whoever counts masks is paid twice for reporting one object twice; whoever counts "
             "objects is not. The two thresholds are not related: the score says how sure the "
             "model is, and is known without the truth; the IoU says how well the mask fits, and "
             "needs it. Both say 'at least', so that exactly 0.5 is enough.",
    mutants=(
        Mutant("masks counted", "These are the masks that fit. Two of them on one object find it "
               "once: count objects.", _masks_that_fit),
        Mutant("all scores", "Masks that score less than `threshold` do not count, however well "
               "they fit.", lambda m, s, t, truth: found(m, s, 0.0, truth)),
        Mutant("score above, not from", "A score of exactly `threshold` is enough: at least.",
               lambda m, s, t, truth: found(m[s > t], s[s > t], t, truth)),
        Mutant("IoU above, not from", "An IoU of exactly 0.5 is enough: at least.",
               lambda *case: _found_with(*case, above=True)),
        Mutant("both above, not from", "Exactly the bound is enough, for score and IoU: "
               "at least, both times.",
               lambda m, s, t, truth: _found_with(m[s > t], s[s > t], t, truth, above=True)),
        Mutant("the first object alone", "That is the first object alone. Is `return` inside the "
               "loop?", lambda m, s, t, truth: found(m, s, t, truth[:1])),
        Mutant("in pairs", "Mask number k need not lie on object number k: try every mask on every "
               "object.", _in_pairs),
        Mutant("share of the object", "That divides by the object's pixels, and a mask that covers "
               "the whole image would find everything. IoU divides by the pixels in either.",
               lambda *case: _found_with(*case, under="there")),
        Mutant("share of the mask", "That divides by the mask's pixels, and a single pixel of the "
               "object would do. IoU divides by the pixels in either.",
               lambda *case: _found_with(*case, under="mask")),
        Mutant("common twice", "The pixels in both are counted twice below the line. A mask has "
               "an IoU of 1 with itself.", lambda *case: _found_with(*case, under="sum")),
        Mutant("one threshold for both", "`threshold` is for the score. The IoU has to be at least "
               "0.5, whatever it is.",
               lambda m, s, t, truth: _found_with(m, s, t, truth, iou=t)),
        Mutant("all that are sure", "Those are all masks that are sure enough. Do they fit an "
               "object?", lambda m, s, t, truth: int((s >= t).sum())),
        Mutant("missed", "Those are the objects that are missed.",
               lambda m, s, t, truth: len(truth) - found(m, s, t, truth)),
        Mutant("a share", "That is the share of the objects; their number is asked for.",
               _share_found),
    ),
)

EXERCISES = (FOUND,)
