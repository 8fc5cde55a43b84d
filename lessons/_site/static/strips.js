// A strip is an explorer's frames, drawn beforehand; its slider shows one of them. No kernel.
document.querySelectorAll("figure.strip").forEach((strip) => {
  const slider = strip.querySelector("input[type=range]");
  const frames = [...strip.querySelectorAll("img")];
  const value = strip.querySelector("output");
  const caption = strip.querySelector("figcaption");
  const show = () => {
    frames.forEach((frame, i) => (frame.hidden = i !== Number(slider.value)));
    const frame = frames[Number(slider.value)];
    value.textContent = frame.dataset.value;
    caption.textContent = frame.alt;
    slider.setAttribute("aria-valuetext", frame.dataset.value);
  };
  slider.disabled = false;
  slider.addEventListener("input", show);
  show();
});

// What is wider than a narrow window scrolls, and the keyboard must reach it.
document.querySelectorAll("article table, article pre").forEach((wide) => {
  if (wide.scrollWidth > wide.clientWidth) wide.tabIndex = 0;
});
