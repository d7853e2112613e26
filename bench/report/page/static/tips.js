/** Tips: what a mark or a short name means, on hover and on keyboard focus. Escape hides them. */
const tips = {
  target: null,

  show(target) {
    tips.hide();
    tips.target = target;
    const tip = document.getElementById("tip");
    tip.textContent = target.dataset.tip;
    tip.hidden = false;
    target.setAttribute("aria-describedby", "tip");
    tips.place();
  },

  /** Below its target, or above where there is no room. */
  place() {
    if (!tips.target) return;
    const tip = document.getElementById("tip");
    const box = tips.target.getBoundingClientRect();
    const left = Math.min(box.left, document.documentElement.clientWidth - tip.offsetWidth - 8);
    const below = box.bottom + 6;
    const fits = below + tip.offsetHeight < innerHeight;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${fits ? below : Math.max(8, box.top - tip.offsetHeight - 6)}px`;
  },

  hide() {
    document.getElementById("tip").hidden = true;
    tips.target?.removeAttribute("aria-describedby");
    tips.target = null;
  },
};

for (const [show, hide] of [["mouseover", "mouseout"], ["focusin", "focusout"]]) {
  document.addEventListener(show, (event) => {
    const target = event.target.closest?.("[data-tip]");
    if (target) tips.show(target);
  });
  document.addEventListener(hide, (event) => event.target.closest?.("[data-tip]") && tips.hide());
}
document.addEventListener("keydown", (event) => event.key === "Escape" && tips.hide());
addEventListener("scroll", tips.place, { passive: true, capture: true });
