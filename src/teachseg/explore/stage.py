"""The stage: an image with a box on it that one drags, or a cell that one points at, drawn by the
browser as the hand moves.

Letters
    H, W  height and width of the image, in pixels

The box is (x1, y1, x2, y2) in image pixels; the cell is a (row, column) of a map whose cells are
`stride` pixels. The browser's half is stage.js: plain JavaScript, no build step, nothing fetched.
Both halves share the traits of `Stage`, and `bind` ties those to the sliders of an explorer; so
where anywidget is missing the sliders alone do the same job.

Lesson: 10 (box), 31 (cell)
"""

from pathlib import Path

from ipywidgets import HTML, Widget
from torch import Tensor
from traitlets import Enum, Float, HasTraits, Int, Tuple, Unicode

from teachseg.checks import check_image
from teachseg.explore.explorer import Explorer
from teachseg.explore.svg import image_uri

try:
    from anywidget import AnyWidget as Base
except ImportError:
    Base = HasTraits

EDGES = ("x1", "y1", "x2", "y2")
PLACE = ("row", "column")
OPERATORS = ("pool", "warp_rounded", "warp", "align_unaligned", "align")
NO_STAGE = ("The box cannot be dragged here, because anywidget is not installed: move it with the "
            "sliders x1, y1, x2, y2. (pip install anywidget, then restart the kernel.)")
NO_CLICK = ("Nothing can be clicked here, because anywidget is not installed: choose the place "
            "with the sliders row and column. (pip install anywidget, then restart the kernel.)")


class Stage(Base):
    """An image, and on it what the hand moves.

    In the mode "box", the feature cells, a box with handles, and what an operator makes of the box:
    the browser sets the four edges, always as a box inside the image with x1 < x2 and y1 < y2. In
    the mode "point", one cell: it sets row and column, always on the map. Python may set any trait
    but the mode, which stays what it was at first; what is not so is drawn as the nearest that is.
    """

    _esm = Path(__file__).with_name("stage.js")

    mode = Enum(("box", "point"), "box").tag(sync=True)
    row = Int(0).tag(sync=True)      # of the cell that is pointed at
    column = Int(0).tag(sync=True)
    x1 = Float(0.0).tag(sync=True)  # image pixels, as are y1, x2, y2
    y1 = Float(0.0).tag(sync=True)
    x2 = Float(1.0).tag(sync=True)
    y2 = Float(1.0).tag(sync=True)
    image = Unicode("").tag(sync=True)                     # a data: address
    image_size = Tuple(Int(min=1), Int(min=1), default_value=(1, 1)).tag(sync=True)  # (H, W)
    stride = Int(16, min=1).tag(sync=True)                 # image pixels a feature cell
    bins = Int(3, min=1).tag(sync=True)                    # a side
    sampling_ratio = Int(2, min=0).tag(sync=True)          # RoIAlign's samples a bin and axis
    operator = Enum((*OPERATORS, "all"), "all").tag(sync=True)

    @classmethod
    def of(cls, image: Tensor, box: tuple[float, float, float, float], **traits) -> "Stage":
        """A stage for an image (3, H, W) in [0, 1]."""
        check_image(image)
        size = tuple(image.shape[1:])
        return cls(image=image_uri(image), image_size=size, **dict(zip(EDGES, box)), **traits)

    @classmethod
    def pointing(cls, image: Tensor, place: tuple[int, int], stride: int) -> "Stage":
        """A stage on which one points at a cell.

        Args:
            image: (3, H, W) in [0, 1]. place: (row, column) at first. stride: pixels a cell.
        """
        check_image(image)
        return cls(mode="point", image=image_uri(image), image_size=tuple(image.shape[1:]),
                   stride=stride, **dict(zip(PLACE, place)))

    @property
    def box(self) -> tuple[float, float, float, float]:
        """(x1, y1, x2, y2) in image pixels."""
        return self.x1, self.y1, self.x2, self.y2

    def __repr__(self) -> str:
        if self.mode == "point":
            return f"Stage(row={self.row}, column={self.column}, stride={self.stride})"
        return f"Stage(box={self.box}, stride={self.stride}, bins={self.bins}, " \
               f"sampling_ratio={self.sampling_ratio}, operator={self.operator!r})"


def front(stage: Stage) -> Widget:
    """What is shown of a stage: itself, or a sentence where there is no anywidget."""
    if isinstance(stage, Widget):
        return stage
    return HTML(NO_CLICK if stage.mode == "point" else NO_STAGE)


def bind(stage: Stage, explorer: Explorer) -> None:
    """Tie the stage's traits to those of the explorer's controls that have the same names.

    A drag moves four edges and draws the picture once; a slider moves its own edge on the stage.
    """
    shared = [name for name in (*EDGES, *PLACE, "stride", "bins", "sampling_ratio", "operator")
              if name in explorer.controls]

    def from_stage(_change) -> None:
        with explorer.moving():
            for name in shared:
                explorer.controls[name].value = getattr(stage, name)

    def from_control(change, name: str) -> None:
        setattr(stage, name, change.new)

    for name in shared:
        setattr(stage, name, explorer.controls[name].value)
    for name in shared:
        explorer.controls[name].observe(
            lambda change, name=name: from_control(change, name), names="value"
        )
    stage.observe(from_stage, names=shared)
