/** The values of a section, as its generator gave them. */
function dataOf(id) {
  return JSON.parse(document.getElementById(`${id}-data`).textContent);
}

/** An element with attributes and children; texts are shown as they are. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name in made && typeof value !== "string") made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}
