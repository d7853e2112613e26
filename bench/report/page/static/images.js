/** The images of a run: tiles that filters choose from, and one of them in detail. */
const IMAGE_LABELS = ["dataset", "classifier", "seed", "defense", "attack", "threat", "eps"];
const TILES = 240;

function startImages() {
  if (document.getElementById("images-grid")) new ImageBrowser(dataOf("images")).start();
}

class ImageBrowser {
  constructor(data) {
    this.data = data;
    this.pictures = new Map();
    this.all = data.cells.flatMap((cell) =>
      cell.images.map((image, index) => ({ cell, image, index, name: `${cell.key}:${index}` })));
    this.grid = document.getElementById("images-grid");
    this.detail = document.getElementById("images-detail");
    this.more = document.getElementById("images-more");
    this.most = TILES;
  }

  start() {
    this.addFilters();
    this.grid.addEventListener("keydown", (event) => this.onKey(event));
    this.more.addEventListener("click", () => { this.most += TILES; this.showTiles(); });
    addEventListener("popstate", () => this.read());
    this.read();
    if (links.get("images", "at") && !links.place()) document.getElementById("images").scrollIntoView();
  }

  /** Values of an entry by which filters choose. */
  valueOf(entry, name) {
    const { cell, image } = entry;
    return { ...cell.labels, result: image.result, "true class": image.truth, "predicted class": image.purified }[name];
  }

  addFilters() {
    const form = document.getElementById("images-filters");
    form.addEventListener("submit", (event) => event.preventDefault());
    this.filters = new Map();
    for (const name of [...IMAGE_LABELS, "result", "true class", "predicted class"]) {
      const values = [...new Set(this.all.map((entry) => this.valueOf(entry, name)))];
      if (values.length < 2) continue;
      if (name.endsWith("class")) values.sort((a, b) => a.localeCompare(b, undefined, { numeric: true }));
      const select = element("select", { name });
      select.append(element("option", { value: "" }, "all"), ...values.map((value) => element("option", { value }, value)));
      select.addEventListener("change", () => { links.set("images", name, select.value); this.most = TILES; this.showTiles(); });
      form.append(element("label", {}, `${name} `, select));
      this.filters.set(name, select);
    }
  }

  /** Take filters and the selected image from the address. */
  read() {
    for (const [name, select] of this.filters) {
      select.value = links.get("images", name) || "";
      if (select.selectedIndex < 0) select.value = "";
    }
    this.selected = this.all.find((entry) => entry.name === links.get("images", "at"));
    this.showTiles();
  }

  chosen() {
    return this.all.filter((entry) =>
      [...this.filters].every(([name, select]) => !select.value || this.valueOf(entry, name) === select.value));
  }

  showTiles() {
    const chosen = this.chosen();
    const shown = chosen.slice(0, this.most);
    document.getElementById("images-count").textContent =
      `${chosen.length} of ${this.all.length} images` + (shown.length < chosen.length ? `, the first ${shown.length} shown` : "");
    this.more.hidden = shown.length === chosen.length;
    if (!shown.some((entry) => entry === this.selected)) this.selected = shown[0];
    this.grid.replaceChildren(...shown.map((entry) => this.tile(entry)));
    this.reveal();
    this.showDetail();
  }

  tile(entry) {
    const { image, cell } = entry;
    const is = entry === this.selected;
    const text = `${image.truth} → ${image.purified}`;
    const made = element("button", {
      type: "button", role: "option", class: `tile ${classOf(image)}`, "data-name": entry.name,
      "aria-selected": String(is), tabindex: is ? "0" : "-1", title: `${titleOf(cell)}: ${image.result}`,
      "aria-label": `true class ${image.truth}, predicted ${image.purified}, ${image.result}, ${titleOf(cell)}`,
    }, this.canvas(entry, "adversarial"), element("span", {}, `${signOf(image)} ${text}`));
    made.addEventListener("click", () => this.select(entry));
    return made;
  }

  select(entry, focus = false) {
    this.selected = entry;
    links.set("images", "at", entry.name);
    for (const tile of this.grid.children) {
      const is = tile.dataset.name === entry.name;
      tile.setAttribute("aria-selected", String(is));
      tile.tabIndex = is ? 0 : -1;
      if (is && focus) tile.focus();
    }
    this.showDetail();
  }

  /** Scroll the tiles, and not the page, to the selected one. */
  reveal() {
    const tile = this.grid.querySelector("[aria-selected='true']");
    if (tile) this.grid.scrollTop = tile.offsetTop - (this.grid.clientHeight - tile.offsetHeight) / 2;
  }

