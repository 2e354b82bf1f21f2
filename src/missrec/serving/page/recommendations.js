// What is recommended for the history, and what changes when something is left out.

import { latestOnly, post } from "./api.js";
import { byId, counted, el, itemButton, legendOf, number, score, shareBar, tell } from "./dom.js";
import { cameNext, history, leaveOutPart, onHistory, wholeHistory, without } from "./history.js";
import { showItem } from "./item.js";

const K = 12;
const signal = latestOnly();

/** Offers to leave out parts of the scores, and follows the history. */
export function startRecommendations(parts) {
  byId("without").append(...parts.map(choice));
  byId("legend").append(...legendOf(parts));
  onHistory(update);
  if (wholeHistory().length > 0) {
    update(); // who was quick has clicked already
  }
}

function choice(part) {
  const box = el("input", {
    type: "checkbox",
    onchange: () => {
      leaveOutPart(part, box.checked);
      // Without any part there is no score.
      const left = byId("without").querySelectorAll("input:not(:checked)");
      left.forEach((other) => other.toggleAttribute("disabled", left.length === 1));
    },
  });
  return el("label", {}, box, ` ${part}`);
}

async function update() {
  const whole = wholeHistory();
  const read = history();
  const isLessened = without().length > 0 || read.length < whole.length;
  const asked = signal();
  try {
    const [now, before] = await Promise.all([
      post("recommend", { history: read, k: K, without: without() }, asked),
      isLessened ? post("recommend", { history: whole, k: K }, asked) : null,
    ]);
    show(now.items, before?.items ?? null, whole);
    tellOfList(now.measures);
  } catch (error) {
    tell(error);
  }
}

function show(items, before, whole) {
  const places = new Map((before ?? []).map((card, place) => [card.item, place]));
  const there = new Set(items.map((card) => card.item));
  const inHistory = new Set(whole);
  const gone = (before ?? []).filter((card) => !there.has(card.item));
  byId("recommended").replaceChildren(
    ...items.map((card, place) =>
      recommended(card, place + 1, before && change(place, places.get(card.item)), inHistory),
    ),
  );
  byId("gone-items").replaceChildren(
    ...gone.map((card) => recommended(card, places.get(card.item) + 1, null, inHistory)),
  );
  byId("gone").hidden = gone.length === 0;
  byId("recommended-hint").hidden = whole.length > 0;
  byId("legend").hidden = items.length === 0;
  byId("without").hidden = whole.length === 0 || byId("without").querySelectorAll("input").length < 2;
  byId("changes").textContent = summary(items, places, before, whole);
}

function summary(items, places, before, whole) {
  const next = cameNext();
  const place = next === null ? -1 : items.findIndex((card) => card.item === next.item);
  const said = [];
  if (items.length === 0 && whole.length > 0) {
    said.push("Nothing is left to recommend for.");
  }
  if (before !== null) {
    const others = items.filter((card) => !places.has(card.item)).length;
    said.push(others === 0 ? "No other items than before." : `${others} of ${items.length} are new.`);
  }
  if (next !== null && items.length > 0) {
    said.push(
      place < 0
        ? `What came next is not among the first ${items.length}.`
        : `What came next is in place ${place + 1}.`,
    );
  }
  return said.join(" ");
}

/** How popular, how new and how different the items are, in words. */
function tellOfList(measures) {
  const said = aboutList(measures);
  byId("about-list").hidden = said.length === 0;
  byId("about-list")
    .querySelector("dl")
    .replaceChildren(...said.flatMap(([term, words]) => [el("dt", {}, term), el("dd", {}, words)]));
}

function aboutList({ popularity, mean_popularity: mean, novelty, ...others }) {
  const said = [];
  if (popularity !== undefined) {
    const often = `on average its items have been had ${counted(rounded(popularity), "time")}`;
    said.push(["Popularity", `${often}; any item ${counted(rounded(mean), "time")}.`]);
    const users = number(Math.round(2 ** novelty));
    said.push(["Novelty", `${novelty.toFixed(1)} bits: about one user in ${users} has had such an item.`]);
  }
  const diversity = Object.entries(others).map(
    ([name, value]) => `${value.toFixed(2)} by ${name.replace("diversity_", "")}`,
  );
  if (diversity.length > 0) {
    const scale = "0 where all items are alike, 1 where they share nothing";
    said.push(["Diversity", `${diversity.join(", ")}; ${scale}.`]);
  }
  return said;
}

/** With one digit behind the point where that tells something. */
const rounded = (value) => (value < 10 ? Math.round(value * 10) / 10 : Math.round(value));

/** How a place differs from the one before: a sign, and words. */
function change(place, earlier) {
  if (earlier === undefined) {
    return ["new", "new", "new"];
  }
  const up = earlier - place;
  const steps = `${Math.abs(up)} ${Math.abs(up) === 1 ? "place" : "places"}`;
  if (up === 0) {
    return ["=", "same place", "same"];
  }
  return up > 0 ? [`▲ ${up}`, `${steps} up`, "up"] : [`▼ ${-up}`, `${steps} down`, "down"];
}

function recommended(card, rank, changed, inHistory) {
  const [sign, words, kind] = changed ?? [];
  const badges = [
    changed ? el("span", { class: `change ${kind}`, title: words }, sign) : null,
    card.item === cameNext()?.item ? el("span", { class: "badge" }, "came next") : null,
    inHistory.has(card.item) ? el("span", { class: "badge" }, "left out") : null,
  ];
  return el(
    "li",
    { class: "row" },
    el("span", { class: "rank" }, String(rank)),
    itemButton(card, () => showItem(card)),
    el("span", { class: "badges" }, ...badges),
    el(
      "span",
      { class: "scored" },
      el("span", { class: "score" }, score(card.score)),
      shareBar(card.shares),
    ),
  );
}
