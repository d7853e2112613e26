/** Accuracy over epsilon: a line for each defense under the chosen attack and threat model. */
addEventListener("DOMContentLoaded", () => {
  if (!document.getElementById("curves-figure")) return;
  const { looks, rows } = dataOf("curves");
  const figure = new PageFigure("curves", looks, draw);
  // Rows of the choices made so far, from which the next one takes its values.
  const keys = ["dataset", "classifier", "seed", "attack", "threat", "norm"];
  let chosen = rows;
  build();
  figure.addChips(distinct(rows, "defense"));
  figure.start();

  /** A list of choices for each key that leaves several; a choice may change those after it. */
  function build() {
    for (const label of figure.tools.querySelectorAll("label")) label.remove();
    chosen = rows;
    let last = null;
    for (const key of keys) {
      const values = distinct(chosen, key);
      if (values.length > 1) {
        const { label, select } = selectControl("curves", key, key, values, () => {
          build();
          figure.tools.querySelector(`[data-key="${key}"]`)?.focus();
          figure.show();
        });
        select.dataset.key = key;
        if (last) last.after(label);
        else figure.tools.prepend(label);
        last = label;
        chosen = chosen.filter((row) => String(row[key]) === select.value);
      } else {
        chosen = chosen.filter((row) => row[key] === values[0]);
      }
    }
  }

  function draw(colors, isShown) {
    const defenses = distinct(chosen, "defense").filter(isShown);
    const norm = chosen[0]?.norm ?? "";
    return {
      traces: defenses.map((defense) => lineTrace(defense, colors)),
      changes: {
        xaxis: { title: { text: plain(`epsilon (${norm}); 0: clean`) }, rangemode: "tozero" },
        yaxis: { range: [-0.03, 1.03], tickformat: ".0%", title: { text: "accuracy" } },
      },
    };
  }

  function lineTrace(defense, colors) {
    const own = chosen.filter((row) => row.defense === defense).sort((a, b) => a.eps - b.eps);
    const color = shownColor(looks[defense] ?? { color: "black" }, colors);
    const marker = MARKERS[looks[defense]?.marker] ?? "circle";
    const symbols = { ok: marker, suspect: `${marker}-open`, invalid: "x-thin" };
    const values = [own[0].clean, ...own.map((row) => row.robust)];
    const name = looks[defense]?.name ?? "undefended";
    const texts = own.map((row) => hoverText(name, `epsilon ${row.eps}`, row.robust, row));
    return {
      type: "scatter", mode: "lines+markers", name: plain(name),
      x: [0, ...own.map((row) => row.eps)], y: values.map(([value]) => value),
      error_y: errorBars(values, color), cliponaxis: false,
      line: { color, width: 2, dash: defense === "none" ? "dash" : "solid" },
      marker: {
        color, size: 9, line: { color, width: 2 },
        symbol: [marker, ...own.map((row) => symbols[row.verdict])],
      },
      text: [hoverText(name, "clean", own[0].clean, {}), ...texts],
      hovertemplate: "%{text}<extra></extra>",
    };
  }

  function hoverText(name, where, accuracy, { verdict, reasons, n }) {
    return [
      `<b>${plain(name)}</b>, ${plain(where)}`,
      percent(accuracy) + (n ? `, ${n} images` : ""),
      verdict && verdict !== "ok" ? verdict : "",
      reasons ? wrapped(reasons) : "",
    ].filter(Boolean).join("<br>");
  }
});