  /** Go to an image from elsewhere: filters that would hide it are taken back. */
  go(entry) {
    for (const [name, select] of this.filters) {
      if (!select.value || this.valueOf(entry, name) === select.value) continue;
      select.value = "";
      links.set("images", name, "");
    }
    this.selected = entry;
    links.set("images", "at", entry.name);
    this.most = Math.max(this.most, this.chosen().indexOf(entry) + 1);
    this.showTiles();
  }

  onKey(event) {
    const tiles = [...this.grid.children];
    const at = tiles.findIndex((tile) => tile.getAttribute("aria-selected") === "true");
    const columns = Math.max(1, tiles.filter((tile) => tile.offsetTop === tiles[0].offsetTop).length);
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -at, End: tiles.length - 1 - at };
    if (!(event.key in steps)) return;
    event.preventDefault();
    const to = tiles[at + steps[event.key]];
    if (to) this.select(this.all.find((entry) => entry.name === to.dataset.name), true);
  }

  showDetail() {
    const entry = this.selected;
    if (!entry) return this.detail.replaceChildren(element("p", {}, "No image matches the filters."));
    const { cell, image, index } = entry;
    this.detail.replaceChildren(
      element("h3", {}, `Image ${index + 1}: true class ${image.truth}`),
      element("div", { class: "kinds" }, ...this.data.kinds.map((kind) => this.figure(entry, kind))),
      element("p", { class: classOf(image) }, `${signOf(image)} ${outcomeOf(entry)}`),
      element("dl", {}, ...IMAGE_LABELS.flatMap((name) => [
        element("dt", {}, name),
        element("dd", cell.specs[name] ? { title: cell.specs[name] } : {}, cell.labels[name]),
      ])),
      this.elsewhere(entry));
  }

  figure(entry, kind) {
    const { cell, image } = entry;
    const captions = {
      original: `classifier: ${image.clean}; with the defense: ${image.purified_clean}`,
      adversarial: `classifier alone: ${image.adversarial}`,
      perturbation: `full color at ±${cell.scale}`,
      purified: `with the defense: ${image.purified}`,
    };
    return element("figure", {}, this.canvas(entry, kind),
      element("figcaption", {}, element("b", {}, kind), ` ${captions[kind]}`));
  }

  /** The same image behind the same defense under other attacks, and under the same attack behind other defenses. */
  elsewhere(entry) {
    const { cell, index } = entry;
    const same = (other, ...names) => names.every((name) => other.cell.labels[name] === cell.labels[name]);
    const others = this.all.filter((other) => other.index === index && same(other, "dataset", "classifier", "seed") &&
      (same(other, "defense") || same(other, "attack", "threat", "eps")));
    const rows = others.map((other) => {
      const button = element("button", { type: "button" }, `${other.cell.labels.defense}`);
      button.addEventListener("click", () => this.go(other));
      return element("tr", other === entry ? { "aria-current": "true" } : {},
        element("td", {}, button),
        ...["attack", "threat", "eps"].map((name) => element("td", {}, other.cell.labels[name])),
        element("td", {}, other.image.purified),
        element("td", { class: classOf(other.image) }, `${signOf(other.image)} ${other.image.result}`));
    });
    const head = ["defense", "attack", "threat", "eps", "predicted", "result"].map((name) => element("th", { scope: "col" }, name));
    return element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "The same image elsewhere" },
      element("table", {}, element("caption", {}, "The same image under other attacks and behind other defenses"),
        element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows)));
  }

  canvas(entry, kind) {
    const { cell, index, image } = entry;
    const made = element("canvas", { width: cell.width, height: cell.height, role: "img",
      "aria-label": `${kind} image, true class ${image.truth}` });
    const place = cell.sheets[kind];
    if (!this.pictures.has(place)) {
      const picture = new Image();
      picture.src = this.data.sheets[place];
      this.pictures.set(place, picture.decode().then(() => picture));
    }
    this.pictures.get(place).then((picture) => {
      const part = [index * cell.width, 0, cell.width, cell.height];
      made.getContext("2d").drawImage(picture, ...part, 0, 0, cell.width, cell.height);
      made.dataset.drawn = "yes";
    });
    return made;
  }
}

function classOf(image) {
  return image.result.split(" ")[0];
}

function signOf(image) {
  return image.result === "held" ? "✓" : "✗";
}

function titleOf(cell) {
  const { defense, attack, threat, eps } = cell.labels;
  return `${defense}, ${attack} eps ${eps}, ${threat}`;
}

function outcomeOf({ image }) {
  const draws = image.draws > 1 ? ` (right in ${image.right_draws} of ${image.draws} draws)` : "";
  return (image.by ? `broken by ${image.by}` : image.result) + draws;
}

addEventListener("DOMContentLoaded", startImages);
