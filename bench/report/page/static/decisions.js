/** The cards of one budget at a time; the slider has them in the order of the run. */
addEventListener("DOMContentLoaded", () => {
  const tools = document.getElementById("decision-tools");
  const budgets = [...document.querySelectorAll("[data-budget]")];
  if (!tools || budgets.length < 2) return;

  const titles = budgets.map((budget) => budget.dataset.budget);
  const show = () => budgets.forEach((budget, index) => (budget.hidden = index !== Number(slider.value)));
  const { label, slider } = sliderControl("decision", "budget", "Budget", titles, show);
  tools.append(label);
  show();
});
