// Keyboard shortcuts while the panel has the focus, except in text fields.
// They are captured before the surrounding page: in JupyterLab a second "d" would delete the cell.
// Clicks on the buttons of the same decisions (class "wb-says-s") are handled here too, since only the browser knows which
// pair was shown; the second click of a double click would decide about the next pair.

const typing = (target) => target.closest("input, textarea, select, [contenteditable]:not([contenteditable=false])");

function render({ model, el }) {
  let panel = null;
  let waiting = 0;
  const box = document.createElement("div");
  box.className = "wb-keys";
  box.tabIndex = 0;
  box.setAttribute("role", "note");
  el.append(box);

  const tell = () => {
    const at = document.activeElement;
    const on = Boolean(panel && panel.contains(at) && !typing(at));
    box.classList.toggle("wb-on", on);
    box.classList.toggle("wb-held", !model.get("of")); // another pair is about to be shown
    box.textContent = (on ? "Keys are on: " : "Keys are off; click here to turn them on: ") + model.get("about");
  };
  const pressed = (event) => {
    const at = event.target;
    if (!panel || !(at instanceof Element) || !panel.contains(at) || event.isComposing) return;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (typing(at)) {
      // From the remark back to the shortcuts.
      if (event.key === "Escape" || (event.key === "Enter" && at.closest(".wb-remark"))) {
        event.preventDefault();
        event.stopImmediatePropagation();
        box.focus({ preventScroll: true });
      }
      return;
    }
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (!model.get("known").includes(key)) return;
    if (key.startsWith("Arrow") && at.closest(".wb-choose, .wb-scroll")) return; // tables use the arrow keys themselves
    event.preventDefault();
    event.stopImmediatePropagation();
    if (!event.repeat) model.send({ key, about: model.get("of") });
  };
  const clicked = (event) => {
    const button = event.target instanceof Element && event.target.closest("button[class*='wb-says-']");
    if (!panel || !button || !panel.contains(button)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    const key = button.className.match(/wb-says-(\S+)/)[1];
    if (event.detail < 2) model.send({ key, about: model.get("of") });
  };
  const focus = (message) => {
    const at = document.activeElement;
    if (message.focus && !(at && typing(at))) box.focus({ preventScroll: true }); // but never while somebody types
  };
  const begin = () => {
    panel = el.closest(".wb-panel");
    if (!panel) {
      waiting = requestAnimationFrame(begin);
      return;
    }
    if (!panel.hasAttribute("tabindex")) panel.tabIndex = -1; // so that a click anywhere focuses it
    tell();
  };

  window.addEventListener("keydown", pressed, true);
  window.addEventListener("click", clicked, true);
  document.addEventListener("focusin", tell);
  document.addEventListener("focusout", tell);
  model.on("change:about change:of", tell);
  model.on("msg:custom", focus);
  tell();
  begin();
  return () => {
    cancelAnimationFrame(waiting);
    window.removeEventListener("keydown", pressed, true);
    window.removeEventListener("click", clicked, true);
    document.removeEventListener("focusin", tell);
    document.removeEventListener("focusout", tell);
    model.off("change:about change:of", tell);
    model.off("msg:custom", focus);
  };
}

export default { render };
