"""Make the two pictures of the README and of the site's first page.

    python scripts/make_pictures.py                both, into lessons/pictures
    python scripts/make_pictures.py three_papers   only this one; or: box

three_papers.png: one scene on its way through the three trained models, by their own intermediate
results. The scene is the first of `Scenes("val", ..., kind="crowded")` in which each of the three
finds at least half of the objects.

box.gif: the explorer of notebook 10, `roi_frame`, while a hand drags its box along and back by its
middle and two of its corners. Handles and pointer, which in the notebook are on the stage above the
picture, are drawn on its first panel.

Nothing is drawn by chance, and no clock is read: the same weights make the same bytes.

Letters
    H, W  height and width of the scene, in pixels

Boxes are (x1, y1, x2, y2) in pixels of the scene; a panel's shapes are in the drawing's units.
"""

import io
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib
import torch
from matplotlib.colors import to_rgb
from PIL import Image, ImageFont
from torch import Tensor

import teachseg
from teachseg.datasets.scenes import CLASSES, Scenes
from teachseg.explore import roi, svg
from teachseg.explore.embeddings import component_colours, principal_components
from teachseg.explore.explorer import Frame, rendered, size_of
from teachseg.explore.roi import Maps, bins_of, roi_frame
from teachseg.geometry.boxes import clip_boxes, decode_boxes
from teachseg.geometry.masks import paste_masks
from teachseg.mistakes import judge_image
from teachseg.papers import deep_metric, mask_rcnn, mnc
from teachseg.plot import colour
from teachseg.structures import Detections, Proposals, Targets

Box = tuple[float, float, float, float]

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "lessons" / "pictures"
FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"

PAPERS = {"mnc": mnc, "mask_rcnn": mask_rcnn, "deep_metric": deep_metric}
KIND, SHARE = "crowded", 0.5  # of the scene, and of its objects that each paper has to find
SCORE = 0.5                   # detections below are not shown
TRIED = 100                   # scenes, before this gives up

PANEL, ZOOM = 192, 1.5        # units of a panel's side; pixels a unit
GAP, EDGE = 22, 20            # units between panels, and around all
NAME, TITLE, WORDS = 19, 15, 13.5  # sizes of a row's name, and of the words over and under a panel
HEAD, ABOVE, BELOW = 34, 22, 24    # units that they take
GREY, CARD, LOW = "#555555", "#F0F4F8", 0.25  # of words, behind a row, of the least likely box
STEP = 4                      # of 255: between the values that a colour's parts may have

NOTEBOOK_10 = "lesson 10", 24, 18  # split, length and number of its scene
WIDE = 800                    # pixels of the GIF
COLOURS = 248                 # of all its frames; GIF keeps the rest for what does not change
BLENDED = svg.ORANGE, svg.BLUE, svg.GREEN, svg.RED  # lines whose edges keep their hue
SOME = 4                      # every how manyth frame chooses the colours
FRAME, PAUSE = 60, 700        # ms that a frame is seen, and one at which the hand rests
GRID = 0.5                    # pixels: where a dragged box comes to rest, as on the stage
LETTERS, LEADING = 12.5, 20   # size of the caption's letters, and height of its lines
DRAGS = (  # what is held, how far it goes right and down, frames of that and to the next handle
    ("middle", 28, 14, 17, 4), ("first", -28, -14, 14, 7), ("last", -28, -14, 14, 4),
)


# ---- three papers: the scene --------------------------------------------------------------------


class Scene(NamedTuple):
    """One scene, and what the three models make of it."""

    number: int
    image: Tensor  # (3, H, W) in [0, 1]
    targets: Targets
    traces: dict[str, dict]  # by the paper's name

    def shown(self, paper: str) -> Detections:
        """What a paper finds, without what it is not sure of."""
        return self.traces[paper]["detections"].above(SCORE)

    def found(self, paper: str) -> int:
        """How many of the objects a paper finds."""
        return judge_image(self.shown(paper), self.targets).fates.count("found")


def choose_scene(models: dict[str, torch.nn.Module], kind: str = KIND) -> Scene:
    """The first scene of a kind in which each model finds at least `SHARE` of the objects."""
    scenes = Scenes("val", TRIED, kind=kind)
    for number in range(TRIED):
        image, targets = scenes[number]
        scene = Scene(number, image, targets, {})
        for name, model in models.items():
            scene.traces[name] = PAPERS[name].trace(model, image)
            if scene.found(name) < SHARE * len(targets.labels):
                break
        else:
            return scene
    raise SystemExit(f"In none of {TRIED} scenes of the kind {kind!r} do all three papers find "
                     f"{SHARE:.0%} of the objects. Train them on, or take another kind.")


