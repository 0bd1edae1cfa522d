/* The dashboard: draws what the server says and asks again every two seconds while it is visible. */
(() => {
  "use strict";

  const REFRESH_MS = 2000;
  const OLD_SECONDS = 10;
  const CHART_HEIGHT = 200;
  const MARGIN = { left: 44, right: 8, top: 10, bottom: 24 };
  const svgNamespace = "http://www.w3.org/2000/svg";
  const number = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

  function element(tag, text, className) {
    const made = document.createElement(tag);
    if (text !== undefined && text !== null) made.textContent = text;
    if (className) made.className = className;
    return made;
  }

  function shape(tag, attributes, text) {
    const made = document.createElementNS(svgNamespace, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function link(url, text) {
    const made = element("a", text);
    made.href = url;
    return made;
  }

  function tiles(target, data) {
    target.replaceChildren(...data.tiles.map((tile) => {
      const box = element("div", null, "phoenix-tile");
      const term = element("dt");
      term.append(tile.url ? link(tile.url, tile.label) : tile.label);
      const value = element("dd", null, tile.tone ? `phoenix-${tile.tone}` : "");
      value.append(tile.value);
      if (tile.unit) value.append(" ", element("small", tile.unit));
      box.append(term, value, element("p", tile.hint));
      return box;
    }));
  }

  function health(target, facts) {
    target.replaceChildren(...facts.map((fact) => {
      const item = element("li");
      item.append(element("span", null, `phoenix-dot ${fact.tone}`), element("strong", fact.label), ` ${fact.text}`);
      return item;
    }));
  }

  /* Returns a round number that is at least `value`, whose half is easily read too. */
  function roundUp(value) {
    const power = 10 ** Math.floor(Math.log10(Math.max(value, 1e-9)));
    return [1, 1.2, 1.6, 2, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((step) => step >= value);
  }

  function clock(seconds, withSeconds) {
    const options = { hour: "2-digit", minute: "2-digit", hour12: false, timeZone: "UTC" };
    if (withSeconds) options.second = "2-digit";
    return new Date(seconds * 1000).toLocaleTimeString("en-GB", options);
  }

  class Chart {
    constructor(target, peak) {
      this.target = target;
      this.peak = peak;
      this.data = null;
      this.tip = element("div", null, "phoenix-tip");
      this.tip.hidden = true;
      target.addEventListener("pointermove", (event) => this.point(event));
      target.addEventListener("pointerleave", () => { this.tip.hidden = true; this.cursor?.setAttribute("opacity", 0); });
      new ResizeObserver(() => this.draw()).observe(target);
    }

    show(data) {
      this.data = data;
      this.draw();
    }

    draw() {
      const width = this.target.clientWidth;
      if (!this.data) {
        this.target.replaceChildren(element("p", "Redis is away, and nothing is counted until it is back.", "phoenix-warn"));
        this.peak.textContent = "";
        return;
      }
      if (!width) return;
      const { step_seconds: step, accepted, refused } = this.data;
      this.rates = accepted.map((count) => count / step);
      this.refused = refused.map((count) => count / step);
      const highest = Math.max(...this.rates, ...this.refused);
      this.top = roundUp(Math.max(1, highest));
      this.width = width - MARGIN.left - MARGIN.right;
      this.height = CHART_HEIGHT - MARGIN.top - MARGIN.bottom;
      this.target.replaceChildren(this.picture(width), this.tip);
      this.peak.textContent = `peak ${number.format(highest)}`;
    }

    x(at) { return MARGIN.left + (this.width * at) / Math.max(1, this.rates.length - 1); }
    y(rate) { return MARGIN.top + this.height * (1 - rate / this.top); }

    picture(width) {
      const svg = shape("svg", { width, height: CHART_HEIGHT, viewBox: `0 0 ${width} ${CHART_HEIGHT}` });
      const gradient = shape("linearGradient", { id: "phoenix-fade", x1: 0, x2: 0, y1: 0, y2: 1 });
      gradient.append(shape("stop", { offset: 0, class: "is-strong" }), shape("stop", { offset: 1, class: "is-weak" }));
      svg.append(gradient, ...this.grid(), ...this.times());
      const line = this.rates.map((rate, at) => `${this.x(at).toFixed(1)},${this.y(rate).toFixed(1)}`).join(" ");
      const base = this.y(0);
      svg.append(
        shape("polygon", { class: "area", points: `${this.x(0)},${base} ${line} ${this.x(this.rates.length - 1)},${base}` }),
        shape("polyline", { class: "line", points: line }),
        ...this.bars(),
      );
      this.cursor = shape("line", { class: "cursor", y1: MARGIN.top, y2: base, opacity: 0 });
      svg.append(this.cursor);
      return svg;
    }

    grid() {
      return [0, 0.5, 1].flatMap((part) => {
        const y = this.y(this.top * part);
        return [
          shape("line", { class: "grid", x1: MARGIN.left, x2: MARGIN.left + this.width, y1: y, y2: y }),
          shape("text", { class: "tick", x: MARGIN.left - 8, y: y + 4, "text-anchor": "end" }, number.format(this.top * part)),
        ];
      });
    }

    times() {
      const count = this.rates.length;
      const marks = this.width < 420 ? [0, 0.5, 1] : [0, 0.25, 0.5, 0.75, 1];
      return marks.map((part) => {
        const at = Math.round((count - 1) * part);
        const anchor = part === 0 ? "start" : part === 1 ? "end" : "middle";
        const attributes = { class: "tick", x: this.x(at), y: CHART_HEIGHT - 6, "text-anchor": anchor };
        return shape("text", attributes, clock(this.data.began_at + at * this.data.step_seconds));
      });
    }

    bars() {
      const width = Math.max(1.5, (this.width / this.rates.length) * 0.7);
      return this.refused.flatMap((rate, at) => {
        if (!rate) return [];
        const height = Math.max(2, this.y(0) - this.y(rate));
        return [shape("rect", { class: "bar", x: this.x(at) - width / 2, y: this.y(0) - height, width, height })];
      });
    }

    point(event) {
      if (!this.data || !this.rates) return;
      const left = event.clientX - this.target.getBoundingClientRect().left;
      const share = (left - MARGIN.left) / this.width;
      const at = Math.min(this.rates.length - 1, Math.max(0, Math.round(share * (this.rates.length - 1))));
      const x = this.x(at);
      this.cursor.setAttribute("x1", x);
      this.cursor.setAttribute("x2", x);
      this.cursor.setAttribute("opacity", 1);
      const time = clock(this.data.began_at + at * this.data.step_seconds, true);
      this.tip.textContent = `${time} UTC: ${number.format(this.rates[at])} accepted, ${number.format(this.refused[at])} refused`;
      this.tip.hidden = false;
      this.tip.style.left = `${Math.min(x + 10, this.target.clientWidth - this.tip.offsetWidth - 4)}px`;
    }
  }

  function ago(time, now) {
    const seconds = Math.max(0, Math.round((now - Date.parse(time)) / 1000));
    if (seconds < 60) return `${seconds} s ago`;
    return seconds < 3600 ? `${Math.floor(seconds / 60)} min ago` : `${Math.floor(seconds / 3600)} h ago`;
  }

  function fill(td, cell, now) {
    if (cell === null || typeof cell !== "object") { td.textContent = cell; return; }
    if (cell.at) { td.textContent = ago(cell.at, now); td.title = cell.at; td.className = "num"; return; }
    if (cell.is_number) td.className = "num";
    if (cell.tone) td.append(element("span", null, `phoenix-dot ${cell.tone}`));
    td.append(cell.url ? link(cell.url, cell.text) : cell.text);
  }

  function table(target, heads, rows, empty, now) {
    if (!rows.length) {
      target.replaceChildren(element("p", empty, "phoenix-empty"));
      return;
    }
    const made = element("table");
    const head = made.createTHead().insertRow();
    const body = made.createTBody();
    for (const cells of rows) {
      const row = body.insertRow();
      for (const cell of cells) fill(row.insertCell(), cell, now);
    }
    rows[0].forEach((cell, at) => {
      const isNumber = typeof cell === "object" && Boolean(cell.is_number || cell.at);
      head.append(element("th", heads[at], isNumber ? "num" : ""));
    });
    target.replaceChildren(made);
  }

  function consumers(target, rows) {
    target.replaceChildren(...rows.map((row) => {
      const item = element("li");
      const name = element("strong");
      name.append(element("span", null, `phoenix-dot ${row.tone}`), row.name);
      const facts = element("dl");
      for (const [label, value] of row.facts) {
        const pair = element("div");
        pair.append(element("dt", label), element("dd", value));
        facts.append(pair);
      }
      item.append(name, facts);
      return item;
    }));
  }

  function changes(target, rows, now) {
    target.hidden = !rows;
    if (!rows) return;
    target.querySelector("ul").replaceChildren(...rows.map((row) => {
      const item = element("li");
      item.append(link(row.url, row.what), element("span", ` ${row.about}`), element("small", `${row.who}, ${ago(row.at, now)}`));
      return item;
    }));
  }

  function rewards(target, data, now) {
    target.hidden = !data;
    if (!data) return;
    tiles(target.querySelector("dl"), data);
    target.querySelector('[data-part="rewards-age"]').textContent = `counted ${ago(data.as_of, now)}`;
  }

  class Dashboard {
    constructor(root) {
      this.root = root;
      this.chart = new Chart(this.part("chart"), this.part("peak"));
    }

    part(name) { return this.root.querySelector(`[data-part="${name}"]`); }

    draw(data) {
      const now = Date.parse(data.sent_at);
      // Ages are told by the server's clock, however wrong this one is.
      this.asOf = Date.now() - (now - Date.parse(data.as_of));
      tiles(this.part("tiles"), data);
      health(this.part("health"), data.health);
      this.chart.show(data.chart);
      table(this.part("boards"), ["Board", "Tenant", "Window", "State", "Ends", "Players", "Late events"], data.boards, "No board is being scored. Create one under Leaderboards.", now);
      consumers(this.part("consumers"), data.consumers);
      table(this.part("errors"), ["Cause", "Tenant", "Times", "Last seen"], data.errors, "Nothing was refused in the last half hour, and quarantine is empty.", now);
      changes(this.part("changes"), data.changes, now);
      rewards(this.part("rewards"), data.rewards, now);
      this.showAge();
    }

    showAge() {
      const seconds = Math.max(0, Math.round((Date.now() - this.asOf) / 1000));
      const isOld = seconds >= OLD_SECONDS;
      const text = seconds < 3 ? "now" : `${seconds} s ago`;
      for (const label of this.root.querySelectorAll('[data-part="age"]')) label.textContent = `as of ${text}`;
      const live = this.part("live");
      live.textContent = isOld ? `No news for ${seconds} s` : "Live";
      live.classList.toggle("is-old", isOld);
    }

    async refresh() {
      if (document.hidden) return;
      try {
        const answer = await fetch(this.root.dataset.phoenixDashboard, { headers: { "X-Requested-With": "fetch" } });
        if (answer.ok && !answer.redirected) this.draw(await answer.json());
      } catch { /* the age says that the numbers are old */ }
    }
  }

  document.addEventListener("DOMContentLoaded", () => {
    const root = document.querySelector("[data-phoenix-dashboard]");
    if (!root) return;
    const dashboard = new Dashboard(root);
    dashboard.draw(JSON.parse(document.getElementById("phoenix-dashboard-data").textContent));
    setInterval(() => dashboard.refresh(), REFRESH_MS);
    setInterval(() => dashboard.showAge(), 1000);
    document.addEventListener("visibilitychange", () => dashboard.refresh());
  });
})();
