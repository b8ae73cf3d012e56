// A heading to scroll to and focus: the result of a button far above is seen, and read by screen readers.

function render({ model, el }) {
  const heading = document.createElement("h3");
  heading.tabIndex = -1;
  el.append(heading);
  const tell = () => { heading.textContent = model.get("title"); };
  // After the page has laid out the new content.
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
