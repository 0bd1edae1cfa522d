/* Pieces of the rule builder: elements, exact JSON, and faults shown where they belong. */
window.phoenixRules = (() => {
  "use strict";

  function element(tag, attributes, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes ?? {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else if (name === "value") made.value = value;
      else made.setAttribute(name, value === true ? "" : value);
    }
    made.append(...children.filter((child) => child !== null && child !== undefined));
    return made;
  }

  function textInput(label, value, changed, more) {
    return element("input", {
      type: "text", "aria-label": label, placeholder: label, value: value ?? "", autocomplete: "off",
      spellcheck: "false", oninput: (event) => changed(event.target.value), ...more,
    });
  }

  /* `choices` are [value, label] pairs; a value that is none of them is kept, and shown as it is. */
  function select(label, choices, value, changed, { empty = null, unknown = "(no longer there)" } = {}) {
    const made = element("select", { "aria-label": label, onchange: (event) => changed(event.target.value) });
    if (empty !== null) made.append(element("option", { value: "" }, empty));
    for (const [key, text] of choices) made.append(element("option", { value: key }, text));
    const isKnown = choices.some(([key]) => key === value);
    if (value && !isKnown) made.append(element("option", { value }, `${value} ${unknown}`.trim()));
    made.value = value ?? "";
    return made;
  }

  function button(label, action, more) {
    return element("button", { type: "button", class: "phoenix-button is-small", onclick: action, ...more }, label);
  }

  function removeButton(label, action) {
    return element("button", { type: "button", class: "phoenix-node__remove", "aria-label": label, title: label, onclick: action }, "×");
  }

  /* Numbers that JavaScript would round stay the text they are, where the browser can do that. */
  function parse(text) {
    return JSON.parse(text, (_key, value, context) => {
      const isRounded = typeof value === "number" && context?.source && JSON.rawJSON && !isExact(context.source);
      return isRounded ? JSON.rawJSON(context.source) : value;
    });
  }

  function isExact(text) {
    return !/[0-9]{16}/.test(text.replace(/[.-]/g, "")) && Number.isFinite(Number(text));
  }

  function isNumber(value) {
    return typeof value === "number" || value?.rawJSON !== undefined;
  }

  function numberText(value) {
    return value?.rawJSON ?? (value === null || value === undefined ? "" : String(value));
  }

  /* Returns the number that a text is, or the text itself: the server says what is wrong with it. */
  function number(text) {
    const trimmed = text.trim();
    if (!/^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$/.test(trimmed)) return trimmed === "" ? null : trimmed;
    return isExact(trimmed) || !JSON.rawJSON ? Number(trimmed) : JSON.rawJSON(trimmed);
  }

  function fill(datalist, entries) {
    datalist.replaceChildren(...entries.map(([value, label]) => element("option", { value, label: label || null })));
  }

  /* Draws anew what is in `box`; whoever types there goes on typing at the same place. */
  function redraw(box, draw) {
    const controls = () => [...box.querySelectorAll("input, select, button, textarea")];
    const at = controls().indexOf(document.activeElement);
    const { selectionStart: start = null, selectionEnd: end = null } = at < 0 ? {} : document.activeElement;
    draw();
    const again = at < 0 ? null : controls()[at];
    again?.focus();
    if (start !== null && again?.type === "text") again.setSelectionRange(start, end);
  }

  function clearFaults(form) {
    for (const said of form.querySelectorAll(".phoenix-fault")) said.remove();
    for (const marked of form.querySelectorAll("[data-faulty]")) {
      marked.removeAttribute("data-faulty");
      marked.removeAttribute("aria-invalid");
      marked.removeAttribute("aria-describedby");
    }
  }

  /* Returns the element that shows the most exact part of the path, `null` without any. */
  function placeOf(form, path) {
    const steps = path.split(".");
    for (let length = steps.length; length > 0; length -= 1) {
      const found = form.querySelector(`[data-path="${CSS.escape(steps.slice(0, length).join("."))}"]`);
      if (found) return found;
    }
    return null;
  }

  function showFault(form, fault, number) {
    const place = placeOf(form, fault.path) ?? (fault.field && form.querySelector(`[name="${fault.field}"]`));
    if (!place) return;
    const said = element("p", { class: "phoenix-fault", id: `phoenix-fault-${number}` }, fault.text);
    place.dataset.faulty = "";
    if (place.matches("input, select, textarea")) {
      place.setAttribute("aria-invalid", "true");
      place.setAttribute("aria-describedby", said.id);
    }
    const node = place.closest("[data-node]");
    if (node) node.append(said);
    else if (place.matches("[data-phoenix-editor]")) place.append(said);
    else place.after(said);
  }

  function showFaults(form, faults) {
    clearFaults(form);
    faults.forEach((fault, at) => showFault(form, fault, at));
  }

  return {
    element, textInput, select, button, removeButton, parse, number, isNumber, numberText, fill, redraw, showFaults,
    editors: {},
    // What the tenant has and sends, filled by the form: see `rule_form.js`.
    library: { items: [], configs: [], currencies: [], goals: [], coupons: [] },
    fields: new Map(),
  };
})();
