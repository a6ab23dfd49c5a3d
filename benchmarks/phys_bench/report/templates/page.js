// Sorts tables by a click on a head, hides samplers, and draws charts in place of pictures; the page reads without it.
"use strict";
(() => {
  const valueOf = (cell) => {
    if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
    const text = cell.textContent.trim();
    return text === "" || text === "–" ? null : text;
  };
  const compare = (a, b) => {
    if (a === null || b === null) return a === b ? 0 : a === null ? 1 : -1;  // what is missing comes last
    if (typeof a === "number" && typeof b === "number") return a - b;
    if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
    return a.localeCompare(b, undefined, { numeric: true });
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, index) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.title = "sort";
      button.setAttribute("aria-label", `sort by ${head.textContent.trim()}`);
      head.append(button);
      button.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const rows = [...table.tBodies[0].rows].filter((row) => !row.classList.contains("floor"));
        rows
          .map((row) => [valueOf(row.cells[index]), row])
          .sort((x, y) => (x[0] === null || y[0] === null || up ? compare(x[0], y[0]) : -compare(x[0], y[0])))
          .forEach(([, row]) => table.tBodies[0].append(row));
      });
    });
  }
  const views = [];
  const box = document.querySelector("#samplers");
  const boxes = box ? [...box.querySelectorAll("input")] : [];
  const filter = (view) => view.signal("hidden", boxes.filter((one) => !one.checked).map((one) => one.value)).runAsync();
  if (box) box.hidden = false;
  for (const input of boxes) {
    input.addEventListener("change", () => {
      for (const part of document.querySelectorAll("[data-sampler]")) {
        if (part.dataset.sampler === input.value) part.hidden = !input.checked;
      }
      views.forEach(filter);
    });
  }
  const draw = async () => {
    const packed = Uint8Array.from(atob(document.querySelector("#vega").textContent), (one) => one.charCodeAt(0));
    const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = `(() => {${await new Response(unpacked).text()}})()`;  // its names stay its own
    document.head.append(script);
    for (const spec of document.querySelectorAll('figure script[type="application/json"]')) {
      const paper = spec.parentElement;
      const place = document.createElement("div");
      place.className = "chart";
      paper.append(place);
      const actions = { export: true, source: false, compiled: false, editor: false };
      const { view } = await window.vegaEmbed(place, JSON.parse(spec.textContent), { mode: "vega-lite", renderer: "svg", actions });
      views.push(view);
      await filter(view);
      paper.classList.add("drawn");
    }
    document.documentElement.dataset.charts = views.length;
  };
  // a small screen keeps the pictures, which shrink; so does a browser that cannot unpack the scripts
  if (document.querySelector("#vega") && window.matchMedia("(min-width: 641px)").matches) draw().catch(console.warn);
})();
