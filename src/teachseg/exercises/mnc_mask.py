"""Lesson 11's exercises: MNC's mask stage, from what it is asked to what it answers.

The five solutions are plain loops over one box, slow and plain. `geometry.masks`, `layers.cascade`
and `learning.losses` are the library's way; the tests hold the two equal.

Letters
    H, W  height and width of the image, in pixels
    C, S  channels, and side in bins, of the block that is read from a box
    M     side of a mask in a box, in bins
    R     boxes

Boxes are (x1, y1, x2, y2) in image pixels.

Lesson: 11
"""

import math

import torch

from teachseg.exercises.registry import Case, Exercise, Mutant

# ---------------------------------------------------------------------------------------------
# mask.target
# ---------------------------------------------------------------------------------------------


def target(mask, box, size, threshold):
    """What the mask stage is asked for in one box: (size, size) of 0. and 1.

    A bin is 1 where the object covers at least `threshold` of its area. The mask, (H, W) of 0 and
    1, is the whole image's; outside of the image there is no object.
    """
    x1, y1, x2, y2 = box
    wide, high = (x2 - x1) / size, (y2 - y1) / size
    wanted = torch.zeros(size, size)
    for i in range(size):
        for j in range(size):
            top, left, covered = y1 + i * high, x1 + j * wide, 0.0
            for row in range(mask.shape[0]):
                for column in range(mask.shape[1]):
                    down = min(row + 1, top + high) - max(row, top)
                    across = min(column + 1, left + wide) - max(column, left)
                    if down > 0 and across > 0:
                        covered += float(mask[row, column]) * down * across
            wanted[i, j] = float(covered >= threshold * high * wide)
    return wanted


def _shares(mask, box, size):
    """(size, size) the share of each bin that the mask covers."""
    shares = torch.zeros(size, size)
    for step in range(1, 129):  # the share of a bin is at least s / 128 up to some s
        shares += target(mask, box, size, step / 128) / 128
    return shares


def _point_target(mask, box, size, threshold):
    """The pixel under each bin's middle alone."""
    x1, y1, x2, y2 = box
    wanted = torch.zeros(size, size)
    for i in range(size):
        for j in range(size):
            row = math.floor(y1 + (i + 0.5) * (y2 - y1) / size)
            column = math.floor(x1 + (j + 0.5) * (x2 - x1) / size)
            if 0 <= row < mask.shape[0] and 0 <= column < mask.shape[1]:
                wanted[i, j] = float(mask[row, column])
    return wanted


def _clipped_target(mask, box, size, threshold):
    height, width = mask.shape
    x1, y1, x2, y2 = box
    inside = (max(x1, 0), max(y1, 0), min(x2, width), min(y2, height))
    return target(mask, inside, size, threshold)


STAIRS = torch.tensor([
    [0, 0, 0, 0, 0, 0],
    [0, 1, 1, 0, 0, 0],
    [0, 0, 1, 1, 0, 0],
    [0, 0, 1, 1, 1, 0],
    [0, 0, 0, 0, 0, 0],
])
CORNER = torch.tensor([
    [1, 1, 1, 0, 0, 0],
    [1, 1, 0, 0, 1, 0],
    [1, 0, 0, 1, 1, 1],
    [0, 0, 0, 1, 1, 1],
    [0, 1, 0, 0, 1, 1],
])