# ---- three papers: panels -----------------------------------------------------------------------


class Panel(NamedTuple):
    """One step of one paper."""

    title: str
    shapes: str  # in a square of PANEL units
    words: str   # what is to be counted in it


def pixel(scene: Scene) -> float:
    """Units a pixel of the scene."""
    return PANEL / scene.image.shape[2]


def quiet(image: Tensor) -> Tensor:
    """The scene as a dark ground for colours that mean something."""
    grey = image.mean(dim=0, keepdim=True).expand(3, -1, -1)
    return 0.1 + 0.42 * torch.lerp(image, grey, 0.8)


def ground(image: Tensor) -> str:
    """(3, H, W) over the whole panel."""
    return svg.underlay(svg.image_uri(image.clamp(0, 1)), (0, 0, PANEL, PANEL))


def white(strength: float) -> str:
    """For what has no class yet: white, as far as that in [0, 1]."""
    return f"{svg.PAPER}{round(255 * strength):02X}"


def proposals_panel(scene: Scene, title: str, proposals: Proposals) -> Panel:
    """All boxes, the likeliest on top and brightest."""
    pieces = [ground(quiet(scene.image))]
    for box, score in reversed(list(zip(proposals.boxes, proposals.scores.tolist()))):
        pieces.append(svg.box((box * pixel(scene)).tolist(), white(LOW + (1 - LOW) * score),
                              width=1.2))
    return Panel(title, "".join(pieces), f"{len(proposals.boxes)} boxes")


def masks_in(
    masks: Tensor, shades: Sequence[str], scale: float, opacity: float, width: float, rim: str = ""
) -> str:
    """Masks, the last at the bottom; with `rim`, all outlined in that."""
    pieces = []
    for mask, shade in reversed(list(zip(masks, shades))):
        pieces.append(svg.mask(mask, 0, 0, scale, shade, opacity, 0 if rim else width))
        if rim:
            pieces.append(svg.mask(mask, 0, 0, scale, rim, 0, width))
    return "".join(pieces)


def instances_panel(scene: Scene, title: str, paper: str) -> Panel:
    """What is found, in its class's colour; what is wrong, dashed; what is missed, in white."""
    shown, scale = scene.shown(paper), pixel(scene)
    judged = judge_image(shown, scene.targets)
    shapes = [ground(quiet(scene.image))]
    for mask, fate in zip(scene.targets.masks, judged.fates):
        if fate != "found":
            shapes.append(svg.mask(mask, 0, 0, scale, svg.PAPER, 0, 1.2, dashed=True))
    for mask, label, part in zip(shown.masks, shown.labels, judged.parts):
        right = part == "right"
        shapes.append(svg.mask(mask, 0, 0, scale, colour(int(label)), 0.6 if right else 0.2, 1.8,
                               dashed=not right))
    wrong = sum(part != "right" for part in judged.parts)
    words = f"{judged.fates.count('found')} of {len(judged.fates)} found, {wrong} wrong"
    return Panel(title, "".join(shapes), words)


def mnc_panels(scene: Scene, model: mnc.MNC) -> list[Panel]:
    """Boxes, a mask in each, a class for each mask; then the same again, and the vote."""
    trace, scale = scene.traces["mnc"], pixel(scene)
    boxes, crops, scores = trace["instances"]
    count = len(trace["proposals"].boxes)  # the first half is stage 3's
    masks = paste_masks(crops[:count], boxes[:count], tuple(scene.image.shape[1:]))
    masks = masks >= model.config.mask_threshold
    labels = scores[:count].argmax(dim=1)
    named = labels > 0
    shades = [colour(label) for label in labels[named].tolist()]
    below = ground(quiet(scene.image))
    return [
        proposals_panel(scene, "stage 1: boxes", trace["proposals"]),
        Panel("stage 2: masks",
              below + masks_in(masks, [svg.PAPER] * count, scale, 0.08, 0.6, white(0.4)),
              f"{count} masks, no class yet"),
        Panel("stage 3: categories", below + masks_in(masks[named], shades, scale, 0.16, 0.8),
              f"{int(named.sum())} of {count} are objects"),
        instances_panel(scene, "stages 4, 5 and voting", "mnc"),
    ]


