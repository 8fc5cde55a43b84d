// The stage: an image with a box on it that one drags, or a cell that one points at. The browser's
// half of stage.py.
//
// Letters: S bins a side, n samples a bin and axis, z a coordinate on the map (cell u sits at u).
// Boxes are {x1, y1, x2, y2} in image pixels; a point is {row, column}, a cell of `stride` pixels.
//
// The geometry is that of teachseg.layers.roi, in single precision (`f`), step by step in the same
// order, so that a bin never lies elsewhere than where the operator reads. tests/explore holds the
// two equal.

const f = Math.fround;
const EDGES = ["x1", "y1", "x2", "y2"];
const PLACE = ["row", "column"];
const FAR_STEP = 4;     // cells that a point moves with Shift
const GRID = 0.5;       // image pixels: where a dragged edge may come to rest
const LEAST_SIDE = 1;   // image pixels
const MOST_SIDE = 384;  // screen pixels of the stage: so that sliders and numbers stay in sight
const REACH = 12;       // screen pixels around a handle that still take hold of it
const SEND_EVERY = 40;  // ms between messages to Python while the hand moves
const MOST_SAMPLES = 4096;
const MOST_CROSSES = 4000;

// Okabe and Ito's colours; each operator has a line or a mark of its own besides, for those
// who see no colour. The mark stands where a sample is read.
const LOOKS = {
  pool: { colour: "#E69F00", dash: [6, 4], mark: "", words: "RoIPool: bins it reads" },
  warp_rounded: { colour: "#0072B2", dash: [2, 3], mark: "\u00d7",
    words: "RoIWarp as released: rounded box, samples" },
  warp: { colour: "#56B4E9", dash: [], mark: "\u00d7", words: "RoIWarp: samples" },
  align_unaligned: { colour: "#CC79A7", dash: [], mark: "+",
    words: "RoIAlign, first release: samples" },
  align: { colour: "#009E73", dash: [], mark: "+", words: "RoIAlign: samples" },
};
const MARKS = { "+": [[4, 0], [0, 4]], "\u00d7": [[3, 3], [3, -3]] }; // strokes, from the middle
const ALL = ["pool", "warp_rounded", "align"];
const BOX_COLOUR = "#D55E00";
const POINT_COLOUR = "#FFFFFF";
const FOCUS_COLOUR = "#0072B2";

// ---- geometry: pure functions ------------------------------------------------------------------

export function roundHalfAway(x) {
  const whole = Math.trunc(x);
  return whole + Math.trunc(2 * (x - whole)) + 0; // + 0: no -0
}

const clamp = (x, low, high) => Math.min(Math.max(x, low), high);

function poolAxis(low, high, stride, bins, size) {
  const first = roundHalfAway(low), last = roundHalfAway(high);
  const binSize = f(Math.max(last - first + 1, 1) / bins);
  const spans = [], points = [];
  for (let i = 0; i < bins; i++) {
    const begin = clamp(Math.floor(f(i * binSize)) + first, 0, size);
    const end = Math.max(clamp(Math.ceil(f((i + 1) * binSize)) + first, 0, size), begin);
    spans.push([begin * stride, end * stride]);
    points.push(end > begin ? [((begin + end) / 2) * stride] : []);
  }
  return { low: first * stride, high: Math.max(last + 1, first + 1) * stride, spans, points };
}

function evenSpans(low, high, bins) {
  return Array.from({ length: bins }, (_, i) => [
    low + (i * (high - low)) / bins,
    low + ((i + 1) * (high - low)) / bins,
  ]);
}

function warpAxis(low, high, stride, bins, rounding) {
  if (rounding) [low, high] = [roundHalfAway(low), roundHalfAway(high)];
  let extent = f(high - low);
  if (rounding) extent = Math.max(extent, 0);
  const binSize = f(extent / bins);
  const points = [];
  for (let i = 0; i < bins; i++) points.push([(f(low + f(i * binSize)) + 0.5) * stride]);
  const begin = low * stride, end = (low + extent) * stride;
  return { low: begin, high: end, spans: evenSpans(begin, end, bins), points };
}

