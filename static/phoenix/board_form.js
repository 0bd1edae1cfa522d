/* The board form: rows of rules kept in one JSON field, and what the form means shown beside it. */
(() => {
  "use strict";

  const rowFields = [
    { name: "event_type", placeholder: "match.completed", label: "Event type" },
    { name: "points_expression", placeholder: "attrs.score", label: "Points" },
    { name: "conditions", placeholder: '{"attrs.victory": {"eq": true}}', label: "Only if" },
  ];

  function parsed(text) {
    try { return { value: JSON.parse(text) }; } catch { return null; }
  }

  function makeRow(rule, changed) {
    const row = document.createElement("div");
    row.className = "phoenix-rules__row";
    row.kept = rule;
    for (const field of rowFields) {
      const input = document.createElement(field.name === "conditions" ? "textarea" : "input");
      input.dataset.name = field.name;
      input.placeholder = field.placeholder;
      input.setAttribute("aria-label", field.label);
      if (input.tagName === "TEXTAREA") input.rows = 1;
      const value = rule[field.name];
      input.value = value == null ? "" : field.name === "conditions" ? JSON.stringify(value) : value;
      input.addEventListener("input", changed);
      row.append(input);
    }
    const remove = document.createElement("button");
    remove.type = "button";
    remove.className = "phoenix-rules__remove";
    remove.textContent = "×";
    remove.setAttribute("aria-label", "Remove this rule");
    remove.addEventListener("click", () => { row.remove(); changed(); });
    row.append(remove);
    return row;
  }

  function ruleOf(row) {
    const rule = { ...row.kept };
    for (const input of row.querySelectorAll("[data-name]")) {
      const name = input.dataset.name;
      const text = input.value.trim();
      input.classList.remove("is-bad");
      if (name !== "conditions") {
        if (text || name === "event_type") rule[name] = text; else delete rule[name];
        continue;
      }
      if (!text) { delete rule.conditions; continue; }
      const json = parsed(text);
      input.classList.toggle("is-bad", !json);
      // Unreadable text is kept as it is, so that the server says what is wrong with it.
      rule.conditions = json ? json.value : text;
    }
    return rule;
  }

  function setUpRules(box, changed) {
    const store = box.querySelector("textarea");
    const rows = box.querySelector(".phoenix-rules__rows");
    const add = box.querySelector("[data-add]");
    const start = parsed(store.value);
    if (!start || !Array.isArray(start.value)) return;
    const save = () => {
      store.value = JSON.stringify([...rows.querySelectorAll(".phoenix-rules__row")].map(ruleOf));
      changed();
    };
    for (const rule of start.value) rows.append(makeRow(rule, save));
    add.addEventListener("click", () => {
      const row = makeRow({ event_type: "", points_expression: "" }, save);
      rows.append(row);
      row.querySelector("input").focus();
      save();
    });
    store.hidden = true;
    rows.hidden = add.hidden = false;
  }

  function cell(row, text, className) {
    const td = document.createElement("td");
    td.textContent = text;
    if (className) td.className = className;
    row.append(td);
  }

  function table(target, heads, rows) {
    const element = document.createElement("table");
    const head = element.createTHead().insertRow();
    for (const text of heads) {
      const th = document.createElement("th");
      th.textContent = text;
      head.append(th);
    }
    const body = element.createTBody();
    for (const values of rows) {
      const row = body.insertRow();
      for (const value of values) cell(row, value);
    }
    target.replaceChildren(element);
  }

  function say(target, text, className) {
    const p = document.createElement("p");
    p.textContent = text;
    if (className) p.className = className;
    target.replaceChildren(p);
  }

  function list(target, items) {
    const ul = document.createElement("ul");
    for (const item of items) {
      const li = document.createElement("li");
      li.textContent = item;
      ul.append(li);
    }
    target.replaceChildren(ul);
  }

  function show(panel, meaning, form) {
    const part = (name) => panel.querySelector(`[data-part="${name}"]`);
    if (meaning.faults.length) {
      list(part("check"), meaning.faults);
      part("check").className = "phoenix-bad";
    } else {
      say(part("check"), "The document is complete and valid.", "phoenix-good");
      part("check").className = "";
    }
    if (meaning.windows.length) {
      table(part("windows"), ["Window", `Begins (${meaning.timezone})`, "Begins (UTC)", "Lasts"], meaning.windows);
    } else {
      say(part("windows"), "No windows to show until the timeframe is complete.");
    }
    if (meaning.trial.length) {
      table(part("trial"), ["Recent event", "Player", "Result"], meaning.trial);
    } else {
      say(part("trial"), "No events of these types have arrived yet.");
    }
    table(part("ties"), ["Score", "Reached", "Rank"], meaning.ties);
    const useJson = form.querySelector("[name=use_json]");
    const json = form.querySelector("[name=config_json]");
    if (json && meaning.json && !useJson.checked) json.value = meaning.json;
  }

  function setUp() {
    const panel = document.querySelector("[data-phoenix-meaning]");
    if (!panel) return;
    const form = panel.closest("form");
    let timer = 0;
    let latest = 0;
    const ask = async () => {
      const number = ++latest;
      const answer = await fetch(panel.dataset.phoenixMeaning, {
        method: "POST",
        body: new FormData(form),
        headers: { "X-Requested-With": "fetch" },
      });
      if (answer.ok && number === latest) show(panel, await answer.json(), form);
    };
    const changed = () => { clearTimeout(timer); timer = setTimeout(ask, 300); };
    for (const box of form.querySelectorAll("[data-phoenix-rules]")) setUpRules(box, changed);
    form.addEventListener("input", changed);
    form.addEventListener("change", changed);
    ask();
  }

  document.addEventListener("DOMContentLoaded", setUp);
})();
