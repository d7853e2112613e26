/** Accuracy in the worst case against latency: a point for each defense, and the Pareto front. */
addEventListener("DOMContentLoaded", () => {
  if (!document.getElementById("tradeoff-figure")) return;
  const { looks, points } = dataOf("tradeoff");
  const figure = new PageFigure("tradeoff", looks, draw);
  const change = () => figure.show();

  const keys = [...BudgetChoice.keys, "device"];
  const choice = new BudgetChoice("tradeoff", figure.tools, points, change, keys);
  const rings = toggleControl(links.get("tradeoff", "rings") !== "no", ["gray-box rings"], (on) => {
    links.set("tradeoff", "rings", on ? "" : "no");
    change();
  });

  figure.tools.append(rings);
  figure.addChips(distinct(points, "defense"));
  figure.start();

  function draw(colors, isShown) {
    const rows = points.filter((row) => choice.matches(row) && isShown(row.defense));
    const traces = rows.flatMap((row) => [pointTrace(row, colors), ...graybox(row, colors)]);
    const [first] = rows;
    const title = first ? `ms a call, batch ${first.batch_size}` : "ms a call";
    return {
      traces: [frontTrace(rows, colors), ...traces],
      changes: {
        xaxis: { type: "log", title: { text: title }, ...logTicks(rows.flatMap((row) => row.latency)) },
        yaxis: { range: [-0.03, 1.03], tickformat: ".0%", title: { text: "accuracy in the worst case" } },
      },
    };
  }

  /** Ticks at 1, 2 and 5 times powers of ten as whole numbers; at powers alone over many of them. */
  function logTicks(values) {
    const [low, high] = [Math.min(...values), Math.max(...values)].map(Math.log10);
    if (!Number.isFinite(high - low)) return {};
    const factors = high - low > 3 ? [1] : [1, 2, 5];
    const powers = Array.from({ length: Math.ceil(high) - Math.floor(low) + 3 }, (_, step) => Math.floor(low) - 1 + step);
    const tickvals = powers.flatMap((power) => factors.map((factor) => Number(`${factor}e${power}`)));
    return { tickmode: "array", tickvals, ticktext: tickvals.map(String) };
  }

  function pointTrace(row, colors) {
    const color = shownColor(looks[row.defense], colors);
    const engine = row.engine === "eager" ? "" : `, ${row.engine}`;
    const isHollow = row.mark || row.dominated.length;
    const symbol = `${MARKERS[looks[row.defense].marker]}${isHollow ? "-open" : ""}`;
    return {
      type: "scatter", mode: "markers", name: plain(looks[row.defense].name + engine),
      x: [row.latency[0]], y: [row.accuracy[0]], opacity: row.alike ? 1 : 0.4,
      cliponaxis: false, error_x: errorBars([row.latency], color), error_y: errorBars([row.accuracy], color),
      marker: { color, size: 11, symbol, line: { color, width: 2 } },
      hovertemplate: `${pointText(row)}<extra></extra>`,
    };
  }

  function pointText(row) {
    const dominated = row.dominated.map((spec) => looks[spec]?.name ?? spec).join(", ");
    const [median, low, high] = row.latency.map((value) => value.toPrecision(3));
    return [
      `<b>${plain(looks[row.defense].name)}</b> ${plain(row.engine)}, ${plain(row.device)}`,
      `worst case ${percent(row.accuracy)}`,
      row.graybox === null ? "" : `gray-box alone ${(100 * row.graybox).toFixed(1)} %`,
      `${median} ms [${low}, ${high}]`,
      dominated ? wrapped(`dominated by ${dominated}`) : "not dominated",
      row.note ? wrapped(row.note) : "",
      row.alike ? "" : "this engine classifies otherwise",
    ].filter(Boolean).join("<br>");
  }

  /** A ring at the accuracy under gray-box attacks, and a thin line down to the worst case. */
  function graybox(row, colors) {
    const isOn = rings.getAttribute("aria-pressed") === "true";
    if (!isOn || row.graybox === null) return [];
    const color = shownColor(looks[row.defense], colors);
    const [x, y] = [row.latency[0], row.accuracy[0]];
    return [{
      type: "scatter", mode: "lines+markers", x: [x, x], y: [row.graybox, y], hoverinfo: "skip",
      showlegend: false, opacity: 0.55, line: { color, width: 1, dash: "dot" },
      marker: { color, size: [7, 0], symbol: "circle-open", line: { color, width: 1.2 } },
    }];
  }

  /** The accuracy that a time buys, by the defenses that none dominates and whose number is sound. */
  function frontTrace(rows, colors) {
    const sound = rows.filter((row) => !row.dominated.length && !row.mark && row.alike);
    const ordered = sound.sort((a, b) => a.latency[0] - b.latency[0]);
    const front = ordered.filter((row, index) =>
      ordered.slice(0, index).every((earlier) => earlier.accuracy[0] < row.accuracy[0]));
    const steps = front.map((row) => [row.latency[0], row.accuracy[0]]);
    if (steps.length) steps.push([Math.max(...rows.map((row) => row.latency[2])), steps.at(-1)[1]]);
    return {
      type: "scatter", mode: "lines", name: "Pareto front", hoverinfo: "skip",
      x: steps.map(([latency]) => latency), y: steps.map(([, accuracy]) => accuracy),
      line: { color: colors.ink, width: 1.2, dash: "dash", shape: "hv" }, opacity: 0.6,
    };
  }
});
