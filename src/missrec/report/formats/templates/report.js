"use strict";

for (const table of document.querySelectorAll("table.sortable")) {
  const headers = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  headers.forEach((header, column) => {
    header.querySelector("button")?.addEventListener("click", () => {
      // Scores are of interest from the highest, names from the first.
      const first = header.classList.contains("number") ? "descending" : "ascending";
      const second = first === "descending" ? "ascending" : "descending";
      const order = header.getAttribute("aria-sort") === first ? second : first;
      headers.forEach((other) => other.removeAttribute("aria-sort"));
      header.setAttribute("aria-sort", order);
      for (const body of table.tBodies) {
        const rows = [...body.rows].filter((row) => !row.classList.contains("part"));
        const isNumber = header.classList.contains("number");
        rows.sort((one, other) => compare(one.cells[column], other.cells[column], isNumber, order));
        body.append(...rows);
      }
    });
  });
}

function compare(one, other, isNumber, order) {
  const sign = order === "ascending" ? 1 : -1;
  if (!isNumber) {
    return sign * one.textContent.localeCompare(other.textContent);
  }
  const [a, b] = [one, other].map((cell) => ("value" in cell.dataset ? Number(cell.dataset.value) : null));
  if (a === null || b === null) {
    return (a === null) - (b === null); // what has no value comes last in both orders
  }
  return sign * (a - b);
}

const NARROW = 700;
const isDark = window.matchMedia("(prefers-color-scheme: dark)");

function themed(layout, isNarrow) {
  const style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue(`--${name}`).trim();
  const axis = { gridcolor: color("line"), linecolor: color("line"), zerolinecolor: color("muted"), automargin: true };
  const themedLayout = {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: color("ink"), family: "inherit", size: 12 },
    margin: { l: 55, r: 20, t: 36, b: 45 },
    hoverlabel: { bgcolor: color("soft"), bordercolor: color("line"), font: { color: color("ink") } },
    ...layout,
    legend: isNarrow
      ? { orientation: "h", y: -0.2, font: { size: 11 } }
      : { x: 1.08, y: 1, groupclick: "toggleitem", font: { size: 11 } },
  };
  for (const key of Object.keys(layout).filter((name) => /^[xy]axis/.test(name))) {
    themedLayout[key] = { ...axis, ...layout[key] };
  }
  return themedLayout;
}

function draw(box) {
  const source = document.querySelector(`script[data-plot="${box.id}"]`);
  const { data, layout } = JSON.parse(source.textContent);
  const ink = getComputedStyle(document.documentElement).getPropertyValue("--ink").trim();
  for (const trace of data.filter((one) => one.type === "sankey")) {
    trace.textfont = { color: ink, shadow: "none" };
  }
  const isNarrow = box.clientWidth < NARROW;
  const entries = data.filter((trace) => trace.showlegend !== false && trace.type !== "sankey").length;
  const { height, ...rest } = layout;
  // A legend below the plot takes room of its own; resizing follows the box.
  box.style.height = `${height + (isNarrow ? Math.min(260, 12 * entries) : 0)}px`;
  const config = {
    responsive: true,
    displaylogo: false,
    modeBarButtonsToRemove: ["sendChartToCloud", "select2d", "lasso2d"], // nothing leaves the page
  };
  Plotly.react(box, data, themed(rest, isNarrow), config);
}

const boxes = [...document.querySelectorAll(".plot")];
const isShown = (box) => !box.closest("details:not([open])");
const drawShown = () => boxes.filter(isShown).forEach(draw);

drawShown();
isDark.addEventListener("change", drawShown);
window.matchMedia("(max-width: 720px)").addEventListener("change", drawShown);
for (const details of document.querySelectorAll("details")) {
  details.addEventListener("toggle", () => {
    if (details.open) {
      details.querySelectorAll(".plot").forEach(draw);
    }
  });
}
