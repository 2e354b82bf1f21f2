// One item: why it has its score for the history, and which items are similar.

import { get, latestOnly, post } from "./api.js";
import {
  button,
  byId,
  colour,
  el,
  itemButton,
  percent,
  picture,
  score,
  shareBar,
  signed,
  tell,
  valueBar,
} from "./dom.js";
import { add, history, without } from "./history.js";
import { showInterest } from "./interests.js";

const signal = latestOnly();

/** Opens the sheet of an item. */
export async function showItem(card) {
  const dialog = byId("item");
  const why = el("div", { class: "why" });
  const similar = el("div", { class: "similar" });
  const close = () => dialog.close();
  dialog.replaceChildren(
    el(
      "div",
      { class: "bar" },
      el("h2", { id: "item-title" }, card.title || card.item),
      button("Close", close),
    ),
    el(
      "div",
      { class: "item-head" },
      picture(card),
      el(
        "div",
        {},
        el("p", { class: "key" }, card.item),
        button("Add to the history", () => {
          close();
          add(card);
        }),
      ),
    ),
    why,
    similar,
  );
  if (!dialog.open) {
    dialog.showModal();
  }
  dialog.scrollTop = 0;
  const read = history();
  const asked = signal();
  const tasks = [get("similar", { item: card.item, k: 12 }, asked).then(showSimilar(similar))];
  if (read.length > 0) {
    tasks.push(
      post("explain", { history: read, item: card.item, without: without() }, asked).then((found) =>
        why.replaceChildren(...explained(found)),
      ),
    );
  }
  await Promise.all(tasks).catch((error) => {
    if (error.name !== "AbortError") {
      close();
    }
    tell(error);
  });
}

/** Closes the sheet by a click beside it. */
export function startItem() {
  const dialog = byId("item");
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) {
      dialog.close();
    }
  });
}

function showSimilar(place) {
  return (found) => {
    const rows = found.similar.map((card) =>
      el(
        "li",
        { class: "row" },
        itemButton(card, () => showItem(card)),
        el("span", { class: "score" }, score(card.score)),
      ),
    );
    place.replaceChildren(el("h3", {}, "Similar items"), el("ul", { class: "found" }, ...rows));
  };
}

function explained(found) {
  const parts = Object.fromEntries(found.parts.map((part) => [part.name, part.share]));
  const largest = Math.max(...found.parts.map((part) => Math.abs(part.value)), 0);
  const rows = found.parts.map((part) =>
    line(part.name, part.value, largest, colour(part.name), percent(part.share)),
  );
  return [
    el("h3", {}, "Why this score"),
    el("p", {}, `Its score for this history is ${score(found.score)}.`),
    ...(rows.length > 0
      ? [
          el("p", { class: "quiet" }, "The parts add up to the score; the bar goes by their size."),
          el("div", {}, shareBar(parts)),
          el("ul", { class: "lines with-shares" }, ...rows),
        ]
      : []),
    ...ofHistory(found.history),
    ...ofInterests(found.interests),
  ];
}

function ofHistory(read) {
  const largest = Math.max(...read.map((row) => Math.abs(row.value ?? 0)), 0);
  const lines = read.map((row) =>
    row.value === null
      ? el("li", {}, el("span", { class: "name" }, row.title || row.item), "the only item")
      : line(row.title || row.item, row.value, largest),
  );
  return [
    el("h3", {}, "What each item of the history adds"),
    el("p", { class: "quiet" }, "The score less what it would be without the item."),
    el("ul", { class: "lines" }, ...lines),
  ];
}

function ofInterests(near) {
  if (near.length === 0) {
    return [];
  }
  const largest = Math.max(...near.map((row) => Math.abs(row.value)), 0);
  const lines = near.slice(0, 8).map((row) => {
    const label = `Interest ${row.name}`;
    const open = button(label, () => showInterest(Number(row.name)), { class: "link" });
    return line(el("span", {}, open, ` around ${row.title}`), row.value, largest);
  });
  return [
    el("h3", {}, "Interests of the history that it is near"),
    el("p", { class: "quiet" }, "The cosine of an interest and the item, the nearest first."),
    el("ul", { class: "lines" }, ...lines),
  ];
}

function line(name, value, largest, fill, more = "") {
  return el(
    "li",
    {},
    el("span", { class: "name" }, name),
    valueBar(value, largest, fill),
    el("span", { class: "number" }, signed(value)),
    more ? el("span", { class: "number quiet" }, more) : null,
  );
}
