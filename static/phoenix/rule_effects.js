/* Effects as cards, and event types as rows, each kept in one JSON field. */
(() => {
  "use strict";

  const { element, textInput, select, button, removeButton, number, isNumber, numberText, redraw, editors } = window.phoenixRules;

  const TYPES = [
    ["item", "Give an item"], ["config", "Give by a reward config"], ["credit", "Credit a currency"], ["debit", "Debit a currency"],
    ["progress", "Add to a goal"], ["coupon", "Give a coupon code"],
  ];
  const AMOUNTS = [["fixed", "a fixed amount"], ["multiplier", "a share of a field"], ["step", "for each full step"], ["expression", "a formula"]];
  const NEW = {
    item: () => ({ type: "grant", item_id: "" }),
    config: () => ({ type: "grant", reward_config_id: "" }),
    credit: () => ({ type: "credit", currency_id: "", amount: { type: "fixed", amount: null } }),
    debit: () => ({ type: "debit", currency_id: "", amount: { type: "fixed", amount: null } }),
    progress: () => ({ type: "progress", goal: "", amount: { type: "fixed", amount: 1 } }),
    coupon: () => ({ type: "coupon", coupon_id: "" }),
  };
  const NEW_AMOUNT = {
    fixed: () => ({ type: "fixed", amount: null }),
    multiplier: () => ({ type: "multiplier", field: "", factor: null }),
    step: () => ({ type: "step", field: "", per: null, amount: null }),
    expression: () => ({ type: "expression", expression: "" }),
  };

  function typeOf(effect) {
    if (effect?.type === "grant") return "reward_config_id" in effect ? "config" : "item";
    return NEW[effect?.type] ? effect.type : "json";
  }

  function choices(name) {
    return window.phoenixRules.library[name].map(({ value, label, hint }) => [value, hint ? `${label} (${hint})` : label]);
  }

  /* Whatever is still empty is left out, so that the server calls it missing and not wrong. */
  function trimmed(document) {
    if (document === null || typeof document !== "object" || Array.isArray(document) || isNumber(document)) return document;
    const kept = Object.entries(document).filter(([, value]) => value !== null && value !== "");
    return Object.fromEntries(kept.map(([key, value]) => [key, trimmed(value)]));
  }

  class Effects {
    constructor(box, changed) {
      this.box = box;
      this.changed = changed;
      this.effects = [];
    }

    set(documents) {
      this.effects = (Array.isArray(documents) ? documents : []).map((each) => {
        const isPlainAmount = each?.type === "progress" && isNumber(each.amount);
        return isPlainAmount ? { ...each, amount: { type: "fixed", amount: each.amount } } : each;
      });
      this.draw();
    }

    get() { return this.effects.map(trimmed); }

    refresh() { redraw(this.box, () => this.draw()); }

    draw() {
      const cards = this.effects.map((effect, at) => this.card(effect, at));
      if (!cards.length) cards.push(element("p", { class: "phoenix-soft" }, "Nothing happens yet."));
      const add = button("Add an effect", () => {
        this.effects.push(NEW.credit());
        this.draw();
        this.box.querySelector(`[data-path="effects.${this.effects.length - 1}"] select`)?.focus();
        this.changed();
      }, { "data-add": "effect" });
      this.box.replaceChildren(...cards, element("div", { class: "phoenix-group__actions" }, add));
    }

    replace(at, effect, part) {
      this.effects[at] = effect;
      this.draw();
      this.box.querySelector(`[data-path="effects.${at}"] [data-part="${part}"]`)?.focus();
      this.changed();
    }

    card(effect, at) {
      const type = typeOf(effect);
      const path = `effects.${at}`;
      const chooser = select("Effect", type === "json" ? [["json", "Something else"], ...TYPES] : TYPES, type, (value) => this.replace(at, NEW[value](), "type"));
      chooser.dataset.part = "type";
      const head = element("div", { class: "phoenix-effect__line" }, chooser, ...this.target(effect, type, path), removeButton("Remove this effect", () => {
        this.effects.splice(at, 1);
        this.draw();
        this.box.querySelector("select, button")?.focus();
        this.changed();
      }));
      const card = element("div", { class: "phoenix-node phoenix-effect", "data-node": "", "data-path": path }, head);
      if ("amount" in NEW[type === "json" ? "item" : type]()) card.append(this.amount(effect, at, path));
      return card;
    }

    target(effect, type, path) {
      const chosen = (key, label, name) => {
        const made = select(label, choices(name), effect[key], (value) => { effect[key] = value; this.changed(); }, { empty: `Choose: ${label.toLowerCase()}` });
        made.dataset.path = `${path}.${key}`;
        return [made];
      };
      if (type === "item") return chosen("item_id", "Item", "items");
      if (type === "config") return chosen("reward_config_id", "Reward config", "configs");
      if (type === "progress") return chosen("goal", "Goal", "goals");
      if (type === "coupon") return chosen("coupon_id", "Coupon", "coupons");
      if (type === "json") return [element("code", {}, JSON.stringify(effect))];
      return chosen("currency_id", "Currency", "currencies");
    }

    amount(effect, at, path) {
      const amount = effect.amount && typeof effect.amount === "object" ? effect.amount : NEW_AMOUNT.fixed();
      effect.amount = amount;
      const form = select("Amount", AMOUNTS, amount.type, (value) => { effect.amount = NEW_AMOUNT[value](); this.replace(at, effect, "amount"); });
      form.dataset.part = "amount";
      form.dataset.path = `${path}.amount.type`;
      return element("div", { class: "phoenix-effect__amount", "data-path": `${path}.amount` }, form, ...this.amountParts(amount, `${path}.amount`));
    }

    amountParts(amount, path) {
      const numeric = (key, label) => textInput(label, numberText(amount[key]), (text) => { amount[key] = number(text); this.changed(); }, { inputmode: "decimal", "data-path": `${path}.${key}`, class: "is-number" });
      const field = () => textInput("attrs.score", amount.field, (text) => { amount.field = text.trim(); this.changed(); }, { list: "phoenix-number-fields", "data-path": `${path}.field`, "aria-label": "Field" });
      const word = (text) => element("span", {}, text);
      if (amount.type === "multiplier") return [numeric("factor", "Factor"), word("times"), field()];
      if (amount.type === "step") return [numeric("amount", "Amount"), word("for each full"), numeric("per", "Step"), word("of"), field()];
      if (amount.type === "expression") {
        return [textInput("attrs.bet * 0.5", amount.expression, (text) => { amount.expression = text; this.changed(); }, { "data-path": `${path}.expression`, "aria-label": "Formula", list: "phoenix-number-fields" })];
      }
      return [numeric("amount", "Amount")];
    }
  }

  class Names {
    constructor(box, changed) {
      this.box = box;
      this.changed = changed;
      this.names = [];
    }

    set(names) {
      this.names = Array.isArray(names) ? names.map(String) : [];
      this.draw();
    }

    get() { return this.names.map((name) => name.trim()).filter((name) => name !== ""); }

    refresh() {}

    draw() {
      const rows = (this.names.length ? this.names : [""]).map((name, at) => this.row(name, at));
      const add = button("Add an event type", () => {
        this.names.push("");
        this.draw();
        this.box.querySelector("[data-node]:nth-last-child(2) input").focus();
      }, { "data-add": "name" });
      this.box.replaceChildren(...rows, element("div", { class: "phoenix-group__actions" }, add));
    }

    row(name, at) {
      const input = textInput("game.completed", name, (text) => { this.names[at] = text; this.changed(); }, { list: "phoenix-event-types", "data-path": `trigger.names.${at}`, "aria-label": "Event type" });
      const remove = removeButton("Remove this event type", () => { this.names.splice(at, 1); this.draw(); this.box.querySelector("input").focus(); this.changed(); });
      return element("div", { class: "phoenix-node phoenix-name", "data-node": "" }, input, ...(this.names.length > 1 ? [remove] : []));
    }
  }

  editors.effects = (box, changed) => new Effects(box, changed);
  editors.names = (box, changed) => new Names(box, changed);
})();
