/** Dark or light: as the system asks, until the switch says otherwise. */
const theme = {
  isDark() {
    const chosen = document.documentElement.dataset.theme;
    return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  },

  /** A color of the style sheet, such as `--ink`. */
  color(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  },

  /** Show the theme on its switch, and have the figures drawn anew. */
  show() {
    document.getElementById("theme").setAttribute("aria-pressed", String(theme.isDark()));
    document.dispatchEvent(new Event("themechange"));
  },
};

document.getElementById("theme").addEventListener("click", () => {
  document.documentElement.dataset.theme = theme.isDark() ? "light" : "dark";
  theme.show();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => theme.show());
addEventListener("DOMContentLoaded", () => theme.show());