def rois_behind(trace: dict, model: mask_rcnn.MaskRCNN, shown: Detections) -> Tensor:
    """The proposal from which each box came: (D, 4)."""
    moved = decode_boxes(trace["deltas"].float()[:, shown.labels],
                         trace["proposals"].boxes[:, None], model.config.delta_weights)
    moved = clip_boxes(moved.flatten(0, 1), tuple(trace["batch"].shape[2:])).view_as(moved)
    return trace["proposals"].boxes[(moved - shown.boxes).abs().sum(dim=2).argmin(dim=0)]


def dot(x: float, y: float, radius: float, fill: str, rim: str = "none") -> str:
    """A filled circle."""
    return (f'<circle cx="{svg.number(x)}" cy="{svg.number(y)}" r="{svg.number(radius)}" '
            f'fill="{fill}" stroke="{rim}" stroke-width="1.2"/>')


def middles_in(box: Sequence[float], bins: int, scale: float) -> str:
    """A dot in the middle of each bin that RoIAlign reads."""
    across, down = ([(low + high) / 2 * scale for low, high in axis.spans]
                    for axis in bins_of("align", box, 1, bins))
    return "".join(dot(x, y, 1, svg.PAPER) for y in down for x in across)


def mask_rcnn_panels(scene: Scene, model: mask_rcnn.MaskRCNN) -> list[Panel]:
    """Proposals, what RoIAlign reads of them, a mask in each box."""
    trace, scale, shown = scene.traces["mask_rcnn"], pixel(scene), scene.shown("mask_rcnn")
    count, labels = len(shown.labels), shown.labels.tolist()
    bins, side = model.config.box_size, trace["crops"].shape[1]
    dots = "".join(middles_in(box, bins, scale)
                   for box in rois_behind(trace, model, shown).tolist())
    boxes = "".join(svg.box((box * scale).tolist(), colour(label))
                    for box, label in reversed(list(zip(shown.boxes, labels))))
    probs = laid_over(quiet(scene.image), trace["mask_probs"][:count], labels)
    return [
        proposals_panel(scene, "RPN: proposals", trace["proposals"]),
        Panel("RoIAlign: class, box", ground(quiet(scene.image)) + dots + boxes,
              f"{count} boxes, {bins} x {bins} bins"),
        Panel("a mask in each box", ground(probs) + boxes, f"{count} masks of {side} x {side}"),
        instances_panel(scene, "instances", "mask_rcnn"),
    ]


def laid_over(canvas: Tensor, strengths: Tensor, labels: Sequence[int]) -> Tensor:
    """(3, H, W) under the colour of each object's class, as strong (D, H, W) in [0, 1] as that."""
    for strength, label in reversed(list(zip(strengths, labels))):
        shade = canvas.new_tensor(to_rgb(colour(label)))[:, None, None]
        canvas = torch.lerp(canvas, shade.expand_as(canvas), strength.expand_as(canvas))
    return canvas


def seeds_in(places: Sequence[Sequence[float]], kept: Sequence[int]) -> str:
    """The seeds, those whose masks are kept in red and on top, the others small and white."""
    rest = [place for i, place in enumerate(places) if i not in kept]
    return ("".join(dot(x, y, 2, svg.PAPER, svg.INK) for x, y in rest)
            + "".join(dot(*places[i], 4.5, svg.RED, svg.PAPER) for i in kept))


def deep_metric_panels(scene: Scene, model: deep_metric.DeepMetric) -> list[Panel]:
    """Embeddings, how good a seed each is, and what the chosen ones grow."""
    trace, size = scene.traces["deep_metric"], tuple(scene.image.shape[1:])
    components, _ = principal_components(trace["embeddings"])
    cell = PANEL / trace["seediness"].shape[1]
    heat = svg.shades(trace["seediness"]).permute(2, 0, 1).float()
    kept = trace["kept"][trace["seed_scores"][trace["kept"]] >= SCORE]
    places = ((trace["seeds"].flip(1) + 0.5) * cell).tolist()
    labels = trace["seed_labels"][kept].tolist()
    similar = deep_metric.to_image(trace["similarities"][kept], model.stride, size, size)
    rims = masks_in(trace["map_masks"][kept], [colour(label) for label in labels], cell, 0, 1.2)
    return [
        Panel("embeddings", ground(component_colours(components[:3])),
              f"3 of {len(trace['embeddings'])} components"),
        Panel("seediness and seeds", ground(heat) + seeds_in(places, kept.tolist()),
              f"{len(places)} seeds, {len(kept)} kept (red)"),
        Panel("similarity to seeds",
              ground(laid_over(quiet(scene.image), similar.square(), labels)) + rims,
              f"{len(kept)} masks, cut at tau"),
        instances_panel(scene, "instances", "deep_metric"),
    ]