function alignAxis(low, high, stride, bins, samplingRatio, aligned) {
  const half = aligned ? 0.5 : 0;
  [low, high] = [f(low - half), f(high - half)];
  let extent = f(high - low);
  if (!aligned) extent = Math.max(extent, 1);
  const binSize = f(extent / bins);
  const n = samplingRatio > 0 ? samplingRatio : clamp(Math.ceil(binSize), 0, MOST_SAMPLES);
  const points = [];
  for (let i = 0; i < bins; i++) {
    const start = f(low + f(i * binSize)), inBin = [];
    for (let s = 0; s < n; s++) {
      inBin.push((f(start + f(f((s + 0.5) * binSize) / n)) + 0.5) * stride);
    }
    points.push(inBin);
  }
  const begin = (low + half) * stride, end = (low + half + extent) * stride;
  return { low: begin, high: end, spans: evenSpans(begin, end, bins), points };
}

// Where an operator reads: for x and y {low, high, spans, points}, as bins_of in explore/roi.py.
// size: (height, width) of the feature map in cells.
export function binsOf(operator, box, stride, bins, samplingRatio, size) {
  const scale = f(1 / stride);
  const axis = (low, high, cells) => {
    [low, high] = [f(f(low) * scale), f(f(high) * scale)];
    switch (operator) {
      case "pool":
        return poolAxis(low, high, stride, bins, cells);
      case "warp":
      case "warp_rounded":
        return warpAxis(low, high, stride, bins, operator === "warp_rounded");
      case "align":
      case "align_unaligned":
        return alignAxis(low, high, stride, bins, samplingRatio, operator === "align");
      default:
        throw new Error(`There is no operator ${operator}.`);
    }
  };
  return { x: axis(box.x1, box.x2, size[1]), y: axis(box.y1, box.y2, size[0]) };
}

// Two ends along one axis, put in order, at least LEAST_SIDE apart, inside 0..length.
function straightenAxis(a, b, length) {
  const least = Math.min(LEAST_SIDE, length);
  [a, b] = [Number.isFinite(a) ? a : 0, Number.isFinite(b) ? b : length];
  const low = clamp(Math.min(a, b), 0, length - least);
  return [low, clamp(Math.max(a, b), low + least, length)];
}

// The nearest proper box: right way round, inside the image, of a size that one can take hold of.
export function straighten(box, [height, width]) {
  const [x1, x2] = straightenAxis(box.x1, box.x2, width);
  const [y1, y2] = straightenAxis(box.y1, box.y2, height);
  return { x1, y1, x2, y2 };
}

// The box moved as far as the image lets it, with its size kept.
export function moveBox(box, dx, dy, [height, width]) {
  dx = clamp(dx, -box.x1, width - box.x2);
  dy = clamp(dy, -box.y1, height - box.y2);
  return { x1: box.x1 + dx, y1: box.y1 + dy, x2: box.x2 + dx, y2: box.y2 + dy };
}

// The box with some edges moved; dragged past the edge opposite, it comes out straightened.
export function resizeBox(box, edges, dx, dy, size) {
  const next = { ...box };
  for (const edge of edges) next[edge] += edge[0] === "x" ? dx : dy;
  return straighten(next, size);
}

export function snapBox(box, size) {
  const snapped = {};
  for (const edge of EDGES) snapped[edge] = Math.round(box[edge] / GRID) * GRID;
  return straighten(snapped, size);
}

// Which edges a pointer at (x, y) takes hold of: two at a corner, one at a side, all four inside.
export function edgesAt(box, x, y, reach) {
  const near = (edge, value) => Math.abs(box[edge] - value) <= reach;
  const between = (value, low, high) => value >= low - reach && value <= high + reach;
  const held = [];
  if (between(y, box.y1, box.y2)) {
    const left = near("x1", x), right = near("x2", x);
    const nearerRight = Math.abs(box.x2 - x) < Math.abs(box.x1 - x);
    if (left || right) held.push(right && (!left || nearerRight) ? "x2" : "x1");
  }
  if (between(x, box.x1, box.x2)) {
    const top = near("y1", y), bottom = near("y2", y);
    const nearerBottom = Math.abs(box.y2 - y) < Math.abs(box.y1 - y);
    if (top || bottom) held.push(bottom && (!top || nearerBottom) ? "y2" : "y1");
  }
  const inside = x > box.x1 && x < box.x2 && y > box.y1 && y < box.y2;
  // a small box has to be movable: well inside it, no side is near
  const middle = Math.abs(x - (box.x1 + box.x2) / 2) < (box.x2 - box.x1) / 4 &&
    Math.abs(y - (box.y1 + box.y2) / 2) < (box.y2 - box.y1) / 4;
  if (held.length && !middle) return held;
  return inside ? [...EDGES] : [];
}

