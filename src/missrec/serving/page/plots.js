// Drawings: points in a plane, and lines over the epochs.

import { svg } from "./dom.js";

const SIDE = 600;
const EDGE = 28;
const WIDTH = 230;
const HEIGHT = 120;
const LEFT = 52;

/** Points as dots whose area goes by size; a click calls with the point, where there is a call.
 *
 * The drawing has room for all points that they are `within`. It is for those who see or point;
 * the list beside it is for the keyboard.
 */
export function dots(points, { label, fill, title, onclick, within = points }) {
  const largest = Math.max(...points.map((point) => point.size), 1);
  const scale = fitted(within);
  const circles = points.map((point) => {
    const radius = Math.max(3, 20 * Math.sqrt(point.size / largest));
    const circle = svg(
      "circle",
      {
        cx: scale.x(point.x),
        cy: scale.y(point.y),
        r: radius,
        ...(onclick ? { onclick: () => onclick(point), "data-interest": point.interest } : {}),
      },
      svg("title", {}, title(point)),
    );
    circle.style.fill = fill(point);
    return circle;
  });
  return svg(
    "svg",
    { viewBox: `0 0 ${SIDE} ${scale.height}`, role: "img", "aria-label": label, class: "dots" },
    ...circles,
  );
}

/** One value of each epoch as a line. */
export function line(rows, name) {
  const known = rows.filter((row) => row[name] !== null);
  const values = known.map((row) => row[name]);
  const low = Math.min(...values);
  const high = Math.max(...values);
  const first = rows[0].epoch;
  const last = rows[rows.length - 1].epoch;
  const x = (epoch) => LEFT + ((WIDTH - LEFT - 12) * (epoch - first)) / Math.max(last - first, 1);
  const y = (value) =>
    high === low ? HEIGHT / 2 : 12 + ((HEIGHT - 40) * (high - value)) / (high - low);
  const points = known.map((row) => `${x(row.epoch)},${y(row[name])}`);
  const label = `${name}: ${short(values[0])} at epoch ${first}, ${short(values.at(-1))} at epoch ${last}`;
  const ends = high === low ? [high] : [low, high];
  const digits = short(low) === short(high) ? 6 : 3;
  return svg(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label, class: "line" },
    ...ends.flatMap((value) => [
      svg("line", { x1: LEFT, x2: WIDTH - 12, y1: y(value), y2: y(value), class: "grid" }),
      svg("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, short(value, digits)),
    ]),
    svg("text", { x: LEFT, y: HEIGHT - 6 }, String(first)),
    last > first
      ? svg("text", { x: WIDTH - 12, y: HEIGHT - 6, "text-anchor": "end" }, String(last))
      : null,
    svg("polyline", { points: points.join(" ") }),
    ...known.map((row) => svg("circle", { cx: x(row.epoch), cy: y(row[name]), r: 2.5 })),
  );
}

/** A number in few digits that count. */
export const short = (value, digits = 3) =>
  value.toLocaleString("en", { maximumSignificantDigits: digits });

/** Places in the drawing, one scale for both axes; it is as high as the points need. */
function fitted(points) {
  const [left, right] = range(points.map((point) => point.x));
  const [bottom, top] = range(points.map((point) => point.y));
  const unit = (SIDE - 2 * EDGE) / (Math.max(right - left, top - bottom) || 1);
  return {
    height: unit * (top - bottom) + 2 * EDGE,
    x: (value) => SIDE / 2 + unit * (value - (left + right) / 2),
    y: (value) => EDGE + unit * (top - value),
  };
}

const range = (values) => [Math.min(...values), Math.max(...values)];