# ---- three papers: the sheet --------------------------------------------------------------------

ROWS = (
    ("mnc", "MNC", "a cascade: boxes, then masks, then categories", mnc_panels),
    ("mask_rcnn", "Mask R-CNN", "boxes first, then class and mask side by side", mask_rcnn_panels),
    ("deep_metric", "Deep metric learning", "no boxes: pixels that are alike are one object",
     deep_metric_panels),
)
HIGH = HEAD + ABOVE + PANEL + BELOW  # of a row


def column(i: int) -> float:
    """The left edge of a column of panels."""
    return EDGE + i * (PANEL + GAP)


def line_of(i: int) -> float:
    """The top of a row."""
    return EDGE + i * (HIGH + GAP)


def name_at(name: str, about: str, left: float) -> str:
    """A row's name, and on the same line what it is about."""
    wide = ImageFont.truetype(FONT, NAME * 10).getlength(name) / 10
    return (f'<g stroke="{svg.INK}" stroke-width="0.6">{svg.text(left, 20, name, NAME)}</g>'
            + svg.text(left + wide + 14, 20, about, TITLE, colour=GREY))


def panel_at(panel: Panel, left: float) -> str:
    """A panel with its title over it and its words under it."""
    return svg.group(svg.text(0, ABOVE - 7, panel.title, TITLE),
                     svg.group(panel.shapes, down=ABOVE),
                     svg.text(0, ABOVE + PANEL + 17, panel.words, WORDS, colour=GREY),
                     right=left, down=HEAD)


def row_at(name: str, about: str, panels: Sequence[Panel], top: float) -> str:
    """A paper's panels on a card, with arrows from one to the next."""
    level, wide = HEAD + ABOVE + PANEL / 2, column(5) - column(1) - GAP
    pieces = [f'<rect x="{svg.number(column(1) - 12)}" y="-8" width="{svg.number(wide + 24)}" '
              f'height="{svg.number(HIGH + 12)}" rx="8" fill="{CARD}"/>',
              name_at(name, about, column(1))]
    for i, panel in enumerate(panels, 1):
        pieces.append(panel_at(panel, column(i)))
        if i > 1:
            pieces.append(svg.arrow(column(i) - GAP + 4, level, column(i) - 3, level, width=2.5))
    return svg.group(*pieces, down=top)


def legend(targets: Targets) -> str:
    """What the colours and the dashes mean."""
    present = [label for label in range(1, len(CLASSES) + 1) if (targets.labels == label).any()]
    pieces, y = [], HEAD + ABOVE
    for label in present:
        count = int((targets.labels == label).sum())
        name = CLASSES[label - 1] + ("s" if count > 1 else "")
        pieces += [svg.box((1, y, 23, y + 16), colour(label), fill=colour(label)),
                   svg.text(34, y + 13, f"{count} {name}", TITLE)]
        y += 27
    for shade, words in ((svg.PAPER, "missed"), (colour(present[0]), "wrong")):
        pieces += [svg.box((1, y, 23, y + 16), svg.INK, fill=svg.INK),
                   svg.line(1, y + 8, 23, y + 8, shade, dashed=True, width=2.5),
                   svg.text(34, y + 13, words, TITLE)]
        y += 27
    return "".join(pieces)


def sheet(scene: Scene, models: dict[str, torch.nn.Module]) -> str:
    """All of it: at the left the scene and what is there, at the right a row for each paper."""
    scale, shades = pixel(scene), [colour(label) for label in scene.targets.labels.tolist()]
    there = masks_in(scene.targets.masks.flip(0), shades[::-1], scale, 0.6, 1.8)
    height, width = scene.image.shape[1:]
    count = len(scene.targets.labels)
    left = [
        name_at("One picture", "", 0)
        + panel_at(Panel("as the models see it", ground(scene.image),
                         f"{width} x {height} pixels"), 0),
        panel_at(Panel("what is there", ground(quiet(scene.image)) + there, f"{count} objects"), 0),
        legend(scene.targets),
    ]
    pieces = [svg.group(shapes, right=EDGE, down=line_of(i)) for i, shapes in enumerate(left)]
    found = []
    for i, (paper, name, about, panels) in enumerate(ROWS):
        pieces.append(row_at(name, about, panels(scene, models[paper]), line_of(i)))
        found.append(f"{name} finds {scene.found(paper)}")
    return svg.picture(column(5) - GAP + EDGE, line_of(3) - GAP + EDGE, *pieces,
                       label=f"A scene of {count} objects: {', '.join(found)}.")


