// The part of the address after the #: written on navigation, and followed for links and the back button.

function render({ model }) {
  const here = () => decodeURIComponent(location.hash.slice(1));
  const arrive = () => {
    if (here() === model.get("place")) return;
    model.set("place", here());
    model.save_changes();
  };
  const write = () => {
    const place = model.get("place");
    if (here() === place) return;
    const stays = here().split("/")[0] === place.split("/")[0]; // the back button goes from page to page
    history[stays ? "replaceState" : "pushState"](null, "", "#" + place.split("/").map(encodeURIComponent).join("/"));
  };
  addEventListener("hashchange", arrive);
  addEventListener("popstate", arrive);
  model.on("change:place", write);
  if (location.hash) arrive();
  else history.replaceState(null, "", "#" + model.get("place"));
  return () => {
    removeEventListener("hashchange", arrive);
    removeEventListener("popstate", arrive);
    model.off("change:place", write);
  };
}

export default { render };
