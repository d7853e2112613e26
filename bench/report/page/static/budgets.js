/**
 * The choice of a budget among rows with the labels of one: a list for each label of which there are
 * several values, and a slider over the epsilons that are left. It starts at the decisive epsilon.
 */
class BudgetChoice {
  static keys = ["dataset", "classifier", "norm", "seed"];

  constructor(scope, tools, rows, changed, keys = BudgetChoice.keys) {
    Object.assign(this, { scope, rows, changed });
    this.place = element("span", { class: "place" });
    this.choices = keys
      .filter((key) => distinct(rows, key).length > 1)
      .map((key) => [key, selectControl(scope, key, key, distinct(rows, key), () => this.choose())]);
    tools.append(...this.choices.map(([, { label }]) => label), this.place);
    this.addSlider();
  }

  /** A list was changed: the epsilons may be others. */
  choose() {
    links.set(this.scope, "eps", "");
    this.addSlider();
    this.changed();
  }

  addSlider() {
    const rows = this.rows.filter((row) => this.isChosen(row));
    this.epsilons = distinct(rows, "eps").sort((a, b) => a - b);
    const first = this.epsilons.indexOf(rows.find((row) => row.decisive)?.eps);
    this.slider = sliderControl(this.scope, "eps", "epsilon", this.epsilons, first, () => this.changed());
    this.place.replaceChildren(...(this.epsilons.length > 1 ? [this.slider.label] : []));
  }

  isChosen(row) {
    return this.choices.every(([key, { select }]) => String(row[key]) === select.value);
  }

  /** Whether a row is under the chosen budget. */
  matches(row) {
    return this.isChosen(row) && row.eps === this.epsilons[this.slider.slider.value];
  }
}
