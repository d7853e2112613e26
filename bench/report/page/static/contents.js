/** The table of contents shows which section is being read. */
addEventListener("DOMContentLoaded", () => {
  const anchors = new Map([...document.querySelectorAll("nav a")].map((anchor) => [anchor.hash.slice(1), anchor]));
  const watch = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const anchor = anchors.get(target.id);
      anchor.classList.toggle("here", isIntersecting);
      if (isIntersecting) anchor.setAttribute("aria-current", "location");
      else anchor.removeAttribute("aria-current");
    }
  }, { rootMargin: "-20% 0px -70% 0px" });
  for (const section of document.querySelectorAll("main > section")) watch.observe(section);
});