TARGET = Exercise(
    name="mask.target",
    title="What is the mask stage asked for?",
    lesson="11",
    reference=target,
    cases=(
        Case("box off the grid, 2 x 2 bins", (STAIRS, (0.5, 1.0, 3.5, 4.0), 2, 0.5)),
        Case("the same at 0.4", (STAIRS, (0.5, 1.0, 3.5, 4.0), 2, 0.4)),
        Case("one bin a pixel", (CORNER, (0.0, 0.0, 5.0, 5.0), 5, 0.5)),
        Case("exactly half covered", (CORNER, (0.0, 0.0, 4.0, 4.0), 2, 0.5)),
        Case("box half outside", (CORNER, (-2.0, -2.0, 2.0, 2.0), 4, 0.5)),
        Case("box wider than high", (CORNER, (1.0, 0.5, 6.0, 4.5), 3, 0.5)),
        Case("finer than the pixels", (STAIRS, (1.0, 1.0, 4.0, 3.0), 4, 0.5)),
    ),
    tolerance=1e-6,
    hints=(
        "A bin is a rectangle with real edges. How large is the part of it that lies on pixel "
        "(row, column), which covers row to row + 1 and column to column + 1?",
        "The common part of two intervals is min(ends) - max(beginnings), where that is above 0. "
        "Down times across is the area; add it up over the mask's pixels.",
        "covered += mask[row, column] * down * across, for pixels where both are positive; then "
        "the bin is 1. if covered >= threshold * high * wide.",
    ),
    solution="The usual shortcut looks up the pixel under each bin's middle. It needs no area, but "
             "a bin that is larger than a pixel then hangs on one pixel of it, and the threshold "
             "means nothing any more: 0.4 and 0.5 give the same. The other usual mistake cuts the "
             "box to the image first, which moves and stretches all its bins: what the network "
             "reads from the box and what it is asked for are then no longer about the same place.",
    mutants=(
        Mutant("always one half", "The threshold is an argument: the released code asks from 0.4 "
               "on, where ours asks from 0.5 on.",
               lambda mask, box, size, threshold: target(mask, box, size, 0.5)),
        Mutant("more than the threshold", "A bin that is covered by exactly the threshold is the "
               "object's: use >=, not >.",
               lambda mask, box, size, threshold: target(mask, box, size, threshold + 1e-6)),
        Mutant("the pixel in the middle", "Each bin shows the pixel under its middle. A bin is "
               "covered in part: add up areas.", _point_target),
        Mutant("shares, not yes or no", "These are the shares that are covered. The stage is asked "
               "yes or no: compare with the threshold.",
               lambda mask, box, size, threshold: _shares(mask, box, size)),
        Mutant("x and y swapped", "Rows go with y and columns with x: the mask is [row, column], "
               "the box (x1, y1, x2, y2).",
               lambda mask, box, size, threshold: target(
                   mask, (box[1], box[0], box[3], box[2]), size, threshold)),
        Mutant("box rounded to pixels", "The box is rounded to whole pixels first, as in the "
               "released code. Here it stays where it is.",
               lambda mask, box, size, threshold: target(
                   mask, tuple(math.floor(edge + 0.5) for edge in box), size, threshold)),
        Mutant("box cut to the image", "The box is cut to the image, and with it all its bins are "
               "moved and stretched. Bins outside of the image are 0; the others stay.",
               _clipped_target),
    ),
)

# ---------------------------------------------------------------------------------------------
# mask.parameters
# ---------------------------------------------------------------------------------------------


def parameters(channels, size, hidden, mask_size):
    """How many numbers the mask stage's head learns, weights and biases of its two layers.

    It reads (channels, size, size) from a box, has `hidden` units and answers mask_size x mask_size
    logits.
    """
    inputs, outputs = channels * size * size, mask_size * mask_size
    return inputs * hidden + hidden + hidden * outputs + outputs


PARAMETERS = Exercise(
    name="mask.parameters",
    title="How many numbers does the head learn?",
    lesson="11",
    reference=parameters,
    cases=(
        Case("one of everything", (1, 1, 1, 1)),
        Case("the paper's, m = 28", (512, 14, 256, 28)),
        Case("the released code's, m = 21", (512, 14, 256, 21)),
        Case("the course's", (40, 14, 160, 28)),
        Case("a mask twice as fine", (512, 14, 256, 56)),
        Case("a single channel", (1, 7, 16, 14)),
    ),
    tolerance=1e-3,
    hints=(
        "Two fully connected layers. A layer with n inputs and k outputs has n * k weights and k "
        "biases.",
        "The first layer has channels * size * size inputs, the second mask_size * mask_size "
        "outputs.",
        "inputs * hidden + hidden + hidden * outputs + outputs, with inputs = channels * size ** 2 "
        "and outputs = mask_size ** 2.",
    ),
    solution="A forgotten bias is 256 + 784 of 25.9 million, which no rough check will see; a "
             "forgotten square is not rough any more. Nearly all of it, 99 %, is in the first "
             "layer, because it looks at 14 x 14 x 512 numbers at once. A finer mask is cheap: "
             "from m = 28 to m = 56 adds 2 %.",
    mutants=(
        Mutant("without biases", "Each output of a layer has a bias too: hidden + outputs are "
               "missing.", lambda channels, size, hidden, mask_size:
               hidden * (channels * size**2 + mask_size**2)),
        Mutant("a row of bins", "The block has size x size bins, not size.",
               lambda channels, size, hidden, mask_size:
               parameters(channels * size, 1, hidden, mask_size)),
        Mutant("a row of logits", "There are mask_size x mask_size logits, not mask_size.",
               lambda channels, size, hidden, mask_size:
               (channels * size**2 + 1) * hidden + (hidden + 1) * mask_size),
        Mutant("one layer", "There is a hidden layer between what is read and the logits.",
               lambda channels, size, hidden, mask_size:
               (channels * size**2 + 1) * mask_size**2),
        Mutant("convolutions", "These are two 1 x 1 convolutions, which share their weights among "
               "the bins. A fully connected layer has weights of its own for each bin.",
               lambda channels, size, hidden, mask_size:
               (channels + 1) * hidden + (hidden + 1) * mask_size**2),
    ),
)