// What a key does: {dx, dy, sizing}, or null where it is none of ours.
export function keyStep(key, shift, alt) {
  const step = shift ? GRID : 1;
  const [dx, dy] = {
    ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step],
  }[key] ?? [0, 0];
  return dx || dy ? { dx, dy, sizing: alt } : null;
}

// The cell under a pointer at (x, y), held on the map of an image of size (height, width).
export function cellAt(x, y, stride, [height, width]) {
  const [rows, columns] = [Math.ceil(height / stride), Math.ceil(width / stride)];
  const at = (place, cells) => clamp(Math.floor(place / stride) || 0, 0, cells - 1);
  return { row: at(y, rows), column: at(x, columns) };
}

// The nearest cell of the map, from a row and a column that may be off it.
export function holdPoint({ row, column }, stride, size) {
  return cellAt((column + 0.5) * stride, (row + 0.5) * stride, stride, size);
}

// What a key does to a point: {row, column} to be added, or null where it is none of ours.
export function pointStep(key, shift) {
  const step = shift ? FAR_STEP : 1;
  const [column, row] = {
    ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step],
  }[key] ?? [0, 0];
  return row || column ? { row, column } : null;
}

// ---- drawing -----------------------------------------------------------------------------------

function drawGrid(pen, stride, [height, width], scale) {
  if (stride * scale < 3) return; // would be one grey mass
  pen.beginPath();
  for (let x = 0; x <= width; x += stride) {
    pen.moveTo(x * scale, 0);
    pen.lineTo(x * scale, height * scale);
  }
  for (let y = 0; y <= height; y += stride) {
    pen.moveTo(0, y * scale);
    pen.lineTo(width * scale, y * scale);
  }
  pen.lineWidth = 1;
  pen.setLineDash([]);
  pen.strokeStyle = "rgba(255, 255, 255, 0.55)";
  pen.stroke();
}

function drawReading(pen, operator, { x, y }, scale) {
  pen.beginPath();
  if (operator === "pool") {
    for (const [y1, y2] of y.spans) {
      for (const [x1, x2] of x.spans) {
        pen.rect(x1 * scale, y1 * scale, (x2 - x1) * scale, (y2 - y1) * scale);
      }
    }
  } else if (operator === "warp_rounded") {
    pen.rect(x.low * scale, y.low * scale, (x.high - x.low) * scale, (y.high - y.low) * scale);
  }
  twice(pen, LOOKS[operator].colour, LOOKS[operator].dash, 2);
  if (operator === "pool") return;
  const across = x.points.flat(), down = y.points.flat();
  if (across.length * down.length > MOST_CROSSES) return;
  pen.beginPath();
  for (const row of down) {
    for (const column of across) {
      const [left, top] = [column * scale, row * scale];
      for (const [right, down] of MARKS[LOOKS[operator].mark]) {
        pen.moveTo(left - right, top - down);
        pen.lineTo(left + right, top + down);
      }
    }
  }
  twice(pen, LOOKS[operator].colour, [], 2);
}

// A path in its colour, over a wider dark one: seen on bright and on dark images.
function twice(pen, colour, dash, width) {
  pen.setLineDash([]);
  pen.strokeStyle = "rgba(0, 0, 0, 0.45)";
  pen.lineWidth = width + 1.5;
  pen.setLineDash(dash);
  pen.stroke();
  pen.strokeStyle = colour;
  pen.lineWidth = width;
  pen.stroke();
  pen.setLineDash([]);
}

