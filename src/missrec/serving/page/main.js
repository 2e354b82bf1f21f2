// The page: what there is to explore, and its two views.

import { get } from "./api.js";
import { byId, counted, setParts, tell } from "./dom.js";
import { startFinding } from "./find.js";
import { startHistory } from "./history.js";
import { loadInterests, startInterests } from "./interests.js";
import { startItem } from "./item.js";
import { startRecommendations } from "./recommendations.js";

const VIEWS = ["recommend", "interests"];

startHistory();
startItem();
startFinding();
get("about").then(start).catch(tell);

function start(about) {
  setParts(about.parts.length > 0 ? about.parts : about.modalities);
  byId("about").textContent = described(about);
  byId("about").title = `${about.model} on ${about.catalogue}`;
  document.title = `${name(about.catalogue)} – MISSRec explorer`;
  startRecommendations(about.parts);
  startInterests(about.modalities);
  byId("to-interests").hidden = about.interests === 0;
  addEventListener("hashchange", () => show(about));
  show(about);
}

/** Shows the view of the address; another address, such as that of the skip link, changes none. */
function show(about) {
  const asked = location.hash.slice(1) || VIEWS[0];
  if (!VIEWS.includes(asked)) {
    return;
  }
  const view = about.interests > 0 ? asked : VIEWS[0];
  for (const name of VIEWS) {
    byId(`view-${name}`).hidden = name !== view;
    const link = byId(`to-${name}`);
    name === view ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current");
  }
  if (view === "interests") {
    loadInterests();
  }
}

function described(about) {
  const counts = [
    [about.items, "item"],
    [about.users, "user"],
    [about.pictures, "picture"],
    [about.interests, "interest"],
  ];
  const shown = counts.filter(([count]) => count > 0);
  const said = shown.map(([count, what]) => counted(count, what)).join(", ");
  return `${name(about.model)} on ${name(about.catalogue)}: ${said}`;
}

/** A version without its checksum. */
function name(version) {
  return version.split("@")[0];
}