# ---------------------------------------------------------------------------------------------
# mask.patterns
# ---------------------------------------------------------------------------------------------


def patterns(features, weights, biases, pictures, base):
    """The head's logits for one box, (M, M): a sum of pictures, each as strong as its hidden unit.

    features: (C, S, S) read from the box. weights: (hidden, C * S * S), biases: (hidden,) of the
    first layer; what is negative after it counts as 0. pictures: (hidden, M, M), what each unit
    adds. base: (M, M), the logits where all units are 0.
    """
    read, logits = features.flatten(), base.clone()
    for unit in range(len(pictures)):
        strength = float((weights[unit] * read).sum() + biases[unit])
        if strength > 0:
            logits = logits + strength * pictures[unit]
    return logits


def _numbers(*shape, seed):
    """Whole numbers from -3 to 3 in a fixed order."""
    count = math.prod(shape)
    return ((torch.arange(count) * 37 + seed * 11 + torch.arange(count) ** 2 % 5) % 7 - 3.0).view(
        shape)


def _head(channels, size, hidden, side, seed):
    """Arguments of `patterns`."""
    return (_numbers(channels, size, size, seed=seed),
            _numbers(hidden, channels * size * size, seed=seed + 1),
            _numbers(hidden, seed=seed + 2), _numbers(hidden, side, side, seed=seed + 3),
            _numbers(side, side, seed=seed + 4))


PATTERNS = Exercise(
    name="mask.patterns",
    title="A mask is a sum of pictures",
    lesson="11",
    reference=patterns,
    cases=(
        Case("one unit, one bin", (torch.tensor([[[2.0]]]), torch.tensor([[3.0]]),
                                   torch.tensor([1.0]), torch.tensor([[[2.0, -1.0], [0.5, 4.0]]]),
                                   torch.tensor([[1.0, 0.0], [-1.0, 2.0]]))),
        Case("a unit that is negative", (torch.tensor([[[2.0]]]), torch.tensor([[-3.0], [1.0]]),
                                         torch.tensor([1.0, 0.0]), _numbers(2, 2, 2, seed=5),
                                         torch.tensor([[1.0, 0.0], [-1.0, 2.0]]))),
        Case("3 units, 2 channels", _head(2, 2, 3, 3, 1)),
        Case("5 units, 3 channels", _head(3, 2, 5, 4, 3)),
        Case("no unit is positive", (torch.ones(1, 2, 2), -torch.ones(2, 4), torch.zeros(2),
                                     _numbers(2, 3, 3, seed=2), _numbers(3, 3, seed=6))),
        Case("nothing read", (torch.zeros(2, 2, 2), _numbers(3, 8, seed=1),
                              torch.tensor([1.0, -1.0, 2.0]), _numbers(3, 3, 3, seed=4),
                              _numbers(3, 3, seed=8))),
    ),
    tolerance=1e-4,
    hints=(
        "A unit's strength is one number: its weights times all that was read, plus its bias.",
        "Negative strengths count as 0 (ReLU). What remains is multiplied with the unit's picture, "
        "and all are added to base.",
        "strength = (weights[unit] * features.flatten()).sum() + biases[unit]; if strength > 0: "
        "logits = logits + strength * pictures[unit].",
    ),
    solution="This is the same as two matrix products with a ReLU between them, said the other way "
             "round: the second layer's weights of one unit, M x M of them, are a picture. Without "
             "the ReLU both layers would melt into one, and a picture could be taken away as well "
             "as added. And flatten() goes channel by channel: another order would give each "
             "weight another bin.",
    mutants=(
        Mutant("no ReLU", "A unit that is negative counts as 0: the ReLU stands between the two "
               "layers.", lambda features, weights, biases, pictures, base:
               base + torch.einsum("u,uij->ij", weights @ features.flatten() + biases, pictures)),
        Mutant("units without a bias", "The hidden units have biases of their own.",
               lambda features, weights, biases, pictures, base:
               patterns(features, weights, torch.zeros_like(biases), pictures, base)),
        Mutant("base forgotten", "Where no unit is on, the logits are base, not 0.",
               lambda features, weights, biases, pictures, base:
               patterns(features, weights, biases, pictures, torch.zeros_like(base))),
        Mutant("pictures turned over", "Rows and columns of the pictures are swapped.",
               lambda features, weights, biases, pictures, base:
               patterns(features, weights, biases, pictures.transpose(1, 2), base)),
        Mutant("channels last", "features.flatten() goes channel by channel, and the weights "
               "expect that order; here it goes bin by bin.",
               lambda features, weights, biases, pictures, base:
               patterns(features.permute(1, 2, 0), weights, biases, pictures, base)),
        Mutant("probabilities", "Those are probabilities. What is asked for are logits: the "
               "sigmoid comes after.", lambda features, weights, biases, pictures, base:
               patterns(features, weights, biases, pictures, base).sigmoid()),
    ),
)