function drawBox(pen, box, scale) {
  const [x1, y1, x2, y2] = EDGES.map((edge) => box[edge] * scale);
  pen.beginPath();
  pen.rect(x1, y1, x2 - x1, y2 - y1);
  twice(pen, BOX_COLOUR, [], 3);
  for (const x of [x1, (x1 + x2) / 2, x2]) {
    for (const y of [y1, (y1 + y2) / 2, y2]) {
      if (x === (x1 + x2) / 2 && y === (y1 + y2) / 2) continue;
      pen.fillStyle = "#FFFFFF";
      pen.fillRect(x - 4, y - 4, 8, 8);
      pen.strokeStyle = BOX_COLOUR;
      pen.lineWidth = 2;
      pen.strokeRect(x - 4, y - 4, 8, 8);
    }
  }
}

function drawPoint(pen, { row, column }, stride, scale) {
  const [x, y] = [column * stride * scale, row * stride * scale], side = stride * scale;
  const [midX, midY] = [x + side / 2, y + side / 2], near = side / 2 + 4, far = near + 10;
  pen.beginPath();
  pen.rect(x, y, side, side);
  for (const [right, down] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
    pen.moveTo(midX + right * near, midY + down * near);
    pen.lineTo(midX + right * far, midY + down * far);
  }
  twice(pen, POINT_COLOUR, [], 2);
}

function legendOf(operators) {
  const entries = [{ colour: BOX_COLOUR, dash: [], mark: "", words: "the box" }];
  for (const operator of operators) entries.push(LOOKS[operator]);
  return entries;
}

function fillLegend(list, operators) {
  list.replaceChildren();
  for (const { colour, dash, mark, words } of legendOf(operators)) {
    const item = document.createElement("span");
    item.style.cssText = "display: inline-block; margin-right: 1.5em;";
    const sample = document.createElement("span");
    const line = dash.length ? (dash[0] > 4 ? "dashed" : "dotted") : "solid";
    sample.style.cssText = "display: inline-block; width: 2em; margin-right: 0.5em; " +
      `vertical-align: middle; border-top: 3px ${line} ${colour};`;
    const sign = document.createElement("b");
    sign.textContent = mark;
    sign.style.cssText = `color: ${colour}; font-size: 1.3em; margin-right: 0.4em;`;
    if (dash.length || !mark) item.append(sample);
    item.append(sign, words);
    list.append(item);
  }
}

// ---- the two tools -----------------------------------------------------------------------------

// What the hand moves: its traits, how it is drawn and said, and what pointer and keys do to it.
// `get` reads a trait. grab() -> a handle or null; moved() -> the value after a move by (dx, dy).

const operatorsOf = (get) => (get("operator") === "all" ? ALL : [get("operator")]);

const BOX_TOOL = {
  names: EDGES,
  role: "application",
  help: "Drag the box, a side or a corner. Keys: arrows move it by 1 pixel, " +
    "with Shift by half a pixel; with Alt they change its size.",
  read: (get) => straighten(Object.fromEntries(EDGES.map((edge) => [edge, get(edge)])),
    get("image_size")),
  draw(pen, box, get, scale) {
    const [height, width] = get("image_size"), stride = get("stride");
    drawGrid(pen, stride, get("image_size"), scale);
    const cells = [Math.ceil(height / stride), Math.ceil(width / stride)];
    for (const operator of operatorsOf(get)) {
      const reading = binsOf(operator, box, stride, get("bins"), get("sampling_ratio"), cells);
      drawReading(pen, operator, reading, scale);
    }
    drawBox(pen, box, scale);
  },
  label: (box, get) => `Box from ${box.x1}, ${box.y1} to ${box.x2}, ${box.y2} ` +
    `in an image of ${get("image_size")[1]} by ${get("image_size")[0]} pixels. Arrow keys move ` +
    "it, with Shift in finer steps; with Alt they change its size.",
  legend: (list, get) => fillLegend(list, operatorsOf(get)),
  grab(box, { x, y, reach }) {
    const edges = edgesAt(box, x, y, reach);
    return edges.length ? { value: box, handle: edges } : null;
  },
  moved(box, edges, start, { x, y }, get) {
    const size = get("image_size"), [dx, dy] = [x - start.x, y - start.y];
    return edges.length === 4
      ? moveBox(box, Math.round(dx / GRID) * GRID, Math.round(dy / GRID) * GRID, size)
      : snapBox(resizeBox(box, edges, dx, dy, size), size);
  },
  cursor(box, { x, y, reach }) {
    const edges = edgesAt(box, x, y, reach);
    if (edges.length === 4) return "move";
    if (edges.length === 2) return edges.join() === "x1,y1" || edges.join() === "x2,y2"
      ? "nwse-resize" : "nesw-resize";
    return edges.length ? (edges[0][0] === "x" ? "ew-resize" : "ns-resize") : "default";
  },
  keyed(box, event, get) {
    const step = keyStep(event.key, event.shiftKey, event.altKey), size = get("image_size");
    if (!step) return null;
    return step.sizing
      ? resizeBox(box, ["x2", "y2"], Math.max(step.dx, box.x1 + LEAST_SIDE - box.x2),
        Math.max(step.dy, box.y1 + LEAST_SIDE - box.y2), size)
      : moveBox(box, step.dx, step.dy, size);
  },
};

