// A heading that can be led to: whoever pressed a button far above sees what came of it, and hears it read.

function render({ model, el }) {
  const heading = document.createElement("h3");
  heading.tabIndex = -1;
  el.append(heading);
  const tell = () => { heading.textContent = model.get("title"); };
  // After the page has laid out what came with it.
  const lead = () => requestAnimationFrame(() => {
    heading.scrollIntoView({ block: "start" });
    heading.focus({ preventScroll: true });
  });
  model.on("change:title", tell);
  model.on("msg:custom", lead);
  tell();
  return () => {
    model.off("change:title", tell);
    model.off("msg:custom", lead);
  };
}

export default { render };
