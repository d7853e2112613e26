/** Buttons that copy the text of the element they name. */
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // A page that was opened from a file may have no clipboard; the old way needs a selection.
    const area = element("textarea", { class: "offscreen" });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  await copyText(document.getElementById(button.dataset.copy).textContent);
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = "Copy"), 1500);
});