const POINT_TOOL = {
  names: PLACE,
  role: "application",
  help: "Click a place of the image, or drag over it. Keys: arrows move the point by a cell, " +
    `with Shift by ${FAR_STEP}.`,
  read: (get) => holdPoint({ row: get("row"), column: get("column") }, get("stride"),
    get("image_size")),
  draw: (pen, point, get, scale) => drawPoint(pen, point, get("stride"), scale),
  label: (point, get) => `Point at row ${point.row}, column ${point.column} of a map of ` +
    `${Math.ceil(get("image_size")[0] / get("stride"))} by ` +
    `${Math.ceil(get("image_size")[1] / get("stride"))} cells. Arrow keys move it by one cell, ` +
    `with Shift by ${FAR_STEP}.`,
  legend(list) {
    list.replaceChildren();
  },
  grab: (point, place, get) =>
    ({ value: cellAt(place.x, place.y, get("stride"), get("image_size")), handle: PLACE }),
  moved: (point, handle, start, { x, y }, get) => cellAt(x, y, get("stride"), get("image_size")),
  cursor: () => "crosshair",
  keyed(point, event, get) {
    const step = event.altKey ? null : pointStep(event.key, event.shiftKey);
    return step && holdPoint({ row: point.row + step.row, column: point.column + step.column },
      get("stride"), get("image_size"));
  },
};

// ---- the widget --------------------------------------------------------------------------------

function makeElements(el, tool) {
  const canvas = document.createElement("canvas");
  canvas.tabIndex = 0;
  canvas.setAttribute("role", tool.role);
  canvas.className = "teachseg-stage";
  canvas.style.cssText = "display: block; touch-action: none; outline-offset: -3px; " +
    "image-rendering: pixelated; max-width: 100%;";
  const legend = document.createElement("div");
  const help = document.createElement("div");
  help.textContent = tool.help;
  help.style.cssText = "font-size: 0.9em; max-width: 46em;";
  legend.style.cssText = "font-size: 0.9em; margin: 0.4em 0 0.2em;";
  // JupyterLab would take arrow keys for moving between cells
  el.dataset.lmSuppressShortcuts = "true";
  el.append(canvas, legend, help);
  return { canvas, legend };
}

function listen(target, events, undo) {
  for (const [name, handler] of Object.entries(events)) {
    target.addEventListener(name, handler);
    undo.push(() => target.removeEventListener(name, handler));
  }
}

