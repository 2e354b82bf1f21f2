// The interests that the model has found: a map, the largest, one with its items, the epochs.

import { get, latestOnly } from "./api.js";
import { button, byId, counted, el, itemButton, legendOf, mixed, number, shareBar, tell } from "./dom.js";
import { showItem } from "./item.js";
import { dots, line, short } from "./plots.js";

const AT_ONCE = 12;
const signal = latestOnly();
let modalities = [];
let loading = null;

/** Says which modalities there are. */
export function startInterests(all) {
  modalities = all;
}

/** Draws map, list and epochs when they are first looked at. */
export function loadInterests() {
  loading ??= get("interests")
    .then((found) => {
      byId("map-legend").replaceChildren(...legendOf(modalities));
      drawMaps(found);
      byId("interest-list").replaceChildren(
        ...inSteps(el("ol", { class: "interests" }), found.interests, listed),
      );
      drawEpochs(found.epochs);
    })
    .catch((error) => {
      loading = null;
      tell(error);
    });
  return loading;
}

/** Opens one interest in the view of interests. */
export async function showInterest(interest) {
  byId("item").close();
  location.hash = "#interests";
  try {
    await loadInterests();
    const found = await get("interest", { number: interest, limit: 60 }, signal());
    mark(interest);
    byId("interest-heading").textContent = `Interest ${interest}`;
    byId("interest").replaceChildren(
      el("p", {}, `${counted(found.size, "token")} of ${counted(found.total, "item")}.`),
      el("div", { class: "of-interest" }, shareBar(found.shares), shareText(found.shares)),
      el("h3", {}, "Its items, the most central first"),
      ...inSteps(el("ul", { class: "cards" }), found.items, member),
    );
    byId("interest-heading").focus({ preventScroll: true });
    byId("interest-heading").scrollIntoView({ block: "nearest" });
  } catch (error) {
    tell(error);
  }
}

/** The map of the tested model, and before it those of the epochs, where they were noted. */
function drawMaps(found) {
  const slider = byId("epoch");
  const { maps } = found;
  const all = maps.flatMap((map) => map.interests);
  const show = () => {
    const map = maps[Number(slider.value)];
    const said = map ? `as epoch ${map.epoch} began, on the plane of the first` : "as tested";
    byId("epoch-shown").value = said;
    slider.setAttribute("aria-valuetext", said);
    byId("map").replaceChildren(map ? mapOfEpoch(map, all) : mapOfTested(found));
  };
  byId("map-epoch").hidden = maps.length === 0;
  slider.max = maps.length;
  slider.value = maps.length;
  slider.addEventListener("input", show);
  show();
}

function mapOfTested(found) {
  const shown = found.interests;
  const which = shown.length < found.total ? `the ${number(shown.length)} largest of ` : "";
  return dots(shown, {
    label: `Map of ${which}${counted(found.total, "interest")}; the list has them by size`,
    fill: (point) => mixed(point.shares),
    title: (point) => `Interest ${point.interest}, ${counted(point.size, "token")}: ${point.title}`,
    onclick: (point) => showInterest(point.interest),
  });
}

/** Which items an interest had then is not known, so a click does nothing. */
function mapOfEpoch(map, all) {
  return dots(map.interests, {
    label: `Map of the ${counted(map.interests.length, "largest interest")} of epoch ${map.epoch}`,
    fill: (point) => mixed(point.shares),
    title: (point) => counted(point.size, "token"),
    within: all,
  });
}

/** A list of which the first are shown, and a button that shows more. */
function inSteps(list, all, shown) {
  let place = 0;
  const more = button("Show more", () => {
    const some = all.slice(place, place + AT_ONCE).map(shown);
    const isFirst = place === 0;
    list.append(...some);
    place += some.length;
    more.hidden = place >= all.length;
    if (!isFirst) {
      some[0].querySelector("button").focus();
    }
  });
  more.click();
  return [list, more];
}

function listed(interest) {
  const label = `Interest ${interest.interest} of size ${number(interest.size)}: ${interest.title || interest.item}`;
  const open = () => showInterest(interest.interest);
  return el(
    "li",
    {},
    el(
      "button",
      { type: "button", onclick: open, "aria-label": label, "data-interest": interest.interest },
      el("span", { class: "size" }, number(interest.size)),
      " ",
      el("span", { class: "title" }, interest.title || interest.item),
      shareBar(interest.shares),
    ),
  );
}

function member(card) {
  return el(
    "li",
    { class: "card" },
    itemButton(card, () => showItem(card)),
    el("span", { class: "badges" }, ...card.modalities.map((name) => el("span", { class: "badge" }, name))),
  );
}

function shareText(shares) {
  const parts = Object.entries(shares).filter(([, share]) => share > 0);
  return el("span", { class: "quiet" }, parts.map(([name, share]) => `${Math.round(100 * share)} % ${name}`).join(", "));
}

/** Shows which interest is open, on the map and in the list. */
function mark(interest) {
  for (const place of document.querySelectorAll("[data-interest]")) {
    const isThis = Number(place.dataset.interest) === interest;
    place.classList.toggle("chosen", isThis);
    if (place.localName === "button") {
      isThis ? place.setAttribute("aria-current", "true") : place.removeAttribute("aria-current");
    }
  }
}

const NAMES = { live: "Live interests", drift: "Drift", alpha: "Fusion, alpha" };

function drawEpochs(epochs) {
  const names = Object.keys(NAMES).filter((name) => epochs.some((row) => (row[name] ?? null) !== null));
  byId("epochs").hidden = names.length === 0;
  byId("epoch-plots").replaceChildren(
    ...names.map((name) => el("figure", {}, el("figcaption", {}, NAMES[name]), line(epochs, name))),
  );
  const heads = ["epoch", ...names];
  const rows = epochs.map((row) =>
    el("tr", {}, ...heads.map((name) => el("td", {}, row[name] === null ? "–" : short(row[name])))),
  );
  byId("epoch-table").replaceChildren(
    el(
      "table",
      {},
      el("thead", {}, el("tr", {}, ...heads.map((name) => el("th", { scope: "col" }, NAMES[name] ?? "Epoch")))),
      el("tbody", {}, ...rows),
    ),
  );
}
