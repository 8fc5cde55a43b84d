// A strip is an explorer's frames, drawn beforehand; its slider shows one of them. No kernel.
const strips = [...document.querySelectorAll("figure.strip")].map((strip) => {
  const slider = strip.querySelector("input[type=range]");
  const frames = [...strip.querySelectorAll("img")];
  const value = strip.querySelector("output");
  const caption = strip.querySelector("figcaption");
  const show = (number) => {
    frames.forEach((frame, i) => (frame.hidden = i !== number));
    const frame = frames[number];
    value.textContent = frame.dataset.value;
    caption.textContent = frame.alt;
    slider.setAttribute("aria-valuetext", frame.dataset.value);
  };
  slider.disabled = false;
  slider.addEventListener("input", () => show(Number(slider.value)));
  show(Number(slider.value));
  return { slider, show };
});

// What is printed in columns keeps its lines, in smaller letters if need be; sentences wrap.
const columns = /\S {3,}\S/;
document.querySelectorAll("div.cell_output pre").forEach((printed) => {
  if (!columns.test(printed.textContent)) return;
  printed.classList.add("columns");
  const pieces = printed.textContent.split(/(\n)/).map((line) => {
    if (line.length < 90 || /\S {2,}\S/.test(line)) return line;
    const sentence = document.createElement("span");
    sentence.className = "sentence";
    sentence.textContent = line;
    return sentence;
  });
  printed.replaceChildren(...pieces);
});
document.querySelectorAll("div.cell_output pre.columns, article .highlight-none pre").forEach((printed) => {
  printed.classList.toggle("wide", printed.scrollWidth > printed.clientWidth);
});

// What is wider than a narrow window scrolls, and the keyboard must reach it.
document.querySelectorAll("article .pst-scrollable-table-container, article pre, article span.formula").forEach((wide) => {
  if (wide.scrollWidth > wide.clientWidth) wide.tabIndex = 0;
});

// The sidebar's arrows say what they unfold.
document.querySelectorAll(".bd-docs-nav details > summary").forEach((arrow) => {
  const link = arrow.closest("li").querySelector("a");
  arrow.setAttribute("aria-label", `Pages of ${link.textContent.trim()}`);
});

// On paper: light, each strip's first frame, hints and solutions unfolded. Afterwards as it was.
let before = null;
addEventListener("beforeprint", () => {
  const closed = [...document.querySelectorAll("article details:not([open])")];
  before = { theme: document.documentElement.dataset.theme, closed };
  document.documentElement.dataset.theme = "light";
  closed.forEach((details) => (details.open = true));
  strips.forEach((strip) => strip.show(0));
});
addEventListener("afterprint", () => {
  if (!before) return;
  document.documentElement.dataset.theme = before.theme;
  before.closed.forEach((details) => (details.open = false));
  strips.forEach((strip) => strip.show(Number(strip.slider.value)));
  before = null;
});
