/* The ladder form: levels and ranks in rows, kept in two JSON fields, and the curve drawn beside. */
(() => {
  "use strict";

  const read = (id) => JSON.parse(document.getElementById(id)?.textContent ?? "null");

  function make(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name === "class") node.className = value;
      else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value !== null && value !== false) node.setAttribute(name, value);
    }
    node.append(...children);
    return node;
  }

  function input(label, value, changed, attributes = {}) {
    const field = make("input", { "aria-label": label, autocomplete: "off", oninput: changed, ...attributes });
    field.value = value ?? "";
    return field;
  }

  function itemPicker(items, chosen, changed) {
    const count = Math.min(Math.max(items.length, 2), 4);
    const select = make("select", { multiple: "", size: count, "aria-label": "Reward items", onchange: changed });
    for (const item of items) {
      const option = make("option", { value: item.id }, item.name);
      option.selected = (chosen ?? []).includes(item.id);
      select.append(option);
    }
    return select;
  }

  const picked = (select) => [...select.selectedOptions].map((option) => option.value);

  /* Numbers stay as typed, so that the server says what is wrong with them. */
  function number(text) {
    const trimmed = text.trim();
    return trimmed !== "" && Number.isFinite(Number(trimmed)) ? Number(trimmed) : trimmed;
  }

  function benefitsOf(field) {
    const text = field.value.trim();
    if (!text) return {};
    try { field.classList.remove("is-bad"); return JSON.parse(text); } catch { field.classList.add("is-bad"); return text; }
  }

  function removeButton(row, changed) {
    return make("button", {
      type: "button", class: "phoenix-rules__remove", "aria-label": "Remove this row",
      onclick: () => { row.remove(); changed(); },
    }, "×");
  }

  function levelRow(level, items, changed) {
    const row = make("tr");
    const parts = {
      xp: input("Amount that this level takes", level.xp_required ?? level.xp_range?.start, changed, { inputmode: "decimal" }),
      items: itemPicker(items, level.item_ids, changed),
      benefits: input("Benefits as JSON", Object.keys(level.benefits ?? {}).length ? JSON.stringify(level.benefits) : "", changed, { placeholder: "{}" }),
    };
    row.append(make("th", { scope: "row", class: "num" }), make("td", {}, parts.xp), make("td", {}, parts.items),
      make("td", {}, parts.benefits), make("td", {}, removeButton(row, changed)));
    row.read = (index) => ({
      level: index + 1, xp_required: number(parts.xp.value), item_ids: picked(parts.items), benefits: benefitsOf(parts.benefits),
    });
    return row;
  }

  function rankRow(rank, items, changed) {
    const row = make("tr");
    const levels = rank.levels ?? [];
    const parts = {
      id: input("Rank id", rank.rank_id, changed, { placeholder: "gold" }),
      name: input("Name", rank.name, changed, { placeholder: "Gold" }),
      first: input("First level", levels.length ? Math.min(...levels) : "", changed, { inputmode: "numeric" }),
      last: input("Last level", levels.length ? Math.max(...levels) : "", changed, { inputmode: "numeric" }),
      weight: input("Weight", rank.weight, changed, { inputmode: "numeric" }),
      items: itemPicker(items, rank.item_ids, changed),
    };
    row.append(...["id", "name", "first", "last", "weight", "items"].map((name) => make("td", {}, parts[name])),
      make("td", {}, removeButton(row, changed)));
    row.read = (index) => {
      const first = number(parts.first.value), last = number(parts.last.value);
      const isRange = Number.isInteger(first) && Number.isInteger(last) && last >= first && last - first < 1000;
      return {
        rank_id: parts.id.value.trim(), name: parts.name.value.trim(), image_url: rank.image_url ?? null,
        weight: parts.weight.value.trim() === "" ? index + 1 : number(parts.weight.value),
        levels: isRange ? Array.from({ length: last - first + 1 }, (_, step) => first + step) : [],
        item_ids: picked(parts.items),
      };
    };
    return row;
  }

  /* Shows the list of a JSON field as a table of rows; returns a function that reads it. */
  function table(store, heads, makeRow, blank, changed) {
    let rows;
    try { rows = JSON.parse(store.value || "[]"); } catch { return null; }
    if (!Array.isArray(rows)) return null;
    const body = make("tbody");
    const update = () => {
      [...body.rows].forEach((row, index) => { const head = row.querySelector("th"); if (head) head.textContent = index + 1; });
      store.value = JSON.stringify([...body.rows].map((row, index) => row.read(index)));
      changed();
    };
    for (const row of rows) body.append(makeRow(row, update));
    const add = make("button", {
      type: "button", class: "phoenix-button",
      onclick: () => { body.append(makeRow(blank(body.rows.length, [...body.rows]), update)); update(); },
    }, "Add a row");
    const head = make("thead", {}, make("tr", {}, ...heads.map((text) => make("th", { scope: "col" }, text))));
    store.hidden = true;
    store.after(make("div", { class: "phoenix-rows phoenix-scroll" }, make("table", { class: "phoenix-table" }, head, body), add));
    update();
    return () => [...body.rows].map((row, index) => row.read(index));
  }

  function draw(chart, levels) {
    chart.replaceChildren();
    const values = levels.map((level) => level.xp_required).filter((value) => typeof value === "number");
    if (values.length < 2) return;
    const top = Math.max(...values) || 1;
    const width = 320, height = 180, gap = 8;
    const step = (width - 2 * gap) / values.length;
    const namespace = "http://www.w3.org/2000/svg";
    values.forEach((value, index) => {
      const bar = document.createElementNS(namespace, "rect");
      const tall = Math.max(2, (height - 3 * gap) * (value / top));
      const box = { x: gap + index * step, y: height - gap - tall, width: Math.max(1, step - 3), height: tall, rx: 2 };
      for (const [name, size] of Object.entries(box)) bar.setAttribute(name, size);
      const title = document.createElementNS(namespace, "title");
      title.textContent = `Level ${index + 1}: ${value.toLocaleString("en")}`;
      bar.append(title);
      chart.append(bar);
    });
  }

  function showPlayers(place, counts) {
    const levels = Object.keys(counts ?? {}).map(Number).sort((a, b) => a - b);
    if (!levels.length) { place.replaceChildren(make("p", { class: "phoenix-empty" }, "Nobody yet.")); return; }
    const most = Math.max(...levels.map((level) => counts[level]));
    place.replaceChildren(...levels.map((level) => make("div", { class: "phoenix-bar" },
      make("span", {}, `Level ${level}`), make("meter", { min: 0, max: most, value: counts[level] }), make("b", {}, String(counts[level])))));
  }

  document.addEventListener("DOMContentLoaded", () => {
    const aside = document.querySelector("[data-phoenix-ladder]");
    const levelStore = document.getElementById("id_levels"), rankStore = document.getElementById("id_ranks");
    if (!aside || !levelStore || !rankStore) return;
    const items = read("phoenix-items") ?? [];
    const part = (name) => aside.querySelector(`[data-part="${name}"]`);
    const redraw = () => {
      let levels = [];
      try { levels = JSON.parse(levelStore.value); } catch { return; }
      draw(part("chart"), levels);
      const last = levels.at(-1)?.xp_required;
      part("summary").textContent = `${levels.length} levels${typeof last === "number" ? `, the last from ${last.toLocaleString("en")} on` : ""}.`;
    };
    table(levelStore, ["Level", "Takes", "Gives", "Benefits", ""], (level, changed) => levelRow(level, items, changed),
      (count, rows) => {
        const last = rows.at(-1)?.read(count - 1).xp_required;
        return { xp_required: typeof last === "number" ? (last ? last * 2 : 100) : "" };
      }, redraw);
    table(rankStore, ["Id", "Name", "From level", "To level", "Weight", "Gives", ""],
      (rank, changed) => rankRow(rank, items, changed), () => ({}), () => {});
    showPlayers(part("players"), read("phoenix-players-per-level"));
  });
})();
