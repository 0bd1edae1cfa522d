/* The rule builder: fields, editors and JSON kept in step, and what the rule means beside them. */
(() => {
  "use strict";

  const DELAY_MS = 250;
  const rules = window.phoenixRules;
  const { element } = rules;
  const KINDS = { number: "a number", text: "a text", yes_no: "yes or no", time: "a time", list: "a list", object: "an object" };

  class Builder {
    constructor(panel) {
      this.panel = panel;
      this.form = document.getElementById(panel.dataset.form);
      this.json = this.form.querySelector("[name=document_json]");
      this.useJson = this.form.querySelector("[name=use_json]");
      this.editors = new Map();
      this.isJsonNewer = this.useJson.checked;
      this.isFilling = false;
      this.latest = 0;
      this.timer = 0;
      this.tenant = null;
    }

    start() {
      for (const box of this.form.querySelectorAll("[data-phoenix-editor]")) this.setUpEditor(box);
      this.moveJson();
      this.form.addEventListener("input", (event) => this.edited(event));
      this.form.addEventListener("change", (event) => this.edited(event));
      this.json.addEventListener("input", () => { this.isJsonNewer = true; this.changed(); });
      // The tenant's select is enhanced by jQuery, whose events the form does not hear.
      window.django?.jQuery(this.form).on("change", "select", () => this.changed());
      // What was typed into the JSON last is what is meant, even where the fields could not follow.
      this.form.addEventListener("submit", () => { this.useJson.checked = this.isJsonNewer; });
      this.part("try").addEventListener("click", () => this.tryEvents());
      this.part("copy").addEventListener("click", () => this.copy());
      this.ask();
    }

    part(name) { return this.panel.querySelector(`[data-part="${name}"]`); }

    /* --- Fields, editors and JSON ----------------------------------------------------------- */

    setUpEditor(box) {
      const store = box.querySelector("textarea");
      const shown = box.querySelector(".phoenix-editor__box");
      const editor = rules.editors[box.dataset.phoenixEditor](shown, () => {
        store.value = JSON.stringify(editor.get());
        this.isJsonNewer = false;
        this.changed();
      });
      let value = null;
      try { value = store.value ? rules.parse(store.value) : null; } catch { return; }
      editor.set(value);
      this.editors.set(store.name, { editor, store });
      store.hidden = true;
      shown.hidden = false;
    }

    /* Beside the form the JSON can be seen while the fields change. */
    moveJson() {
      const fieldset = this.json.closest("fieldset");
      this.json.setAttribute("form", this.form.id);
      this.part("json").append(this.json);
      if (fieldset) (fieldset.closest(".module, [x-show]") ?? fieldset).hidden = true;
    }

    edited(event) {
      if (this.isFilling || event.target === this.json || event.target.closest("[data-phoenix-editor]")) return;
      this.isJsonNewer = false;
      this.changed();
    }

    changed() {
      if (this.isFilling) return;
      this.part("trial").replaceChildren();
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.ask(), DELAY_MS);
    }

    fill(fields) {
      this.isFilling = true;
      for (const [name, value] of Object.entries(fields)) this.fillField(name, value);
      this.isFilling = false;
    }

    fillField(name, value) {
      const held = this.editors.get(name);
      if (held) {
        held.store.value = JSON.stringify(value ?? null);
        held.editor.set(rules.parse(held.store.value));
        return;
      }
      const controls = [...this.form.querySelectorAll(`[name="${CSS.escape(name)}"]`)];
      for (const control of controls) {
        const isChecked = control.type === "checkbox" && (value ?? []).includes(control.value);
        const next = control.type === "checkbox" ? isChecked : rules.numberText(value);
        const key = control.type === "checkbox" ? "checked" : "value";
        if (control.type === "hidden" || control[key] === next) continue;
        control[key] = next;
        for (const kind of ["input", "change"]) control.dispatchEvent(new Event(kind, { bubbles: true }));
      }
    }

    /* --- What it means ------------------------------------------------------------------------ */

    body() {
      const data = new FormData(this.form);
      if (this.isJsonNewer) data.set("use_json", "on"); else data.delete("use_json");
      return data;
    }

    async post(url) {
      const answer = await fetch(url, { method: "POST", body: this.body(), headers: { "X-Requested-With": "fetch" } });
      return answer.ok && !answer.redirected ? rules.parse(await answer.text()) : null;
    }

    async ask() {
      this.latest += 1;
      const asked = this.latest;
      const wasJson = this.isJsonNewer;
      try {
        const meaning = await this.post(this.panel.dataset.phoenixRule);
        if (meaning && asked === this.latest) await this.show(meaning, wasJson);
      } catch { /* the panel keeps what it said last */ }
    }

    async show(meaning, wasJson) {
      if (meaning.tenant !== this.tenant) await this.loadLibrary(meaning.tenant);
      this.offer(meaning.events);
      if (wasJson && meaning.fields) this.fill(meaning.fields);
      if (!wasJson && document.activeElement !== this.json) this.json.value = meaning.json;
      this.showCheck(meaning);
      this.showParts(meaning.parts);
      rules.showFaults(document, meaning.faults);
      this.part("try").disabled = !meaning.can_try;
    }

    async loadLibrary(tenant) {
      this.tenant = tenant;
      if (!tenant) return;
      const answer = await fetch(`${this.panel.dataset.library}?tenant=${encodeURIComponent(tenant)}`);
      if (!answer.ok || answer.redirected) return;
      rules.library = await answer.json();
      for (const { editor } of this.editors.values()) editor.refresh();
    }

    offer(events) {
      const describe = (field) => [field.path, [KINDS[field.kind], field.hint].filter(Boolean).join(", ")];
      const isNew = events.fields.some((field) => rules.fields.get(field.path)?.kind !== field.kind);
      rules.fields = new Map(events.fields.map((field) => [field.path, field]));
      rules.fill(document.getElementById("phoenix-event-types"), events.types);
      rules.fill(document.getElementById("phoenix-fields"), events.fields.map(describe));
      const numbers = events.fields.filter((field) => field.kind === "number" && /^(attrs|actor)\./.test(field.path));
      rules.fill(document.getElementById("phoenix-number-fields"), numbers.map(describe));
      if (isNew) this.editors.get("conditions")?.editor.refresh();
    }

    showCheck(meaning) {
      const count = meaning.faults.length;
      const state = count
        ? { tone: "bad", title: `${count} ${count === 1 ? "thing" : "things"} to correct`, lines: meaning.faults.map((fault) => fault.text) }
        : meaning.missing.length ? { tone: "open", title: "Still to fill in", lines: meaning.missing }
        : { tone: "good", title: "Complete and valid", lines: [] };
      const body = state.lines.length
        ? element("ul", {}, ...state.lines.map((line) => element("li", {}, line)))
        : element("p", {}, "It is saved as a draft: nothing fires before it is activated.");
      const check = this.part("check");
      check.className = `phoenix-check is-${state.tone}`;
      check.replaceChildren(element("h2", {}, state.title), body);
      if (meaning.warnings.length) {
        check.append(element("h3", {}, "Worth a look"), element("ul", { class: "phoenix-warn" }, ...meaning.warnings.map((line) => element("li", {}, line))));
      }
    }

    showParts(parts) {
      this.part("meaning").replaceChildren(...parts.map((part) => {
        const list = element("ul", { class: "phoenix-said" });
        list.append(...part.lines.map((line) => element("li", { "data-depth": line.depth }, line.text)));
        return element("section", {}, element("h3", {}, part.title), list);
      }));
    }

    /* --- Trying it ---------------------------------------------------------------------------- */

    async tryEvents() {
      const target = this.part("trial");
      const button = this.part("try");
      button.disabled = true;
      target.replaceChildren(element("p", {}, "Trying the events…"));
      try {
        const trial = await this.post(this.panel.dataset.trial);
        target.replaceChildren(...(trial ? this.trialRows(trial) : [element("p", {}, "Nothing came back. Try again.")]));
      } catch {
        target.replaceChildren(element("p", {}, "Phoenix cannot be reached. Try again."));
      }
      button.disabled = false;
    }

    trialRows(trial) {
      if (!trial.rows.length) return [element("p", {}, trial.note)];
      const rows = trial.rows.map((row) => element("li", { "data-tone": row.tone }, element("details", {},
        element("summary", {}, element("span", { class: "phoenix-mono" }, row.event), element("strong", { class: `phoenix-${row.tone}` }, row.verdict), element("small", {}, `${row.player}, ${row.at} UTC`)),
        element("p", {}, row.text), ...row.effects.map((text) => element("p", {}, text)), ...this.trace(row.trace),
      )));
      return [element("p", { "data-part": "trial-sum" }, trial.note), element("ul", { class: "phoenix-tried" }, ...rows)];
    }

    trace(lines) {
      if (!lines.length) return [];
      const cells = (tag, values) => element("tr", {}, ...values.map((value) => element(tag, {}, value)));
      const body = lines.map((line) => { const row = cells("td", [line.field, line.expected, line.actual]); row.className = line.result ? "is-met" : "is-missed"; return row; });
      return [element("table", { class: "phoenix-trace" }, element("thead", {}, cells("th", ["Field", "Wanted", "Found"])), element("tbody", {}, ...body))];
    }

    async copy() {
      await navigator.clipboard.writeText(this.json.value);
      const button = this.part("copy");
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    }
  }

  document.addEventListener("DOMContentLoaded", () => {
    const panel = document.querySelector("[data-phoenix-rule]");
    if (panel) new Builder(panel).start();
  });
})();