function render({ model, el }) {
  const get = (name) => model.get(name);
  const tool = get("mode") === "point" ? POINT_TOOL : BOX_TOOL;
  const { canvas, legend } = makeElements(el, tool);
  const pen = canvas.getContext("2d");
  const photo = new Image();
  const undo = [];
  let value = tool.read(get);  // the box, or the point
  let drag = null;      // {value, handle, start, pointer} while a pointer holds it
  let asked = 0;        // the animation frame that will draw
  let timer = 0;        // that will send
  let sent = -SEND_EVERY;  // when it last did, in ms
  let sending = false;  // setting one trait tells the others' watchers at once
  let drawn = 0;

  const scaleOf = () => {
    const [height, width] = get("image_size");
    return Math.max(0.25, Math.min(MOST_SIDE / width, MOST_SIDE / height, 24));
  };

  function draw() {
    asked = 0;
    const [height, width] = get("image_size"), scale = scaleOf();
    const dense = window.devicePixelRatio || 1;
    const [wide, high] = [Math.round(width * scale * dense), Math.round(height * scale * dense)];
    if (canvas.width !== wide || canvas.height !== high) {
      [canvas.width, canvas.height] = [wide, high];
      canvas.style.width = `${width * scale}px`;
      canvas.style.aspectRatio = `${width} / ${height}`;
    }
    pen.setTransform(dense, 0, 0, dense, 0, 0);
    pen.imageSmoothingEnabled = false;
    pen.fillStyle = "#888888";
    pen.fillRect(0, 0, width * scale, height * scale);
    if (photo.complete && photo.naturalWidth) {
      pen.drawImage(photo, 0, 0, width * scale, height * scale);
    }
    tool.draw(pen, value, get, scale);
    canvas.setAttribute("aria-label", tool.label(value, get));
    canvas.dataset.frames = String(++drawn);
  }

  const redraw = () => {
    if (!asked) asked = requestAnimationFrame(draw);
  };

  function send() {
    timer = 0;
    sent = performance.now();
    if (tool.names.every((name) => get(name) === value[name])) return;
    sending = true;
    for (const name of tool.names) model.set(name, value[name]);
    sending = false;
    model.save_changes();
  }

  function take(next, atOnce) {
    value = next;
    redraw();
    if (atOnce) {
      clearTimeout(timer);
      send();
    } else if (!timer) {
      timer = setTimeout(send, Math.max(0, sent + SEND_EVERY - performance.now()));
    }
  }

  // where a pointer is, in image pixels; and how many of those REACH is
  function place(event) {
    const frame = canvas.getBoundingClientRect(), [height, width] = get("image_size");
    const perPixel = width / frame.width;
    return {
      x: (event.clientX - frame.left) * perPixel,
      y: (event.clientY - frame.top) * (height / frame.height),
      reach: REACH * perPixel,
    };
  }

  const release = (event) => {
    if (!drag || event.pointerId !== drag.pointer) return;
    drag = null;
    take(value, true);
  };

  listen(canvas, {
    pointerdown(event) {
      if (event.button !== 0 || drag) return;
      canvas.focus();
      const start = place(event), held = tool.grab(value, start, get);
      if (!held) return;
      drag = { ...held, start, pointer: event.pointerId };
      canvas.setPointerCapture(event.pointerId);
      event.preventDefault();
      take(held.value, false);
    },
    pointermove(event) {
      if (!drag) {
        canvas.style.cursor = tool.cursor(value, place(event));
      } else if (event.pointerId === drag.pointer) {
        take(tool.moved(drag.value, drag.handle, drag.start, place(event), get), false);
      }
    },
    pointerup: release,
    pointercancel: release,
    lostpointercapture: release,
    keydown(event) {
      if (event.ctrlKey || event.metaKey) return;
      const next = tool.keyed(value, event, get);
      if (!next) return;
      event.preventDefault();
      event.stopPropagation();
      take(next, false);
    },
    focus() {
      canvas.style.outline = `3px solid ${FOCUS_COLOUR}`;
    },
    blur() {
      canvas.style.outline = "none";
    },
  }, undo);

  const watch = (names, handler) => {
    for (const name of names) {
      model.on(`change:${name}`, handler);
      undo.push(() => model.off(`change:${name}`, handler));
    }
  };
  watch(tool.names, () => {
    if (drag || timer || sending) return; // the hand is ahead of Python
    value = tool.read(get);
    redraw();
  });
  watch(["bins", "sampling_ratio"], redraw);
  watch(["operator"], () => {
    tool.legend(legend, get);
    redraw();
  });
  const load = () => {
    photo.src = get("image");
    value = tool.read(get);
    redraw();
  };
  watch(["stride"], () => {
    value = tool.read(get);
    redraw();
  });
  watch(["image", "image_size"], load);

  photo.onload = redraw;
  tool.legend(legend, get);
  load();
  return () => {
    cancelAnimationFrame(asked);
    if (timer) clearTimeout(timer);
    photo.onload = null;
    for (const step of undo) step();
  };
}

export default { render };
