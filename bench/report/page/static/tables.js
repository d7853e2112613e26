/**
 * Tables that sort by a click on a heading or the Enter key, filter by text and by the values of a
 * column, and hide columns. What was chosen stands in the address under the table's name.
 */
class PageTable {
  constructor(figure) {
    this.scope = figure.id;
    this.headings = [...figure.querySelectorAll("thead th")];
    this.body = figure.querySelector("tbody");
    this.rows = [...this.body.rows].map((row) => ({
      row,
      texts: [...row.cells].map((cell) => cell.textContent.trim()),
    }));
    this.tools = figure.querySelector(".tools");
    this.count = element("output", { class: "count" });
    this.filters = [];

    this.markNumbers();
    this.addSorting();
    this.addFilters();
    this.addColumns();
    this.tools.append(this.count);
    this.show();
  }

  /** Numbers stand on the right, where every text of a column is a number or empty. */
  markNumbers() {
    this.headings.forEach((heading, index) => {
      const texts = this.rows.map(({ texts }) => texts[index]).filter((text) => text);
      if (!texts.length || !texts.every((text) => Number.isFinite(leadingNumber(text)) || text === "inf")) return;
      heading.classList.add("number");
      for (const { row } of this.rows) row.cells[index].classList.add("number");
    });
  }

  addSorting() {
    this.headings.forEach((heading, index) => {
      const button = element("button", { type: "button", class: "sort" }, heading.textContent);
      heading.replaceChildren(button);
      button.addEventListener("click", () => {
        const next = { none: "ascending", ascending: "descending", descending: "none" };
        const order = next[heading.getAttribute("aria-sort") ?? "none"];
        links.set(this.scope, "sort", order === "none" ? "" : `${index}${order === "ascending" ? "" : "d"}`);
        this.show();
      });
    });
  }

  addFilters() {
    const search = element("input", { type: "search", placeholder: "Filter rows" });
    search.setAttribute("aria-label", "Filter rows by text");
    search.value = links.get(this.scope, "q") ?? "";
    search.addEventListener("input", () => {
      links.set(this.scope, "q", search.value);
      this.show();
    });
    this.tools.append(search);

    this.headings.forEach((heading, index) => {
      const values = distinct(this.rows.map(({ texts }) => ({ text: texts[index] })), "text");
      if (!("filtered" in heading.dataset) || values.length < 2 || values.length > 60) return;
      const title = heading.textContent;
      const { label, select } = selectControl(this.scope, `is${index}`, title, ["any", ...values], () => this.show());
      this.filters.push({ index, select });
      this.tools.append(label);
    });
  }

  addColumns() {
    const list = element("div", { class: "list" });
    this.boxes = this.headings.map((heading, index) => {
      const box = element("input", { type: "checkbox" });
      box.addEventListener("change", () => {
        const hidden = this.boxes.flatMap((each, number) => (each.checked ? [] : [number]));
        links.set(this.scope, "hide", hidden.length ? hidden.join(".") : "none");
        this.show();
      });
      list.append(element("label", {}, box, ` ${heading.textContent}`));
      return box;
    });
    const noted = links.get(this.scope, "hide");
    const hidden = noted === null ? null : noted.split(".").map(Number);
    this.boxes.forEach((box, index) => {
      box.checked = hidden ? !hidden.includes(index) : !("folded" in this.headings[index].dataset);
    });
    this.tools.append(element("details", { class: "menu" }, element("summary", {}, "Columns"), list));
  }

  show() {
    this.showOrder();
    this.showRows();
    this.boxes.forEach((box, index) => {
      for (const cell of [this.headings[index], ...this.rows.map(({ row }) => row.cells[index])]) {
        cell.hidden = !box.checked;
      }
    });
  }

  showOrder() {
    const [, index, descending] = /^(\d+)(d?)$/.exec(links.get(this.scope, "sort") ?? "") ?? [];
    this.headings.forEach((heading, number) => {
      const order = descending ? "descending" : "ascending";
      heading.setAttribute("aria-sort", String(number) === index ? order : "none");
    });
    const ordered = index in this.headings ? this.rows.toSorted((a, b) => compareTexts(a.texts[index], b.texts[index], descending)) : this.rows;
    this.body.append(...ordered.map(({ row }) => row));
  }

  showRows() {
    const words = (links.get(this.scope, "q") ?? "").toLowerCase();
    let shown = 0;
    for (const { row, texts } of this.rows) {
      const chosen = this.filters.every(({ index, select }) => !select.selectedIndex || texts[index] === select.value);
      row.hidden = !(chosen && texts.join(" ").toLowerCase().includes(words));
      shown += !row.hidden;
    }
    this.count.textContent = shown === this.rows.length ? `${shown} rows` : `${shown} of ${this.rows.length} rows`;
  }
}

/** The number that a text starts with, such as that before an interval; NaN where it has none. */
function leadingNumber(text) {
  if (/^[+-]?inf\b/.test(text)) return text.startsWith("-") ? -Infinity : Infinity;
  const found = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?(?=[\s%=?!±]|$)/i.exec(text.replace("\u2212", "-"));
  return found ? Number(found[0]) : NaN;
}

/** The order of two texts: numbers by value and before texts, empty ones last in either order. */
function compareTexts(one, other, descending) {
  if (!one || !other) return Number(!one) - Number(!other);
  const [a, b] = [leadingNumber(one), leadingNumber(other)];
  const isText = Number(Number.isNaN(a)) - Number(Number.isNaN(b));
  const order = isText || (Number.isNaN(a) ? one.localeCompare(other, "en", { numeric: true }) : a - b || 0);
  return descending ? -order : order;
}

addEventListener("DOMContentLoaded", () => {
  for (const figure of document.querySelectorAll("[data-table]")) new PageTable(figure);
});
