/** The cards of one budget at a time. */
addEventListener("DOMContentLoaded", () => {
  const tools = document.getElementById("decision-tools");
  if (!tools) return;

  const { budgets } = dataOf("decision");
  const cards = [...document.querySelectorAll(".budget")];
  const show = () => cards.forEach((group, index) => (group.hidden = !choice.matches(budgets[index])));
  const choice = new BudgetChoice("decision", tools, budgets, show);
  show();
});
