"use strict";
(() => {
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const tables = all("table.params").map((table) => ({
    table,
    tools: table.closest(".part").querySelector(".tools"),
    bodies: all("tbody.rows", table).map((body) => ({
      body,
      head: body.previousElementSibling?.classList.contains("group") ? body.previousElementSibling : null,
      rows: all("tr", body),
      open: false,
    })),
  }));

  // ---- what is shown stands in the address, so that a link leads to the same view: #at=r0-f2&q=conv&sort=gradient&dir=up
  const state = { at: "", q: "", show: "", sort: "", dir: "" };
  const read = () => {
    const text = decodeURIComponent(location.hash.slice(1));
    const given = new URLSearchParams(text.includes("=") ? location.hash.slice(1) : "");
    for (const key of Object.keys(state)) state[key] = given.get(key) || "";
    if (!text.includes("=")) state.at = text;
  };
  const write = () => {
    const kept = Object.entries(state).filter(([, value]) => value);
    const plain = kept.length === 1 && kept[0][0] === "at";
    const hash = kept.length === 0 ? "" : plain ? state.at : new URLSearchParams(kept).toString();
    history.replaceState(null, "", "#" + hash);
  };

  // ---- parameters: search, filter, sort, fold
  const number = (cell) => {
    if (cell.cellIndex === column.size) return cell.textContent.split(" x ").reduce((size, axis) => size * (Number(axis) || 1), 1);
    const text = cell.textContent.replace(/[<%\s]/g, "");
    return text === "NaN" || text.endsWith("Inf") ? Infinity : text === "" ? 0 : text === "\u2013" ? -1 : Number(text);
  };
  const column = { name: 0, gradient: 2, largest: 3, zeros: 4, value: 5, size: 6, state: 7 };
  const wanted = (row, words) => {
    const name = row.cells[0].textContent.toLowerCase();
    if (!words.every((word) => name.includes(word))) return false;
    if (state.show === "sick") return row.querySelector("a.badge") !== null;
    return !state.show || row.classList.contains(state.show);
  };
  const keyOf = (key) => (row) => (key === "name" || key === "state" ? row.cells[column[key]].textContent : number(row.cells[column[key]]));
  const compare = (a, b) => (typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b);
  const OPEN = 500; // rows that a search unfolds: drawing thousands at every key would stall
  let order = "";
  const apply = () => {
    const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
    const filtering = words.length > 0 || state.show !== "";
    const reorder = order !== state.sort + state.dir;
    order = state.sort + state.dir;
    for (const { table, tools, bodies } of tables) {
      const matches = bodies.map(({ rows }) => rows.filter((row) => !(row.hidden = !wanted(row, words))).length);
      const shown = matches.reduce((sum, here) => sum + here, 0);
      const total = bodies.reduce((sum, { rows }) => sum + rows.length, 0);
      bodies.forEach((entry, i) => {
        if (reorder) {
          const key = state.sort in column ? keyOf(state.sort) : null;
          const sorted = key ? entry.rows.map((row) => [key(row), row]).sort((a, b) => compare(a[0], b[0])).map((pair) => pair[1]) : entry.rows;
          entry.body.append(...(state.dir === "down" ? [...sorted].reverse() : sorted));
        }
        if (entry.head) {
          const open = matches[i] > 0 && (entry.open || (filtering && shown <= OPEN));
          entry.head.hidden = matches[i] === 0;
          entry.body.hidden = !open;
          entry.head.querySelector(".fold").setAttribute("aria-expanded", String(open));
        }
      });
      if (tools.querySelector(".q") !== document.activeElement) tools.querySelector(".q").value = state.q;
      tools.querySelector(".show").value = state.show;
      tools.querySelector(".shown").textContent = filtering ? `${shown} of ${total} parameters` : `${total} parameters`;
      for (const head of all("th[data-sort]", table)) {
        const on = head.dataset.sort === state.sort;
        if (on) head.setAttribute("aria-sort", state.dir === "down" ? "descending" : "ascending");
        else head.removeAttribute("aria-sort");
        head.querySelector("button").textContent = head.dataset.label + (on ? (state.dir === "down" ? " \u25be" : " \u25b4") : "");
      }
    }
  };
  for (const { table, tools, bodies } of tables) {
    const total = bodies.reduce((sum, { rows }) => sum + rows.length, 0);
    tools.hidden = false;
    for (const head of all("th[data-sort]", table)) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.dataset.label = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const numeric = head.classList.contains("n");
        const again = state.sort === head.dataset.sort;
        const first = numeric ? "down" : "up";
        if (!again) state.dir = first;
        else if (state.dir === first) state.dir = first === "up" ? "down" : "up";
        else state.dir = state.sort = "";
        state.sort = again && state.dir === "" ? "" : head.dataset.sort;
        write();
        apply();
      });
    }
    let waiting = 0;
    tools.querySelector(".q").addEventListener("input", (event) => {
      state.q = event.target.value;
      clearTimeout(waiting);
      waiting = setTimeout(() => { write(); apply(); }, total > OPEN ? 150 : 0);
    });
    tools.querySelector(".show").addEventListener("change", (event) => { state.show = event.target.value; write(); apply(); });
    for (const entry of bodies) {
      entry.head?.querySelector(".fold").addEventListener("click", () => { entry.open = entry.body.hidden; apply(); });
    }
  }

  // ---- links that point into the report open what is folded around their aim
  const reveal = () => {
    const aim = state.at && document.getElementById(state.at);
    if (!aim) return;
    for (let node = aim; node; node = node.parentElement) if (node.tagName === "DETAILS") node.open = true;
    for (const { bodies } of tables) {
      for (const entry of bodies) if (entry.head && entry.body.contains(aim)) entry.open = true;
    }
    if (aim.hidden) state.q = state.show = "";
    apply();
    aim.scrollIntoView({ block: "center" });
  };
  addEventListener("hashchange", () => {
    const before = { ...state };
    read();
    if (!location.hash.includes("=")) Object.assign(state, { q: before.q, show: before.show, sort: before.sort, dir: before.dir });
    apply();
    reveal();
  });

  // ---- charts: a cursor that follows the mouse and the arrow keys
  for (const chart of all(".chart")) {
    const rows = all(".numbers tbody tr", chart.parentElement);
    const readout = chart.querySelector(".readout");
    const left = Number(chart.dataset.left) / 10, right = Number(chart.dataset.right) / 10;
    let current = rows.length;
    const move = (i) => {
      current = Math.max(0, Math.min(rows.length - 1, i));
      const x = left + ((right - left) * current) / Math.max(1, rows.length - 1) + "%";
      for (const line of all(".cursor", chart)) { line.setAttribute("x1", x); line.setAttribute("x2", x); }
      const [layer, op, gradient, keeps, signal] = [...rows[current].cells].map((cell) => cell.textContent.trim());
      readout.textContent = `${layer}, ${op}: gradient ${gradient}, keeps ${keeps}, signal ${signal}`;
    };
    readout.hidden = false;
    readout.textContent = "Point at the chart, or walk with the arrow keys.";
    const plot = chart.querySelector(".plot");
    chart.addEventListener("pointermove", (event) => {
      const box = plot.getBoundingClientRect();
      const share = ((event.clientX - box.left) / box.width) * 100;
      move(Math.round(((share - left) / (right - left)) * (rows.length - 1)));
    });
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity };
    chart.addEventListener("keydown", (event) => {
      if (!(event.key in steps)) return;
      event.preventDefault();
      move(event.key === "End" ? rows.length - 1 : event.key === "Home" ? 0 : current + steps[event.key]);
    });
  }

  // ---- theme, download, keys, print
  const root = document.documentElement, theme = document.getElementById("theme");
  const stored = { get: () => { try { return localStorage.getItem("gradhealth-theme") || ""; } catch { return ""; } },
    set: (value) => { try { localStorage.setItem("gradhealth-theme", value); } catch { /* a page without storage */ } } };
  const setTheme = (value) => {
    if (value) root.dataset.theme = value; else delete root.dataset.theme;
    theme.querySelector("span").textContent = value || "auto";
  };
  setTheme(stored.get());
  theme.addEventListener("click", () => {
    const next = { "": "light", light: "dark", dark: "" }[root.dataset.theme || ""];
    stored.set(next);
    setTheme(next);
  });
  document.getElementById("download").addEventListener("click", async () => {
    const packed = Uint8Array.from(atob(document.getElementById("run-json").textContent), (char) => char.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([await new Response(stream).arrayBuffer()], { type: "application/json" }));
    link.download = "gradhealth.json";
    link.click();
  });
  document.querySelector(".buttons").hidden = false;
  addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    const search = document.querySelector(".tools .q");
    if (search) { event.preventDefault(); search.focus(); }
  });
  addEventListener("beforeprint", () => all("details").forEach((entry) => { entry.open = true; }));

  read();
  apply();
  if (state.at) reveal();
})();
