// Elements. Texts of a catalogue become text nodes and attributes, never markup.

import { pictureAddress } from "./api.js";

const SVG = "http://www.w3.org/2000/svg";

/** An element with properties and children; a property `on…` listens, the others are attributes. */
export function el(tag, properties = {}, ...children) {
  return filled(document.createElement(tag), properties, children);
}

/** The same for a drawing. */
export function svg(tag, properties = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), properties, children);
}

export const byId = (id) => document.getElementById(id);

/** Calls a function once nothing has happened for a moment. */
export function debounced(call, milliseconds = 150) {
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(call, milliseconds);
  };
}

/** Says what went wrong; an answer that nobody waits for any more is no problem. */
export function tell(error) {
  if (error.name !== "AbortError") {
    byId("problem").textContent = error.message;
  }
}

export const number = (value) => value.toLocaleString("en");
/** A number of things, whose name gets an s unless there is one. */
export const counted = (count, name) => `${number(count)} ${name}${count === 1 ? "" : "s"}`;
export const score = (value) => value.toFixed(3);
export const percent = (share) => `${Math.round(share * 100)} %`;
export const signed = (value) => {
  const size = Math.abs(value).toFixed(3);
  return Number(size) === 0 ? size : `${value < 0 ? "−" : "+"}${size}`;
};

/** The picture of an item, or a plain tile where there is none. */
export function picture(card) {
  const tile = el("span", { class: "picture" });
  if (card.picture) {
    const image = el("img", { alt: `Picture of ${card.title}`, loading: "lazy", decoding: "async" });
    image.addEventListener("error", () => image.replaceWith(initial(card)), { once: true });
    pictureAddress(card.item).then((address) => {
      image.src = address;
    }, tell);
    tile.append(image);
  } else {
    tile.append(initial(card));
  }
  return tile;
}

/** Title and key of an item. */
function names(card) {
  return el(
    "span",
    { class: "names" },
    el("span", { class: "title", title: card.title }, card.title || card.item),
    " ",
    el("span", { class: "key" }, card.item),
  );
}

/** A button. */
export function button(label, onclick, properties = {}) {
  return el("button", { type: "button", onclick, ...properties }, label);
}

/** An item as a button, with its picture, its title and its key; its name has what it shows. */
export function itemButton(card, onclick) {
  const label = `About ${card.title || card.item} ${card.item}`;
  const properties = { type: "button", class: "item", onclick, "aria-label": label };
  return el("button", properties, picture(card), names(card));
}

let order = [];

/** Says which parts scores have; each keeps its colour. */
export function setParts(parts) {
  order = parts.filter((part) => part !== "id" && part !== "bias");
}

/** The colour of a part, as CSS. */
export function colour(part) {
  const place = order.indexOf(part);
  return place < 0 ? `var(--part-${part})` : `var(--part-${place % 4})`;
}

/** The colour of a mixture of parts. */
export function mixed(shares) {
  let total = 0;
  let found = "";
  for (const [part, share] of Object.entries(shares)) {
    total += share;
    if (share > 0) {
      const own = (100 * share) / total;
      found = found ? `color-mix(in oklab, ${colour(part)} ${own}%, ${found})` : colour(part);
    }
  }
  return found || "var(--quiet)";
}

/** A bar of shares that add up to 1; its text names them. Nothing where there are none. */
export function shareBar(shares) {
  const parts = Object.entries(shares).filter(([, share]) => share > 0);
  if (parts.length === 0) {
    return null;
  }
  const label = parts.map(([part, share]) => `${part} ${percent(share)}`).join(", ");
  const bar = el("span", { class: "shares", role: "img", "aria-label": label, title: label });
  for (const [part, share] of parts) {
    const piece = el("span");
    piece.style.flexGrow = share;
    piece.style.background = colour(part);
    bar.append(piece);
  }
  return bar;
}

/** What the colours mean. */
export function legendOf(parts) {
  return parts.map((part) => {
    const swatch = el("span", { class: "swatch", "aria-hidden": "true" });
    swatch.style.background = colour(part);
    return el("span", {}, swatch, part);
  });
}

/** A bar of one value to the right of zero, or to the left where it is negative. */
export function valueBar(value, largest, fill = "var(--accent)") {
  const bar = el("span", { class: "value", "aria-hidden": "true" });
  const piece = el("span");
  const width = largest > 0 ? (50 * Math.abs(value)) / largest : 0;
  piece.style.width = `${width}%`;
  piece.style.insetInlineStart = value < 0 ? `${50 - width}%` : "50%";
  piece.style.background = fill;
  bar.append(piece);
  return bar;
}

function initial(card) {
  const letter = [...(card.title || card.item).trim()][0] ?? "?";
  return el("span", { class: "initial", "aria-hidden": "true", "data-letter": letter.toUpperCase() });
}

function filled(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) {
      element.addEventListener(name.slice(2), value);
    } else if (value === true || value === false) {
      element.toggleAttribute(name, value);
    } else if (value !== undefined && value !== null) {
      element.setAttribute(name, value);
    }
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}
