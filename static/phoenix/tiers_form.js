/* The form of a reward config: its tiers in rows, kept in one JSON field. */
(() => {
  "use strict";

  const VALUES = { streak: "milestone", achievement: "threshold", level: "level" };
  const HEADS = { milestone: "Milestone", threshold: "Threshold", level: "Level" };
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

  /* Numbers stay as typed, so that the server says what is wrong with them. */
  function number(text) {
    const trimmed = text.trim();
    return trimmed !== "" && Number.isFinite(Number(trimmed)) ? Number(trimmed) : trimmed;
  }

  function itemPicker(items, chosen, changed) {
    const offered = [...items];
    // One that was archived since is still given.
    for (const id of chosen) if (!offered.some((item) => item.id === id)) offered.push({ id, name: `Archived item ${id}` });
    const size = Math.min(Math.max(offered.length, 2), 5);
    const select = make("select", { multiple: "", size, "aria-label": "Reward items", onchange: changed });
    for (const item of offered) {
      const option = make("option", { value: item.id }, item.name);
      option.selected = chosen.includes(item.id);
      select.append(option);
    }
    return select;
  }

  function tierRow(tier, key, items, changed) {
    const row = make("tr");
    const numeric = { inputmode: "decimal" };
    const places = key
      ? { [key]: input(HEADS[key], tier[key], changed, numeric) }
      : {
          rank_min: input("From rank", tier.rank_min, changed, numeric),
          rank_max: input("To rank", tier.rank_max, changed, numeric),
        };
    const name = input("Name", tier.name, changed, { placeholder: "Winner" });
    const picker = itemPicker(items, tier.item_ids ?? [], changed);
    const remove = make("button", {
      type: "button", class: "phoenix-rules__remove", "aria-label": "Remove this tier",
      onclick: () => { row.remove(); changed(); },
    }, "×");
    row.append(...Object.values(places).map((place) => make("td", {}, place)),
      make("td", {}, name), make("td", {}, picker), make("td", {}, remove));
    row.read = () => {
      const found = { name: name.value.trim() };
      for (const [part, place] of Object.entries(places)) if (place.value.trim() !== "") found[part] = number(place.value);
      found.item_ids = [...picker.selectedOptions].map((option) => option.value);
      // Categories are kept as they are; the JSON is the place to change them.
      if (Object.keys(tier.by_category ?? {}).length) found.by_category = tier.by_category;
      return found;
    };
    return row;
  }

  function show(store, type, items) {
    store.parentElement.querySelector("[data-tiers]")?.remove();
    store.hidden = false;
    let tiers;
    try { tiers = JSON.parse(store.value || "[]"); } catch { return; }
    if (!type || !Array.isArray(tiers) || !tiers.every((tier) => tier && typeof tier === "object")) return;
    const key = VALUES[type];
    const body = make("tbody");
    const update = () => { store.value = JSON.stringify([...body.rows].map((row) => row.read()), null, 2); };
    const add = (tier) => body.append(tierRow(tier, key, items, update));
    tiers.forEach(add);
    const next = () => {
      const last = [...body.rows].at(-1)?.read() ?? {};
      if (key) return {};
      const rank = Number.isInteger(last.rank_max ?? last.rank_min) ? (last.rank_max ?? last.rank_min) + 1 : 1;
      return { rank_min: rank, rank_max: rank };
    };
    const heads = [...(key ? [HEADS[key]] : ["From rank", "To rank"]), "Name", "Gives", ""];
    const head = make("thead", {}, make("tr", {}, ...heads.map((text) => make("th", { scope: "col" }, text))));
    const button = make("button", { type: "button", class: "phoenix-button", onclick: () => { add(next()); update(); } }, "Add a tier");
    const table = make("div", { class: "phoenix-rows phoenix-scroll" }, make("table", { class: "phoenix-table" }, head, body));
    store.hidden = true;
    store.after(make("div", { "data-tiers": "" }, table, button));
    if (!body.rows.length) { add(next()); update(); }
  }

  document.addEventListener("DOMContentLoaded", () => {
    const store = document.getElementById("id_tiers");
    const items = read("phoenix-items");
    if (!store || !items) return;
    const type = document.getElementById("id_config_type");
    const tenant = document.getElementById("id_tenant");
    const draw = () => {
      const own = tenant?.value ? items.filter((item) => item.tenant === tenant.value) : items;
      show(store, type ? type.value : read("phoenix-config-type"), own);
    };
    type?.addEventListener("change", draw);
    tenant?.addEventListener("change", draw);
    draw();
  });
})();