def coarse(picture: Image.Image) -> Image.Image:
    """The picture with colours in steps: nobody sees it, and the file is a quarter smaller."""
    return picture.point([min(255, round(value / STEP) * STEP) for value in range(256)] * 3)


def three_papers() -> bytes:
    """The sheet as a PNG."""
    models = {name: teachseg.load(name) for name in PAPERS}
    drawn = rendered(sheet(choose_scene(models), models), ZOOM)
    file = io.BytesIO()
    coarse(drawn).save(file, "PNG", optimize=True)
    return file.getvalue()


# ---- box: the hand ------------------------------------------------------------------------------


class Moment(NamedTuple):
    """One frame: where the box is, where the pointer, and what it holds."""

    box: Box
    pointer: tuple[float, float]  # x, y in pixels of the scene
    held: bool
    rest: int = FRAME             # ms that it is seen


def grip(box: Box, handle: str) -> tuple[float, float]:
    """Where a hand takes hold of a box: at its middle, or at a corner."""
    x1, y1, x2, y2 = box
    return {"middle": ((x1 + x2) / 2, (y1 + y2) / 2), "first": (x1, y1), "last": (x2, y2)}[handle]


def dragged(box: Box, handle: str, right: float, down: float) -> Box:
    """The box after a drag, in the steps of the stage."""
    right, down = (round(way / GRID) * GRID for way in (right, down))
    x1, y1, x2, y2 = box
    if handle != "last":
        x1, y1 = x1 + right, y1 + down
    if handle != "first":
        x2, y2 = x2 + right, y2 + down
    return x1, y1, x2, y2


def eased(frames: int) -> list[float]:
    """Shares of a way that begins and ends gently: in (0, 1], the last 1."""
    return [share * share * (3 - 2 * share) for share in (i / frames for i in range(1, frames + 1))]


def path(box: Box) -> list[Moment]:
    """Three drags that lead back to where they began, and the pointer's ways between them."""
    moments = [Moment(box, grip(box, DRAGS[0][0]), False, PAUSE)]
    for i, (handle, right, down, frames, reach) in enumerate(DRAGS):
        here = box
        for share in eased(frames):
            box = dragged(here, handle, share * right, share * down)
            moments.append(Moment(box, grip(box, handle), True))
        moments[-1] = moments[-1]._replace(rest=PAUSE)
        start, end = grip(box, handle), grip(box, DRAGS[(i + 1) % len(DRAGS)][0])
        for share in eased(reach):
            x, y = (a + share * (b - a) for a, b in zip(start, end))
            moments.append(Moment(box, (x, y), False))
    after = moments[1:] + moments[:1]  # the last is the first again
    return [one for one, other in zip(moments, after) if one[:3] != other[:3]]


# ---- box: frames --------------------------------------------------------------------------------


def handles_at(box: Box) -> str:
    """Squares at a box's corners and at the middle of its sides, as the stage has them."""
    x1, y1, x2, y2 = box
    places = [(x, y) for x in (x1, (x1 + x2) / 2, x2) for y in (y1, (y1 + y2) / 2, y2)]
    del places[4]  # the middle has none
    return "".join(svg.box((x - 3.5, y - 3.5, x + 3.5, y + 3.5), svg.RED, width=1.5, fill=svg.PAPER)
                   for x, y in places)


def pointer_at(x: float, y: float, held: bool) -> str:
    """An arrow whose tip is at (x, y), with a spot under it while it holds something."""
    arrow = (f'<path d="M0 0V19L4.6 14.8L7.8 22L11 20.6L7.9 13.6L13.8 13.2Z" fill="{svg.INK}" '
             f'stroke="{svg.PAPER}" stroke-width="1.4"/>')
    return dot(x, y, 11, svg.YELLOW + "C0", svg.INK) * held + svg.group(arrow, right=x, down=y)


