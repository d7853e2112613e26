/** Controls whose values are part of the page's address. */

/** A labelled list of choices; the first one is chosen unless the address says otherwise. */
function selectControl(scope, key, title, values, changed) {
  const options = values.map((value) => element("option", { value: String(value) }, String(value)));
  const select = element("select", { "aria-label": title }, ...options);
  const chosen = links.get(scope, key);
  if (values.map(String).includes(chosen)) select.value = chosen;
  select.addEventListener("change", () => {
    links.set(scope, key, select.selectedIndex ? select.value : "");
    changed();
  });
  return { label: element("label", {}, `${title} `, select), select };
}

/** A labelled slider over some values in order; it starts at one of them unless the address says so. */
function sliderControl(scope, key, title, values, first, changed) {
  const slider = element("input", { type: "range", min: "0", max: String(values.length - 1), step: "1" });
  const output = element("output", {});
  const noted = values.map(String).indexOf(links.get(scope, key));
  slider.value = String(noted < 0 ? first : noted);
  const show = () => {
    output.textContent = String(values[slider.value]);
    slider.setAttribute("aria-valuetext", `${title} ${values[slider.value]}`);
  };
  slider.addEventListener("input", () => {
    links.set(scope, key, Number(slider.value) === first ? "" : String(values[slider.value]));
    show();
    changed();
  });
  show();
  return { label: element("label", { class: "slider" }, `${title} `, slider, output), slider };
}

/** A button that is on or off. */
function toggleControl(on, content, changed) {
  const button = element("button", { type: "button", class: "chip" }, ...content);
  const show = (pressed) => button.setAttribute("aria-pressed", String(pressed));
  show(on);
  button.addEventListener("click", () => {
    const pressed = button.getAttribute("aria-pressed") !== "true";
    show(pressed);
    changed(pressed);
  });
  return button;
}

/** The different values of a key in some rows, in the order in which they appear. */
function distinct(rows, key) {
  return [...new Set(rows.map((row) => row[key]))];
}
