/* The board form: rows of rules kept in one JSON field, and what the form means shown beside it. */
(() => {
  "use strict";

  const rowFields = [
    { name: "event_type", placeholder: "match.completed", label: "Event type", list: "phoenix-event-types" },
    { name: "points_expression", placeholder: "attrs.score", label: "Points", list: "phoenix-paths" },
    { name: "conditions", placeholder: 'Only if: {"attrs.victory": {"eq": true}}', label: "Only if" },
  ];

  function isJson(text) {
    try { JSON.parse(text); return true; } catch { return false; }
  }

  function makeInput(field, value, changed) {
    const input = document.createElement(field.name === "conditions" ? "textarea" : "input");
    input.dataset.name = field.name;
    input.placeholder = field.placeholder;
    input.value = value ?? "";
    input.spellcheck = false;
    input.autocomplete = "off";
    input.setAttribute("aria-label", field.label);
    if (field.list) input.setAttribute("list", field.list);
    if (input.tagName === "TEXTAREA") input.rows = 1;
    input.addEventListener("input", changed);
    return input;
  }

  function makeRow(rule, changed) {
    const row = document.createElement("div");
    row.className = "phoenix-rules__row";
    for (const field of rowFields) row.append(makeInput(field, rule[field.name], changed));
    const remove = document.createElement("button");
    remove.type = "button";
    remove.className = "phoenix-rules__remove";
    remove.textContent = "×";
    remove.setAttribute("aria-label", "Remove this rule");
    remove.addEventListener("click", () => { row.remove(); changed(); });
    row.append(remove);
    return row;
  }

  /* Returns the rule as JSON text. A condition stays the text it is: numbers in it may have more
     digits than JavaScript keeps. Unreadable text goes as a string; the server says what is wrong. */
  function ruleText(row) {
    const parts = [];
    for (const input of row.querySelectorAll("[data-name]")) {
      const text = input.value.trim();
      const isCondition = input.dataset.name === "conditions";
      const isBad = isCondition && text !== "" && !isJson(text);
      input.classList.toggle("is-bad", isBad);
      if (!text && input.dataset.name !== "event_type") continue;
      parts.push(`"${input.dataset.name}": ${isCondition && !isBad ? text : JSON.stringify(text)}`);
    }
    return `{${parts.join(", ")}}`;
  }

  function setUpRules(box, changed) {
    const store = box.querySelector("textarea");
    const rows = box.querySelector(".phoenix-rules__rows");
    const add = box.querySelector("[data-add]");
    const start = box.querySelector("script[type='application/json']");
    if (!start) return;
    const save = () => {
      store.value = `[${[...rows.querySelectorAll(".phoenix-rules__row")].map(ruleText).join(", ")}]`;
      changed();
    };
    for (const rule of JSON.parse(start.textContent)) rows.append(makeRow(rule, save));
    add.addEventListener("click", () => {
      const row = makeRow({}, save);
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

  function options(id, values) {
    document.getElementById(id).replaceChildren(...values.map((value) => {
      const option = document.createElement("option");
      option.value = value;
      return option;
    }));
  }

  function showTrial(target, trial) {
    options("phoenix-event-types", trial.types);
    options("phoenix-paths", trial.paths);
    if (!trial.rows.length) { say(target, trial.note); return; }
    const items = trial.rows.map((row) => {
      const item = document.createElement("li");
      const what = document.createElement("span");
      what.textContent = row.event;
      const who = document.createElement("small");
      who.textContent = `${row.player}, ${row.at} UTC`;
      const result = document.createElement("strong");
      result.className = `phoenix-${row.tone}`;
      result.textContent = row.result;
      item.append(what, result, who);
      return item;
    });
    const list = document.createElement("ul");
    list.className = "phoenix-trial";
    list.append(...items);
    target.replaceChildren(list);
  }

  /* A form that is not filled in yet is no mistake: it is told apart from what is wrong. */
  function stateOf(meaning) {
    const count = meaning.faults.length;
    if (count) return { tone: "bad", title: `${count} ${count === 1 ? "thing" : "things"} to correct`, lines: meaning.faults };
    if (meaning.missing.length) return { tone: "open", title: "Still to fill in", lines: meaning.missing };
    return { tone: "good", title: "Complete and valid", lines: [] };
  }

  function showCheck(part, meaning) {
    const state = stateOf(meaning);
    const check = part("check");
    check.className = `phoenix-check is-${state.tone}`;
    const title = document.createElement("h2");
    title.textContent = state.title;
    const body = document.createElement("div");
    if (state.lines.length) list(body, state.lines); else say(body, "This board can be saved as it is.");
    check.replaceChildren(title, ...body.children);
    const effect = part("effect");
    effect.hidden = !meaning.effect.length || state.tone !== "good";
    if (!effect.hidden) {
      list(effect, meaning.effect);
      const heading = document.createElement("h3");
      heading.textContent = "What saving changes";
      effect.prepend(heading);
    }
  }

  function show(panel, meaning, form) {
    const part = (name) => panel.querySelector(`[data-part="${name}"]`);
    showCheck(part, meaning);
    part("zone").textContent = meaning.timezone;
    if (meaning.windows.length) {
      const rows = meaning.timezone === "UTC" ? meaning.windows.map(([key, local, , length]) => [key, local, length]) : meaning.windows;
      const heads = meaning.timezone === "UTC" ? ["Key", "Begins", "Lasts"] : ["Key", "Begins there", "UTC", "Lasts"];
      table(part("windows"), heads, rows);
    } else {
      say(part("windows"), "The timeframe is not complete yet.");
    }
    showTrial(part("trial"), meaning.trial);
    table(part("ties"), ["Player", "Score", "At", "Rank"], meaning.ties);
    part("json").textContent = meaning.json;
    const useJson = form.querySelector("[name=use_json]");
    const json = form.querySelector("[name=config_json]");
    if (json && !useJson.checked) json.value = meaning.json;
  }

  function setUpCopying(panel) {
    const button = panel.querySelector("[data-copy]");
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(panel.querySelector('[data-part="json"]').textContent);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
  }

  function setUp() {
    const panel = document.querySelector("[data-phoenix-meaning]");
    if (!panel) return;
    const form = document.getElementById(panel.dataset.form);
    let timer = 0;
    let latest = 0;
    const ask = async () => {
      const number = ++latest;
      try {
        const answer = await fetch(panel.dataset.phoenixMeaning, {
          method: "POST",
          body: new FormData(form),
          headers: { "X-Requested-With": "fetch" },
        });
        if (answer.ok && !answer.redirected && number === latest) show(panel, await answer.json(), form);
      } catch { /* the panel keeps what it said last */ }
    };
    const changed = () => { clearTimeout(timer); timer = setTimeout(ask, 250); };
    for (const box of form.querySelectorAll("[data-phoenix-rules]")) setUpRules(box, changed);
    form.addEventListener("input", changed);
    form.addEventListener("change", changed);
    // The tenant's select is enhanced by jQuery, whose events the form does not hear.
    window.django?.jQuery(form).on("change", "select", changed);
    setUpCopying(panel);
    ask();
  }

  document.addEventListener("DOMContentLoaded", setUp);
})();
