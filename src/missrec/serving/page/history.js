// The history that recommendations are for: what is in it, and what is left out for a while.

import { get } from "./api.js";
import { button, byId, counted, el, itemButton, tell } from "./dom.js";
import { showItem } from "./item.js";

const changed = new Set();
let entries = []; // {card, out}, oldest first
let next = null; // what a user had after it
let earlier = 0; // items of a user that are not shown
const withoutParts = new Set(); // of the scores

/** Calls a function whenever the history changes. */
export function onHistory(call) {
  changed.add(call);
}

/** Keys of all items. */
export const wholeHistory = () => entries.map((entry) => entry.card.item);

/** Keys of the items that are not left out. */
export const history = () =>
  entries.filter((entry) => !entry.out).map((entry) => entry.card.item);

/** The parts of scores that are left out. */
export const without = () => [...withoutParts];

/** Leaves a part of the scores out, or takes it in again. */
export function leaveOutPart(part, out) {
  out ? withoutParts.add(part) : withoutParts.delete(part);
  tellOthers();
}

/** The item that the user had next, where the history is a user's. */
export const cameNext = () => next;

/** Puts an item at the end. */
export function add(card) {
  entries.push({ card, out: false });
  next = next?.item === card.item ? null : next;
  show();
  const many = counted(entries.length, "item");
  byId("added").textContent = `${card.title || card.item} is in the history now, of ${many}.`;
}

/** Takes a user's history in the place of what there is. */
export async function takeUser(user) {
  try {
    const taken = await get("user", { user });
    entries = taken.history.map((card) => ({ card, out: false }));
    next = taken.next;
    earlier = taken.earlier;
    show();
    byId("added").textContent = "";
    byId("history-panel").scrollIntoView({ block: "nearest" });
  } catch (error) {
    tell(error);
  }
}

/** Listens to what belongs to the history. */
export function startHistory() {
  byId("clear").addEventListener("click", () => {
    entries = [];
    next = null;
    earlier = 0;
    show();
    byId("item-text").focus();
  });
}

function show() {
  byId("history").replaceChildren(...entries.map(shown));
  byId("history-hint").hidden = entries.length > 0;
  byId("earlier").textContent = earlier > 0 ? `Left away: ${counted(earlier, "earlier item")}.` : "";
  byId("clear").hidden = entries.length === 0;
  byId("next").hidden = next === null;
  if (next !== null) {
    byId("next").replaceChildren(
      "Came next: ",
      button(next.title || next.item, () => showItem(next), { class: "link" }),
      " ",
      button("Add", () => add(next), { "aria-label": `Add ${next.title} to the history` }),
    );
  }
  tellOthers();
}

function tellOthers() {
  for (const call of changed) {
    call();
  }
}

function shown(entry, place) {
  const { card } = entry;
  const leaveOut = () => {
    entry.out = !entry.out;
    show();
    byId("history").children[place].querySelector("[aria-pressed]").focus();
  };
  const remove = () => {
    entries = entries.filter((other) => other !== entry);
    show();
    const left = byId("history").children;
    (left[Math.min(place, left.length - 1)]?.querySelector("button") ?? byId("item-text")).focus();
  };
  return el(
    "li",
    { class: entry.out ? "card out" : "card" },
    itemButton(card, () => showItem(card)),
    el(
      "span",
      { class: "actions" },
      button("Leave out", leaveOut, {
        "aria-pressed": String(entry.out),
        "aria-label": `Leave out ${card.title}`,
      }),
      button("Remove", remove, { "aria-label": `Remove ${card.title}` }),
    ),
  );
}