# ---------------------------------------------------------------------------------------------
# mask.loss
# ---------------------------------------------------------------------------------------------


def loss(logits, wanted, weights):
    """The mask stage's loss as the released code counts it: sum of w * CE over sum of w.

    logits, wanted: (R, M, M), wanted 0. or 1. weights: (R,), of all bins of a box; 1 for a box on
    an object, 0 for others. Without any weight the loss is 0. Any finite logit must give a finite
    loss.
    """
    total, count = 0.0, 0.0
    for box in range(len(logits)):
        for z, t in zip(logits[box].flatten().tolist(), wanted[box].flatten().tolist()):
            entropy = max(z, 0) - z * t + math.log1p(math.exp(-abs(z)))
            total += float(weights[box]) * entropy
            count += float(weights[box])
    return total / count if count > 0 else 0.0


def _clamped_loss(logits, wanted, weights):
    """With log(p), held off 0."""
    probs = logits.double().sigmoid().clamp(1e-7, 1 - 1e-7)
    terms = -(wanted * probs.log() + (1 - wanted) * (1 - probs).log())
    count = weights.sum() * logits[0].numel() if len(logits) else 0
    return float((terms * weights[:, None, None]).sum() / count) if count else 0.0


LOGITS = torch.tensor([[[0.0, 2.0], [-1.0, 0.5]], [[3.0, -2.0], [1.0, -0.5]],
                       [[-4.0, 0.0], [1.5, 2.5]]])
WANTED = torch.tensor([[[1.0, 1.0], [0.0, 1.0]], [[0.0, 0.0], [1.0, 1.0]],
                       [[0.0, 0.0], [0.0, 1.0]]])

