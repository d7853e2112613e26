/**
 * The state of the page in its address: `#SECTION?SCOPE.KEY=VALUE&...`, so that a link leads to the
 * same section, sorting, filters and budgets. A scope is the name of a table or a figure.
 */
const links = {
  /** The part of the address before the state: the section or table that the page is scrolled to. */
  place() {
    return location.hash.slice(1).split("?")[0];
  },

  /** All values of the state. */
  state() {
    return new URLSearchParams(location.hash.split("?").slice(1).join("?"));
  },

  /** A value of the state; null where it has none. */
  get(scope, key) {
    return links.state().get(`${scope}.${key}`);
  },

  /** The keys of a scope that have values. */
  keys(scope) {
    const start = `${scope}.`;
    return [...links.state().keys()].filter((key) => key.startsWith(start)).map((key) => key.slice(start.length));
  },

  /** Note a value in the address; an empty one is taken out. */
  set(scope, key, value) {
    const state = links.state();
    if (value === "" || value === null) state.delete(`${scope}.${key}`);
    else state.set(`${scope}.${key}`, value);
    const text = state.toString();
    history.replaceState(null, "", `#${links.place()}${text ? `?${text}` : ""}`);
  },

  /** Scroll to the place in the address, which a browser does not find with a state behind it. */
  follow() {
    const target = document.getElementById(decodeURIComponent(links.place()));
    if (target) target.scrollIntoView();
  },
};

document.addEventListener("click", (event) => {
  const anchor = event.target.closest("a[href^='#']");
  if (!anchor) return;
  event.preventDefault();
  const text = links.state().toString();
  history.pushState(null, "", `${anchor.getAttribute("href")}${text ? `?${text}` : ""}`);
  links.follow();
  const target = document.getElementById(links.place());
  if (target) target.setAttribute("tabindex", "-1"), target.focus({ preventScroll: true });
});
addEventListener("popstate", () => links.follow());
addEventListener("load", () => links.follow());
