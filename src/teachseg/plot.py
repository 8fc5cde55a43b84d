"""Drawing boxes, masks, features and curves: functions that take an Axes and return it.

Letters
    N     objects          C  channels
    H, W  height and width, in pixels or cells

Boxes are (x1, y1, x2, y2) in pixel edges; images are shown so that pixel i covers [i, i + 1), and a
box drawn at its numbers lies where they say. `show` puts a finished figure into a notebook.

Lesson: 00
"""

import io
from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor
from torchvision.transforms.v2.functional import resize
from torchvision.utils import draw_bounding_boxes

from teachseg.structures import Detections, Targets

# Okabe and Ito's eight colours, which stay apart for most colour-blind readers; black comes last.
COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#000000")
MAP = "cividis"  # for values on a scale: even in brightness, and readable without colour
SHOWN_DPI, SHOWN_QUALITY = 72, 78  # of a figure in a notebook: letters stay sharp, files small


def colour(label: int) -> str:
    """The colour of a class 1..K; after seven it begins again."""
    return COLOURS[(int(label) - 1) % (len(COLOURS) - 1)]


def draw_image(ax: Axes, image: Tensor, title: str = "") -> Axes:
    """Show (3, H, W) in [0, 1]; pixel i covers [i, i + 1)."""
    height, width = image.shape[1:]
    ax.imshow(image.permute(1, 2, 0).cpu().clamp(0, 1), extent=(0, width, height, 0),
              interpolation="nearest")
    ax.set(xticks=[], yticks=[], title=title)
    return ax


def draw_boxes(
    ax: Axes, boxes: Tensor, labels: Tensor | None = None, scores: Tensor | None = None,
    names: Sequence[str] = (), dashed: bool = False, linewidth: float = 1.5,
) -> Axes:
    """Draw (N, 4) boxes; with labels (N,) in their class's colour, with scores or names as words.

    Args:
        names: the classes' names, names[0] being class 1.
        dashed: for boxes that were dropped, suppressed or only proposed.
    """
    for i, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
        label = 1 if labels is None else int(labels[i])
        ax.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=colour(label),
                               linewidth=linewidth, linestyle="--" if dashed else "-"))
        words = [names[label - 1]] if names and labels is not None else []
        words += [f"{float(scores[i]):.2f}"] if scores is not None else []
        if words:
            ax.text(x1, y1, " ".join(words), fontsize=7, color="white", va="bottom",
                    bbox={"facecolor": colour(label), "edgecolor": "none", "pad": 1, "alpha": 0.8})
    return ax


def draw_masks(ax: Axes, masks: Tensor, labels: Tensor | None = None, alpha: float = 0.5) -> Axes:
    """Lay (N, H, W) bool masks over what is shown: filled, and outlined so that neighbours part."""
    height, width = masks.shape[1:]
    for i, mask in enumerate(masks.cpu()):
        if not mask.any():
            continue
        shade = to_rgb(colour(i + 1 if labels is None else int(labels[i])))
        layer = torch.zeros(height, width, 4)
        layer[..., :3] = torch.tensor(shade)
        layer[..., 3] = mask * alpha
        ax.imshow(layer, extent=(0, width, height, 0), interpolation="nearest")
        ax.contour(torch.arange(width) + 0.5, torch.arange(height) + 0.5, mask.float(), [0.5],
                   colors=[shade], linewidths=1.2)
    return ax


def draw_objects(
    ax: Axes, image: Tensor, objects: Detections | Targets, names: Sequence[str] = (),
    title: str = "",
) -> Axes:
    """An image with its objects: masks and boxes in the classes' colours, names, scores if any."""
    draw_image(ax, image, title)
    draw_masks(ax, objects.masks, objects.labels)
    return draw_boxes(ax, objects.boxes, objects.labels, getattr(objects, "scores", None), names)


def draw_features(ax: Axes, features: Tensor, title: str = "") -> Axes:
    """Show one map: (H, W), or (C, H, W) as the length of each cell's vector."""
    if features.ndim == 3:
        features = features.norm(dim=0)
    ax.imshow(features.detach().cpu(), cmap=MAP, interpolation="nearest")
    ax.set(xticks=[], yticks=[], title=title)
    return ax


