/* The dashboard: draws what the server says and asks again every two seconds while it is visible. */
(() => {
  "use strict";

  const REFRESH_MS = 2000;
  const svgNamespace = "http://www.w3.org/2000/svg";

  function element(tag, text, className) {
    const made = document.createElement(tag);
    if (text !== undefined && text !== null) made.textContent = text;
    if (className) made.className = className;
    return made;
  }

  function tiles(target, data) {
    target.replaceChildren(...data.tiles.map((tile) => {
      const box = element("div", null, "phoenix-tile");
      const value = element("dd", null, tile.tone ? `phoenix-${tile.tone}` : "");
      value.append(tile.value, " ", element("small", tile.unit || ""));
      box.append(element("dt", tile.label), value, element("small", tile.hint || "", "phoenix-soft"));
      return box;
    }));
  }

  function chart(target, peakLabel, series, step) {
    const rates = series.map((count) => count / step);
    const peak = Math.max(1, ...rates);
    const last = Math.max(1, rates.length - 1);
    const points = rates.map((rate, at) => `${(100 * at / last).toFixed(2)},${(96 - 90 * rate / peak).toFixed(2)}`);
    const make = (tag, attributes) => {
      const shape = document.createElementNS(svgNamespace, tag);
      for (const [name, value] of Object.entries(attributes)) shape.setAttribute(name, value);
      return shape;
    };
    target.replaceChildren(
      make("line", { class: "grid", x1: 0, x2: 100, y1: 96, y2: 96 }),
      make("line", { class: "grid", x1: 0, x2: 100, y1: 6, y2: 6 }),
      make("polygon", { class: "area", points: `0,96 ${points.join(" ")} 100,96` }),
      make("polyline", { class: "line", points: points.join(" ") }),
    );
    peakLabel.textContent = `peak ${Math.round(Math.max(0, ...rates)).toLocaleString("en")} per second`;
  }

  function table(target, heads, rows, empty) {
    if (!rows.length) {
      target.replaceChildren(element("p", empty));
      return;
    }
    const made = element("table");
    const head = made.createTHead().insertRow();
    for (const text of heads) head.append(element("th", text));
    const body = made.createTBody();
    for (const cells of rows) {
      const row = body.insertRow();
      for (const cell of cells) {
        const td = row.insertCell();
        if (cell && cell.url) {
          const link = element("a", cell.text);
          link.href = cell.url;
          td.append(link);
        } else if (cell && cell.tone) {
          td.append(element("span", null, `phoenix-dot ${cell.tone}`), cell.text);
        } else {
          td.textContent = cell;
        }
      }
    }
    target.replaceChildren(made);
  }

  function draw(root, data) {
    const part = (name) => root.querySelector(`[data-part="${name}"]`);
    tiles(part("tiles"), data);
    chart(part("chart"), part("peak"), data.chart.accepted, data.chart.step_seconds);
    table(part("boards"), ["Board", "Tenant", "Window", "State", "Ends", "Players", "Late"], data.boards, "No active boards yet.");
    table(part("consumers"), ["Consumer", "Behind", "Oldest waiting", "Processed"], data.consumers, "No consumer has run yet.");
    table(part("errors"), ["Cause", "Tenant", "Times", "Last seen"], data.errors, "Nothing was refused or failed in the last half hour.");
    root.dataset.asOf = data.as_of;
  }

  function showAge(root) {
    const seconds = Math.max(0, Math.round((Date.now() - Date.parse(root.dataset.asOf)) / 1000));
    root.querySelector('[data-part="age"]').textContent = seconds < 3 ? "live" : `${seconds} s old`;
  }

  document.addEventListener("DOMContentLoaded", () => {
    const root = document.querySelector("[data-phoenix-dashboard]");
    if (!root) return;
    draw(root, JSON.parse(document.getElementById("phoenix-dashboard-data").textContent));
    const refresh = async () => {
      if (document.hidden) return;
      try {
        const answer = await fetch(root.dataset.phoenixDashboard, { headers: { "X-Requested-With": "fetch" } });
        if (answer.ok) draw(root, await answer.json());
      } catch { /* the age says that the numbers are old */ }
    };
    setInterval(refresh, REFRESH_MS);
    setInterval(() => showAge(root), 1000);
    showAge(root);
  });
})();
