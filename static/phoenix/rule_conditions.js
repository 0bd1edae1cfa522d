/* Conditions as a tree of groups and comparisons, kept in one JSON field. */
(() => {
  "use strict";

  const { element, textInput, select, button, removeButton, number, isNumber, numberText, redraw, editors } = window.phoenixRules;

  const GROUPS = [["and", "All of these hold"], ["or", "At least one of these holds"], ["not", "None of these holds"]];
  const OPERATORS = [
    ["eq", "is"], ["ne", "is not"], ["gt", "is more than"], ["gte", "is at least"], ["lt", "is less than"], ["lte", "is at most"],
    ["in", "is one of"], ["nin", "is none of"], ["contains", "contains"], ["starts_with", "starts with"], ["exists", "is there"],
  ];
  const ORDERED = ["eq", "ne", "gt", "gte", "lt", "lte"];
  const FITTING = {
    number: [...ORDERED, "in", "nin", "exists"],
    text: ["eq", "ne", "in", "nin", "contains", "starts_with", "exists"],
    yes_no: ["eq", "ne", "exists"],
    time: [...ORDERED, "exists"],
    list: ["contains", "eq", "ne", "exists"],
    object: ["exists", "eq", "ne"],
  };
  const KINDS = [["number", "number"], ["text", "text"], ["yes_no", "yes/no"], ["nothing", "nothing"], ["expression", "formula"], ["json", "JSON"]];
  const LISTS = new Set(["in", "nin"]);
  const MAX_DEPTH = 8;

  function kindOf(value) {
    if (isNumber(value)) return "number";
    if (typeof value === "boolean") return "yes_no";
    if (value === null) return "nothing";
    return typeof value === "string" ? "text" : "json";
  }

  function readComparison(document) {
    const node = { field: document.field ?? "", op: document.op, kind: "text", text: "" };
    if ("value_expression" in document) return { ...node, kind: "expression", text: String(document.value_expression ?? "") };
    const value = document.value;
    if (value === undefined) return node;
    if (LISTS.has(document.op) && Array.isArray(value) && value.length) {
      const kinds = new Set(value.map(kindOf));
      const isPlain = kinds.size === 1 && (kinds.has("number") || (kinds.has("text") && !value.some((each) => each.includes(","))));
      if (isPlain) return { ...node, kind: kindOf(value[0]), text: value.map((each) => (isNumber(each) ? numberText(each) : each)).join(", ") };
    }
    const kind = kindOf(value);
    const texts = { number: () => numberText(value), yes_no: () => String(value), nothing: () => "", text: () => value, json: () => JSON.stringify(value) };
    return { ...node, kind, text: texts[kind]() };
  }

  function isGroup(document) { return ["and", "or", "not"].includes(document?.op) && Array.isArray(document.conditions); }

  /* "None of these" is written as not(or(…)), so it is read back as one group. */
  function read(document) {
    if (!isGroup(document)) return readComparison(document ?? {});
    const [first] = document.conditions;
    const members = document.op === "not" && isGroup(first) && first.op === "or" ? first.conditions : document.conditions;
    return { group: document.op, members: members.map(read) };
  }

  function valueOf(node) {
    const parts = node.text.split(",").map((part) => part.trim()).filter((part) => part !== "");
    if (node.op === "exists") return node.text !== "false";
    if (node.kind === "json") { try { return window.phoenixRules.parse(node.text); } catch { return node.text; } }
    if (LISTS.has(node.op) && node.kind !== "yes_no" && node.kind !== "nothing") return node.kind === "number" ? parts.map(number) : parts;
    if (node.kind === "number") return number(node.text);
    if (node.kind === "yes_no") return node.text !== "false";
    return node.kind === "nothing" ? null : node.text;
  }

  /* Writes the tree as a document, and into each element the place that its part has there. */
  function write(node, path) {
    node.element?.setAttribute("data-path", path);
    if (!node.group) {
      const key = node.kind === "expression" && node.op !== "exists" ? "value_expression" : "value";
      const marks = { field: "field", op: "op", kind: "kind", value: key };
      for (const [name, step] of Object.entries(marks)) node.element?.querySelector(`[data-part="${name}"]`)?.setAttribute("data-path", `${path}.${step}`);
      return { op: node.op, field: node.field.trim(), [key]: key === "value" ? valueOf(node) : node.text };
    }
    const isNested = node.group === "not" && node.members.length !== 1;
    const inner = isNested ? `${path}.conditions.0.conditions` : `${path}.conditions`;
    const members = node.members.map((member, at) => write(member, `${inner}.${at}`));
    if (!isNested) return { op: node.group, conditions: members };
    return { op: "not", conditions: [{ op: "or", conditions: members }] };
  }

  class Tree {
    constructor(box, changed) {
      this.box = box;
      this.changed = changed;
      this.root = { group: "and", members: [] };
    }

    set(document) {
      this.root = isGroup(document) ? read(document) : { group: "and", members: document && Object.keys(document).length ? [read(document)] : [] };
      this.draw();
    }

    get() {
      const document = write(this.root, "conditions");
      return this.root.members.length ? document : {};
    }

    draw() { this.box.replaceChildren(this.group(this.root, null, 1)); this.get(); }

    /* Kinds may be known only now, and operators with them. */
    refresh() { redraw(this.box, () => this.draw()); }

    group(node, parent, depth) {
      const kind = select("How the conditions go together", GROUPS, node.group, (value) => { node.group = value; this.changed(); });
      const members = element("div", { class: "phoenix-group__members", role: "group" });
      members.append(...node.members.map((member) => this.node(member, node, depth + 1)));
      if (!node.members.length) members.append(element("p", { class: "phoenix-soft" }, parent ? "Empty: add a condition." : "No conditions: it always holds."));
      const add = (member) => {
        node.members.push(member);
        this.draw();
        (member.element?.querySelector("input") ?? member.element?.querySelector("button"))?.focus();
        this.changed();
      };
      const actions = element("div", { class: "phoenix-group__actions" }, button("Add a condition", () => add({ field: "", op: "eq", kind: "text", text: "" }), { "data-add": "condition" }));
      if (depth < MAX_DEPTH) actions.append(button("Add a group", () => add({ group: node.group === "and" ? "or" : "and", members: [] }), { "data-add": "group" }));
      const head = element("div", { class: "phoenix-group__head" }, kind);
      if (parent) head.append(removeButton("Remove this group", () => this.remove(node, parent)));
      node.element = element("div", { class: "phoenix-group", "data-node": "", "data-depth": depth }, head, members, actions);
      return node.element;
    }

    node(node, parent, depth) { return node.group ? this.group(node, parent, depth) : this.comparison(node, parent); }

    remove(node, parent) {
      const at = parent.members.indexOf(node);
      parent.members.splice(at, 1);
      this.draw();
      const next = parent.members[Math.min(at, parent.members.length - 1)];
      (next?.element ?? parent.element).querySelector("input, select, button")?.focus();
      this.changed();
    }

    comparison(node, parent) {
      node.element = element("div", { class: "phoenix-node phoenix-comparison", "data-node": "" });
      this.fillComparison(node, parent);
      return node.element;
    }

    fillComparison(node, parent) {
      const known = window.phoenixRules.fields.get(node.field)?.kind;
      const again = (part) => { this.fillComparison(node, parent); node.element.querySelector(`[data-part="${part}"]`)?.focus(); this.changed(); };
      const field = textInput("Field, such as attrs.bet", node.field, (text) => {
        node.field = text;
        const kind = window.phoenixRules.fields.get(text)?.kind;
        if (kind) this.adopt(node, kind, parent);
        this.changed();
      }, { list: "phoenix-fields", "data-part": "field" });
      const allowed = node.kind === "expression" ? ORDERED : (FITTING[known] ?? OPERATORS.map(([op]) => op));
      const operators = OPERATORS.filter(([op]) => allowed.includes(op) || op === node.op);
      const op = select("Operator", operators, node.op, (value) => { node.op = value; again("op"); }, { unknown: "" });
      op.dataset.part = "op";
      const parts = [field, op];
      if (node.op !== "exists") {
        const kind = select("Compared with a", KINDS, node.kind, (value) => { this.setKind(node, value); again("kind"); });
        kind.dataset.part = "kind";
        parts.push(kind);
      }
      parts.push(this.value(node));
      node.element.replaceChildren(...parts, removeButton("Remove this condition", () => this.remove(node, parent)));
      node.element.classList.toggle("is-short", node.op === "exists");
    }

    /* A field that was chosen says what its values are; what stands there already is left alone. */
    adopt(node, kind, parent) {
      const wanted = { number: "number", yes_no: "yes_no" }[kind] ?? "text";
      if (node.text !== "" || node.kind === "expression" || wanted === node.kind) return;
      this.setKind(node, wanted);
      if (kind === "number" && node.op === "eq") node.op = "gte";
      const hadFocus = node.element.contains(document.activeElement);
      this.fillComparison(node, parent);
      if (hadFocus) node.element.querySelector('[data-part="field"]').focus();
    }

    setKind(node, kind) {
      if (kind === "expression" && !ORDERED.includes(node.op)) node.op = "gte";
      if (kind === "yes_no") node.text = node.text === "false" ? "false" : "true";
      else if (node.kind === "yes_no") node.text = "";
      node.kind = kind;
    }

    value(node) {
      const changed = (text) => { node.text = text; this.changed(); };
      if (node.op === "exists" || node.kind === "yes_no") {
        if (node.text !== "false") node.text = "true";
        const made = select("Value", [["true", "yes"], ["false", "no"]], node.text, changed);
        made.dataset.part = "value";
        return made;
      }
      if (node.kind === "nothing") return element("span", { class: "phoenix-soft", "data-part": "value" }, "nothing");
      const labels = { number: "Number", text: "Text", expression: "10 * attrs.bet", json: "JSON" };
      const label = LISTS.has(node.op) && node.kind !== "json" ? "Values, with commas" : labels[node.kind];
      const list = node.field === "now.weekday" ? "phoenix-weekdays" : node.kind === "expression" ? "phoenix-number-fields" : null;
      return textInput(label, node.text, changed, { "data-part": "value", list, inputmode: node.kind === "number" && !LISTS.has(node.op) ? "decimal" : null });
    }
  }

  editors.conditions = (box, changed) => new Tree(box, changed);
})();