def draw_curve(ax: Axes, x: Sequence[float], y: Sequence[float], label: str = "", **style) -> Axes:
    """A line, its name at its end rather than in a legend."""
    (line,) = ax.plot(x, y, **style)
    if label and len(x):
        ax.annotate(label, (x[-1], y[-1]), xytext=(4, 0), textcoords="offset points",
                    color=line.get_color(), fontsize=8, va="center")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def show(figure: Figure, caption: str) -> None:
    """Display a figure in a notebook; the caption is its alt text, and is printed below it.

    A JPEG of 72 pixels an inch, so that a notebook with ten figures is still a small file. The
    figure is closed: a cell shows it once, and many cells do not fill the memory.

    Raises:
        ValueError: the caption is empty.
    """
    import matplotlib.pyplot as plt  # both only where there is a notebook
    from IPython.display import Image, display

    if not caption.strip():
        raise ValueError("A figure needs a caption: say in words what it shows, with its numbers.")
    file = io.BytesIO()
    figure.savefig(file, format="jpeg", dpi=SHOWN_DPI, bbox_inches="tight",
                   pil_kwargs={"quality": SHOWN_QUALITY})
    plt.close(figure)
    display(Image(file.getvalue(), format="jpeg", alt=caption))
    print(caption)


def _brightness(shade: str) -> float:
    """How bright a colour looks, in [0, 1].   [Rec. 601]"""
    return sum(part * weight for part, weight in zip(to_rgb(shade), (0.299, 0.587, 0.114)))


def _paint_masks(
    canvas: Tensor, masks: Iterable[Tensor], shades: Sequence[str], alpha: float = 0.45
) -> Tensor:
    """Lay bool masks (H, W), the last on top, over a picture (3, H, W) of bytes; rims in full."""
    paint, strength = canvas.clone(), torch.zeros(canvas.shape[1:])
    for mask, shade in zip(masks, shades):
        wide = F.pad(mask, (1, 1, 1, 1))  # a pixel of the rim has a neighbour outside
        inside = wide[:-2, 1:-1] & wide[2:, 1:-1] & wide[1:-1, :-2] & wide[1:-1, 2:]
        rim = mask & ~inside
        paint[:, mask] = (torch.tensor(to_rgb(shade)) * 255).round().byte()[:, None]
        strength[mask] = alpha
        strength[rim] = 1.0
    return torch.lerp(canvas.float(), paint.float(), strength).round().byte()


def overlay(
    image: Tensor, objects: Detections | Targets, names: Sequence[str] = (), side: int = 512
) -> Tensor:
    """A picture of its own: the image with masks, boxes, names and scores (if any) drawn into it.

    Masks are outlined; where they overlap, the first of the objects lies on top.

    Args:
        image: (3, H, W) in [0, 1].
        side: smaller images are enlarged by a whole number, so that their shorter side has about
            this many pixels; larger ones are made smaller until the longer side has at most four
            times as many.

    Returns:
        (3, H', W') in [0, 1].
    """
    (height, width), (short, long) = image.shape[1:], sorted(image.shape[1:])
    scale = min(max(1, -(-side // short)), 4 * side / long)
    scale = int(scale) if scale > 1 else scale
    size = [max(1, round(height * scale)), max(1, round(width * scale))]
    canvas = (resize(image.cpu(), size, antialias=True).clamp(0, 1) * 255).round().byte()
    if len(objects.labels) == 0:
        return canvas.float() / 255
    labels = objects.labels.tolist()
    shades = [colour(label) for label in labels]
    rows, columns = (  # of the image's pixels, for each pixel of the picture
        ((torch.arange(new) + 0.5) * old / new).long() for new, old in zip(size, (height, width))
    )
    masks = (mask.cpu()[rows][:, columns] for mask in objects.masks.flip(0))
    canvas = _paint_masks(canvas, masks, shades[::-1])
    words = [names[label - 1] if names else str(label) for label in labels]
    if isinstance(objects, Detections):
        words = [f"{word} {score:.2f}" for word, score in zip(words, objects.scores.tolist())]
    inks = ["white" if _brightness(shade) < 0.45 else "black" for shade in shades]
    boxes = objects.boxes.cpu() * scale
    canvas = draw_bounding_boxes(canvas, boxes, words, colors=shades, width=2, label_colors=inks,
                                 fill_labels=True)
    return canvas.float() / 255
