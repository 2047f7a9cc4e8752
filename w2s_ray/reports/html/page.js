"use strict";
// Tables that sort, filter and unfold. Without this script all rows are shown, in their order.
(() => {
  // What a cell begins with: a number, or a time in seconds. Words such as "no gap (72 %)" have none, and go last.
  const number = (text) => {
    const plain = text.replace(/[,\u2009]/g, "").replace("\u2212", "-");
    const time = plain.match(/^(?:(\d+) h)? ?(?:(\d+) min)? ?(?:([\d.]+) s)?$/);
    if (time && time[0]) return 3600 * (time[1] || 0) + 60 * (time[2] || 0) + +(time[3] || 0);
    const found = plain.match(/^[+-]?\d+(\.\d+)?(e[+-]?\d+)?/i);
    return found ? parseFloat(found[0]) : NaN;
  };
  const whole = (text) => /^([\d,]*(\.\d+)?)$/.test(text);
  const words = (row, place) => row.cells[place].textContent.trim();

  for (const table of document.querySelectorAll("table")) {
    const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells], first = [...body.rows];
    const chosen = new Map();
    let open = !table.dataset.fold;

    const show = () => {
      let shown = 0;
      for (const row of body.rows) {
        const fits = [...chosen].every(([place, value]) => value === "" || words(row, place) === value);
        row.hidden = !fits || (!open && shown >= +table.dataset.fold);
        shown += fits;
      }
      if (more) more.hidden = open || shown <= +table.dataset.fold;
      if (more) more.textContent = `Show all ${shown} rows`;
    };

    let more = null;
    if (!open) {
      more = document.createElement("button");
      more.className = "more";
      more.addEventListener("click", () => { open = true; show(); });
      table.parentElement.after(more);
    }

    heads.forEach((head, place) => {
      if (body.rows.length < 2 || body.querySelector("[scope=rowgroup]")) return;
      const button = document.createElement("button");
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const numbers = head.classList.contains("n") || first.every((row) => whole(words(row, place)));
        const down = head.getAttribute("aria-sort") === (numbers ? "descending" : "ascending");
        const up = numbers ? down : !down;
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const sorted = first.map((row, at) => [numbers ? number(words(row, place)) : words(row, place), at, row]);
        sorted.sort((a, b) => {
          if (numbers && (isNaN(a[0]) || isNaN(b[0]))) return isNaN(a[0]) - isNaN(b[0]) || a[1] - b[1];
          const order = numbers ? a[0] - b[0] : a[0].localeCompare(b[0], undefined, { numeric: true });
          return (up ? order : -order) || a[1] - b[1];
        });
        body.append(...sorted.map((entry) => entry[2]));
        show();
      });
    });

    const filters = heads.map((head, place) => place).filter((place) => "filter" in heads[place].dataset);
    if (filters.length) {
      const choose = document.createElement("div");
      choose.className = "choose";
      for (const place of filters) {
        const label = document.createElement("label"), select = document.createElement("select");
        label.append(`${heads[place].textContent} `, select);
        for (const value of ["", ...new Set(first.map((row) => words(row, place)))]) {
          select.append(new Option(value || "all", value));
        }
        select.addEventListener("change", () => { chosen.set(place, select.value); show(); });
        choose.append(label);
      }
      table.parentElement.before(choose);
    }
    show();

    const reveal = () => {
      const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
      if (!target || !table.contains(target)) return;
      for (let at = table.parentElement; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
      if (target.hidden) { open = true; show(); }
      target.scrollIntoView({ block: "center" });
    };
    addEventListener("hashchange", reveal);
    reveal();
  }
})();