LOSS = Exercise(
    name="mask.loss",
    title="The loss, and what it is divided by",
    lesson="11",
    reference=loss,
    cases=(
        Case("a new network says 0 everywhere", (torch.zeros(2, 3, 3), torch.ones(2, 3, 3),
                                                 torch.ones(2))),
        Case("one box", (LOGITS[:1], WANTED[:1], torch.ones(1))),
        Case("the second box is background", (LOGITS, WANTED, torch.tensor([1.0, 0.0, 1.0]))),
        Case("only background", (LOGITS, WANTED, torch.zeros(3))),
        Case("no box at all", (torch.zeros(0, 2, 2), torch.zeros(0, 2, 2), torch.zeros(0))),
        Case("sure and wrong", (torch.tensor([[[200.0, -1.0]]]), torch.tensor([[[0.0, 0.0]]]),
                                torch.ones(1))),
        Case("a weight of 2", (LOGITS, WANTED, torch.tensor([2.0, 0.0, 1.0]))),
    ),
    tolerance=1e-4,
    hints=(
        "For t = 1 a bin costs -ln p, for t = 0 it costs -ln(1 - p), with p = 1 / (1 + exp(-z)).",
        "-ln p = ln(1 + exp(-z)), and for t = 0 ln(1 + exp(z)): both are max(z, 0) - z * t + "
        "ln(1 + exp(-abs(z))), where no exp can grow large.",
        "Add w * entropy over all bins, add w over all bins, and divide the one by the other; 0 "
        "where no bin has a weight.",
    ),
    solution="Dividing by the number of all boxes lets the loss fall when there is more background "
             "about, though no mask has become better; dividing by the boxes and not by their "
             "bins makes it 784 times as large at m = 28, and four times as large again at 56. A "
             "mean over the weighted bins means the same whatever m is and whoever was drawn. "
             "log(p) fails where p is 0 in floats: the algebra takes the log before that happens.",
    mutants=(
        Mutant("background counts", "Boxes without a weight are counted in the divisor: the mean "
               "is over weighted bins alone.", lambda logits, wanted, weights:
               loss(logits, wanted, weights) * float(weights.sum()) / max(len(weights), 1)),
        Mutant("all boxes learn", "The weights are ignored: a box of background has no mask to "
               "learn.", lambda logits, wanted, weights:
               loss(logits, wanted, torch.ones_like(weights))),
        Mutant("a sum a box", "This is divided by the boxes and not by their bins, as the released "
               "layer does where it is given no weights: m * m times as large.",
               lambda logits, wanted, weights:
               loss(logits, wanted, weights) * logits.shape[1] * logits.shape[2]),
        Mutant("log of a clamped p", "A sure and wrong answer costs too little: p was held off 0 "
               "before the log. Write it in z, where nothing has to be held off.", _clamped_loss),
        Mutant("the other way round", "Object and background are swapped: -ln p is for t = 1.",
               lambda logits, wanted, weights: loss(-logits, wanted, weights)),
        Mutant("squared error", "That is the mean squared error of p. The loss is the logistic "
               "one, -ln p or -ln(1 - p).", lambda logits, wanted, weights:
               float(((logits.sigmoid() - wanted) ** 2 * weights[:, None, None]).sum()
                     / max(float(weights.sum()) * logits[0].numel() if len(logits) else 0, 1))),
    ),
)

# ---------------------------------------------------------------------------------------------
# mask.paste
# ---------------------------------------------------------------------------------------------


def paste(crop, box, image_size, threshold):
    """Put a box's mask into the image: (M, M) in [0, 1] -> (H, W) of 0. and 1.

    The box has whole-pixel edges and may reach out of the image, (H, W) = image_size. A pixel in it
    reads the crop at its own middle, linearly between the bins' middles; beyond the outermost
    middles it reads the outermost bin. It is 1 from the threshold on. Outside of the box all is 0.
    """
    (x1, y1, x2, y2), side = box, crop.shape[0]
    pasted = torch.zeros(image_size)
    for row in range(max(y1, 0), min(y2, image_size[0])):
        for column in range(max(x1, 0), min(x2, image_size[1])):
            y = (row + 0.5 - y1) / (y2 - y1) * side - 0.5
            x = (column + 0.5 - x1) / (x2 - x1) * side - 0.5
            y, x = min(max(y, 0), side - 1), min(max(x, 0), side - 1)
            i, j = min(int(y), max(side - 2, 0)), min(int(x), max(side - 2, 0))
            below, right = min(i + 1, side - 1), min(j + 1, side - 1)
            above = crop[i, j] * (1 - (x - j)) + crop[i, right] * (x - j)
            under = crop[below, j] * (1 - (x - j)) + crop[below, right] * (x - j)
            pasted[row, column] = float(above * (1 - (y - i)) + under * (y - i) >= threshold)
    return pasted


def _paste_with(crop, box, image_size, threshold, place):
    """`paste` with another rule for where a pixel reads.

    place: (pixel from the box's edge, the box's side, M) -> a place in bins.
    """
    (x1, y1, x2, y2), side = box, crop.shape[0]
    pasted = torch.zeros(image_size)
    for row in range(max(y1, 0), min(y2, image_size[0])):
        for column in range(max(x1, 0), min(x2, image_size[1])):
            y = min(max(place(row - y1, y2 - y1, side), 0), side - 1)
            x = min(max(place(column - x1, x2 - x1, side), 0), side - 1)
            i = torch.arange(float(side))
            down, across = ((1 - (at - i).abs()).clamp(min=0) for at in (y, x))
            pasted[row, column] = float(down @ crop @ across >= threshold)
    return pasted


