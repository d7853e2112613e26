/** Figures: the library that draws them, their look in both themes, and their downloads. */

const MARKERS = {
  o: "circle", s: "square", D: "diamond", "^": "triangle-up", v: "triangle-down", P: "cross",
  "*": "star", X: "x", h: "hexagon2",
};

/** The library, unpacked at the first call: it stands in the page as gzip in base64. */
const libraryLoaded = (() => {
  let loading = null;
  const load = async () => {
    const text = document.getElementById("plotly-gzip").textContent.trim();
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    document.head.append(element("script", {}, await new Response(stream).text()));
  };
  return () => (loading ??= load());
})();

/** The color of a defense, as in the style sheet: lighter on dark; black becomes that of the text. */
function shownColor(look, colors) {
  if (look.color === "black") return colors.ink;
  if (!colors.isDark) return look.color;
  const parts = look.color.match(/[0-9a-f]{2}/gi).map((part) => parseInt(part, 16));
  return `rgb(${parts.map((part) => Math.round(0.7 * part + 0.3 * 255)).join(", ")})`;
}

/** A layout with the page's colors, or with black on white for a file. */
function layoutOf(colors, changes) {
  const axis = { gridcolor: colors.line, zerolinecolor: colors.line, linecolor: colors.line, automargin: true };
  return {
    paper_bgcolor: colors.paper,
    plot_bgcolor: colors.paper,
    font: { family: "system-ui, sans-serif", size: 13, color: colors.ink },
    margin: { l: 56, r: 16, t: 12, b: 48 },
    hovermode: "closest",
    hoverlabel: { align: "left", bgcolor: colors.card, bordercolor: colors.line, font: { color: colors.ink } },
    showlegend: false,
    ...changes,
    xaxis: { ...axis, ...changes.xaxis },
    yaxis: { ...axis, ...changes.yaxis },
  };
}

const PRINTED = { paper: "#ffffff", card: "#ffffff", ink: "#1d1e20", line: "#dddddd" };

function pageColors() {
  const [ink, line, card] = ["--ink", "--line", "--card"].map(theme.color);
  return { paper: "rgba(0,0,0,0)", ink, line, card, isDark: theme.isDark() };
}

/**
 * A figure with controls. `draw(colors, hidden)` gives the traces and the changes of the layout, of
 * the defenses that are not hidden.
 */
class PageFigure {
  constructor(scope, looks, draw) {
    this.scope = scope;
    this.looks = looks;
    this.draw = draw;
    const figure = document.getElementById(`${scope}-figure`);
    this.tools = figure.querySelector(".tools");
    this.chips = figure.querySelector(".chips");
    this.plot = figure.querySelector(".plot");
    this.hidden = new Set((links.get(scope, "hide") ?? "").split(".").filter(Boolean).map(Number));
  }

  /** Buttons that show and hide each of these defenses. */
  addChips(defenses) {
    const specs = Object.keys(this.looks).filter((spec) => defenses.includes(spec));
    for (const spec of specs) {
      const number = Object.keys(this.looks).indexOf(spec);
      const swatch = element("span", { class: "swatch" });
      swatch.style.setProperty("--color", this.looks[spec].color === "black" ? "currentcolor" : this.looks[spec].color);
      const chip = toggleControl(!this.hidden.has(number), [swatch, this.looks[spec].name], (on) => {
        if (on) this.hidden.delete(number);
        else this.hidden.add(number);
        links.set(this.scope, "hide", [...this.hidden].sort((a, b) => a - b).join("."));
        this.show();
      });
      if (spec !== this.looks[spec].name) chip.dataset.tip = spec;
      this.chips.append(chip);
    }
  }

  /** Buttons that save what is drawn, black on white and with a legend. */
  addDownloads() {
    for (const format of ["svg", "png"]) {
      const button = element("button", { type: "button" }, format.toUpperCase());
      button.setAttribute("aria-label", `Save the figure as ${format.toUpperCase()}`);
      button.addEventListener("click", () => this.save(format));
      this.tools.append(button);
    }
  }

  async save(format) {
    await libraryLoaded();
    const { traces, changes } = this.drawn(PRINTED);
    const layout = { ...layoutOf(PRINTED, changes), showlegend: true, width: 760, height: 480 };
    const scale = format === "png" ? 3 : 1;
    await Plotly.downloadImage({ data: traces, layout }, { format, filename: this.scope, scale, width: 760, height: 480 });
  }

  drawn(colors) {
    const specs = Object.keys(this.looks);
    return this.draw(colors, (spec) => !this.hidden.has(specs.indexOf(spec)));
  }

  async show() {
    await libraryLoaded();
    const colors = pageColors();
    const { traces, changes } = this.drawn(colors);
    const options = { displayModeBar: false, responsive: true, doubleClick: "reset" };
    await Plotly.react(this.plot, traces, layoutOf(colors, changes), options);
    this.plot.dataset.drawn = "yes";
  }

  /** Draw when the figure comes into view or the browser has time, and anew when the theme changes. */
  start() {
    this.addDownloads();
    const draw = () => {
      if (this.isStarted) return;
      this.isStarted = true;
      watch.disconnect();
      this.show();
      document.addEventListener("themechange", () => this.show());
    };
    const watch = new IntersectionObserver(
      (entries) => entries.some((entry) => entry.isIntersecting) && draw(), { rootMargin: "600px" });
    watch.observe(this.plot);
    // A page that is printed shows figures that were never in view.
    addEventListener("load", () => (window.requestIdleCallback ?? setTimeout)(draw));
  }
}

/** Distances from a value to the ends of its interval, as error bars. */
function errorBars(triples, color) {
  return {
    type: "data", symmetric: false, thickness: 1.2, width: 3, color,
    array: triples.map(([value, , high]) => Math.max(0, high - value)),
    arrayminus: triples.map(([value, low]) => Math.max(0, value - low)),
  };
}

/** A text that the library shows as it is: it would read tags. */
function plain(text) {
  return String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/** A text in lines of at most some characters, for a hover. */
function wrapped(text, most = 60) {
  const lines = [""];
  for (const word of String(text).split(" ")) {
    if (lines.at(-1) && lines.at(-1).length + word.length >= most) lines.push("");
    lines[lines.length - 1] += `${lines.at(-1) ? " " : ""}${word}`;
  }
  return lines.map(plain).join("<br>");
}

/** An accuracy with its interval, in percent. */
function percent([value, low, high]) {
  const part = (number) => (100 * number).toFixed(1);
  return `${part(value)} % [${part(low)}, ${part(high)}]`;
}
