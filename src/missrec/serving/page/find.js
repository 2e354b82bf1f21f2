// Finding items by their titles, and users by their keys.

import { get, latestOnly } from "./api.js";
import { button, byId, counted, debounced, el, itemButton, tell } from "./dom.js";
import { add, takeUser } from "./history.js";
import { showItem } from "./item.js";

/** Listens to the searches, and shows what there is before anything is asked for. */
export function startFinding() {
  search("item", "items", (found) => {
    byId("items").replaceChildren(...found.items.map(shownItem));
    byId("items-found").textContent = summary(found.total, found.items.length, "item");
  });
  search("user", "users", (found) => {
    byId("users").replaceChildren(...found.users.map(shownUser));
    byId("users-found").textContent = summary(found.total, found.users.length, "user");
  });
}

/** Asks whenever the text changes, and once now. */
function search(what, path, show) {
  const signal = latestOnly();
  const field = byId(`${what}-text`);
  const ask = () =>
    get(path, { text: field.value.trim(), limit: field.value.trim() ? 12 : 6 }, signal())
      .then(show)
      .catch(tell);
  field.addEventListener("input", debounced(ask));
  byId(`${what}-search`).addEventListener("submit", (event) => {
    event.preventDefault();
    ask();
  });
  ask();
}

function shownItem(card) {
  return el(
    "li",
    { class: "row" },
    itemButton(card, () => showItem(card)),
    button("Add", () => add(card), { "aria-label": `Add ${card.title} to the history` }),
  );
}

function shownUser(user) {
  return el("li", {}, button(user, () => takeUser(user), { "aria-label": `Take user ${user}` }));
}

function summary(total, shown, what) {
  const some = counted(total, what);
  return shown < total ? `${some}, the first ${shown}:` : some;
}