def explorer_at(maps: Maps, moment: Moment) -> Frame:
    """The explorer's own picture, the hand on its first panel, and its caption in lines."""
    frame = roi_frame(maps, *moment.box)
    width, height = size_of(frame.svg)
    panel = roi.Panel(roi.GAP, roi.TITLE, roi.PANEL / maps.image_size[1])
    x, y = moment.pointer
    lines = re.split(r"(?<=[;.]) (?=RoI)", frame.caption)
    words = [svg.text(roi.GAP, height + 8 + LEADING * i, line, LETTERS)
             for i, line in enumerate(lines)]
    hand = handles_at(panel.box(moment.box)) + pointer_at(panel.x(x), panel.y(y), moment.held)
    return Frame(svg.picture(width, height + LEADING * len(lines) + 4, frame.svg, hand, *words,
                             label=frame.caption), frame.caption)


def palette_of(pictures: Sequence[Image.Image]) -> Tensor:
    """(C, 3) bytes: the colours of lines and letters, the same blended with what is beside them, so
    that a blue line's edge does not turn green, and those that serve all pictures best."""
    width, height = pictures[0].size
    all_of_them = Image.new("RGB", (width, height * len(pictures)))
    for i, picture in enumerate(pictures):
        all_of_them.paste(picture, (0, i * height))
    lines = [to_rgb(shade) for shade in svg.LINES]
    beside = [to_rgb(svg.PAPER), *svg.shades(torch.tensor([0.2, 1.0])).tolist()]
    blends = [[share * a + (1 - share) * b for a, b in zip(to_rgb(shade), other)]
              for shade in BLENDED for other in beside for share in (0.25, 0.5, 0.75)]
    kept = (torch.tensor([*lines, *blends]) * 255).round().int()
    rest = COLOURS - len(kept)
    chosen = all_of_them.quantize(rest, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    return torch.cat([kept, torch.tensor(chosen.getpalette()[: 3 * rest]).view(-1, 3)])


def in_palette(picture: Image.Image, palette: Tensor) -> Image.Image:
    """Each pixel in the palette's nearest colour: one colour is the same in all frames."""
    pixels = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8).view(-1, 3).int()
    codes, back = (pixels * torch.tensor([65536, 256, 1])).sum(dim=1).unique(return_inverse=True)
    colours = torch.stack([codes // 65536, codes // 256 % 256, codes % 256], dim=1)
    nearest = torch.cdist(colours.float(), palette.float()).argmin(dim=1).byte()
    found = Image.frombytes("P", picture.size, nearest[back].numpy().tobytes())
    found.putpalette(palette.flatten().tolist())
    return found


def box_gif() -> bytes:
    """The explorer under a hand, as a GIF that begins again for ever."""
    image, targets = Scenes(*NOTEBOOK_10[:2])[NOTEBOOK_10[2]]
    maps = Maps(image)
    moments = path(tuple(targets.boxes[0].tolist()))
    drawings = [explorer_at(maps, moment).svg for moment in moments]
    zoom = WIDE / size_of(drawings[0])[0]
    pictures = [rendered(drawing, zoom) for drawing in drawings]
    palette = palette_of(pictures[::SOME])
    first, *others = [in_palette(picture, palette) for picture in pictures]
    file = io.BytesIO()
    first.save(file, "GIF", save_all=True, append_images=others, loop=0, disposal=1,
               duration=[moment.rest for moment in moments], optimize=True)
    return file.getvalue()


# ---- both ---------------------------------------------------------------------------------------

MAKERS = {"three_papers": ("three_papers.png", three_papers), "box": ("box.gif", box_gif)}


def main(names: list[str]) -> None:
    """Make the pictures of these names, all without any, and say what was written."""
    torch.set_num_threads(1)  # so that sums are added in one order
    for name in names or MAKERS:
        if name not in MAKERS:
            raise SystemExit(f"There is no picture {name!r}: choose one of {', '.join(MAKERS)}, "
                             "or none for all.")
    PICTURES.mkdir(exist_ok=True)
    for name in names or MAKERS:
        file, make = MAKERS[name]
        (PICTURES / file).write_bytes(make())
        with Image.open(PICTURES / file) as made:
            frames = getattr(made, "n_frames", 1)
            print(f"lessons/pictures/{file}: {made.width} x {made.height} pixels, {frames} "
                  f"frame{'s' if frames > 1 else ''}, {(PICTURES / file).stat().st_size / 1000:.0f}"
                  " kB", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