BLOB = torch.tensor([[0.1, 0.8, 0.3, 0.0], [0.7, 0.9, 0.6, 0.2], [0.2, 0.9, 0.8, 0.7],
                     [0.0, 0.4, 0.5, 0.9]])
WEDGE = torch.tensor([[0.9, 0.2], [0.6, 0.4]])

PASTE = Exercise(
    name="mask.paste",
    title="Back into the image",
    lesson="11",
    reference=paste,
    cases=(
        Case("one bin a pixel", (BLOB, (1, 2, 5, 6), (8, 7), 0.5)),
        Case("2 x 2 bins over 8 x 6 pixels", (WEDGE, (0, 1, 8, 7), (8, 9), 0.45)),
        Case("4 x 4 bins over 9 x 7 pixels", (BLOB, (1, 0, 10, 7), (8, 11), 0.5)),
        Case("the same at 0.3", (BLOB, (1, 0, 10, 7), (8, 11), 0.3)),
        Case("box half outside", (BLOB, (-3, -2, 5, 6), (7, 7), 0.55)),
        Case("smaller than its mask", (BLOB, (2, 2, 5, 4), (6, 6), 0.6)),
        Case("a crop of ones fills its box", (torch.ones(3, 3), (1, 1, 5, 4), (6, 7), 0.99)),
    ),
    tolerance=1e-6,
    hints=(
        "Where is the middle of pixel `column`, as a share of the box's width? Edges count from "
        "x1, and the middle is half a pixel on.",
        "(column + 0.5 - x1) / (x2 - x1) is that share; times M it is a place among the bins' "
        "edges; minus 0.5 among their middles.",
        "Hold y and x between 0 and M - 1, take the four bins around, weigh them, and compare with "
        "the threshold.",
    ),
    solution="There are two half pixels: the pixel's middle lies half a pixel on from its edge, "
             "and a bin's middle half a bin on from the bin's. Forget the second, and everything "
             "moves up and left by half a bin, which at m = 28 and a box of 112 pixels is two "
             "pixels. Laying the first and the last bin on the box's edges (dividing by M - 1) "
             "makes the mask grow. Where the box reaches out of the image, the crop must not be "
             "squeezed into what is left of it.",
    mutants=(
        Mutant("no half bin", "The bins' middles lie at 0.5, 1.5, ...: take the half off after "
               "multiplying with M.", lambda crop, box, image_size, threshold: _paste_with(
                   crop, box, image_size, threshold,
                   lambda pixel, length, side: (pixel + 0.5) / length * side)),
        Mutant("no half pixel", "A pixel is read at its edge. Its middle is at column + 0.5.",
               lambda crop, box, image_size, threshold: _paste_with(
                   crop, box, image_size, threshold,
                   lambda pixel, length, side: pixel / length * side - 0.5)),
        Mutant("corners on corners", "The first and last bin are laid on the box's outermost "
               "pixels, so that M - 1 steps fill it. There are M bins in the box.",
               lambda crop, box, image_size, threshold: _paste_with(
                   crop, box, image_size, threshold, lambda pixel, length, side:
                   pixel / max(length - 1, 1) * (side - 1))),
        Mutant("nearest bin", "Each pixel takes the bin that it lies in. Between the bins' middles "
               "the mask is linear, which keeps its rim from being a staircase.",
               lambda crop, box, image_size, threshold: _paste_with(
                   crop, box, image_size, threshold, lambda pixel, length, side:
                   float(math.floor((pixel + 0.5) / length * side)))),
        Mutant("more than the threshold", "A pixel with exactly the threshold is the object's: use "
               ">=.", lambda crop, box, image_size, threshold: _paste_with(
                   crop, box, image_size, threshold + 1e-6, lambda pixel, length, side:
                   (pixel + 0.5) / length * side - 0.5)),
        Mutant("rows and columns swapped", "The crop is read [x, y]: rows go with y.",
               lambda crop, box, image_size, threshold: paste(crop.T, box, image_size, threshold)),
        Mutant("box cut to the image", "The crop is squeezed into that part of the box which lies "
               "in the image. What lies outside is lost; the rest stays where it is.",
               lambda crop, box, image_size, threshold: paste(
                   crop, (max(box[0], 0), max(box[1], 0), min(box[2], image_size[1]),
                          min(box[3], image_size[0])), image_size, threshold)),
    ),
)

EXERCISES = (TARGET, PARAMETERS, PATTERNS, LOSS, PASTE)
