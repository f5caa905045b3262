// A table that sorts, filters and shows as many rows as a reader can take; a change touches only its own cells.
// A column: title, key of a row or value(row) (what it sorts and filters by), show(row) (what is seen, if not that),
// also(row) (what else changes what is seen), kind (class).

import { button, make, region } from "./dom.js";

const STEP = 200;
const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b
  : String(a).localeCompare(String(b), undefined, { numeric: true }));

export class Table {
  // `id` is the key of a row by which it is known again.
  constructor(label, id, columns, empty = "nothing yet") {
    Object.assign(this, { id, empty, rows: [], kept: new Map(), limit: STEP, filter: "" });
    this.columns = columns.map((own) => ({ value: own.key && ((row) => row[own.key]), ...own }));
    this.heads = columns.map(({ title, kind }, n) => make("th", { scope: "col", class: kind },
      title ? button(title, () => this.sort(n)) : make("span", { class: "hidden" }, "Actions")));
    this.body = make("tbody");
    this.more = button("", () => { this.limit += STEP; this.draw(); }, "quiet", { hidden: true });
    this.none = make("p", { class: "soft" });
    const table = make("table", {}, make("thead", {}, make("tr", {}, ...this.heads)), this.body);
    this.element = region(label, "scroll", table, this.none, this.more);
  }

  sort(n) {
    this.down = this.column === this.columns[n] && !this.down;
    this.column = this.columns[n];
    this.heads.forEach((head, m) => { head.ariaSort = m !== n ? "none" : this.down ? "descending" : "ascending"; });
    this.draw();
  }

  draw(rows = this.rows) {
    this.rows = rows;
    const wanted = this.filter.toLowerCase(), has = (text) => String(text).toLowerCase().includes(wanted);
    const found = rows.filter((row) => !wanted || this.columns.some(({ value }) => value && has(value(row))));
    if (this.column) {
      const { value } = this.column, sign = this.down ? -1 : 1, blank = (row) => ["", undefined].includes(value(row));
      found.sort((a, b) => blank(a) - blank(b) || sign * compare(value(a), value(b)));
    }
    const held = this.body.contains(document.activeElement) && document.activeElement.closest("th, td"); // by a keyboard
    const inside = () => [...held.querySelectorAll("button, a")], place = held && inside().indexOf(document.activeElement);
    const lines = found.slice(0, this.limit).map((row) => this.line(row)), now = this.body.children;
    if (now.length !== lines.length || lines.some((line, n) => now[n] !== line)) this.body.replaceChildren(...lines);
    if (held) inside()[place]?.focus({ preventScroll: true });
    this.none.textContent = found.length ? "" : wanted ? "nothing matches" : this.empty;
    this.more.hidden = found.length <= this.limit;
    this.more.textContent = `Show ${STEP} more of ${found.length}`;
  }

  line(row) {
    const key = row[this.id], kept = this.kept.get(key) || { told: [] };
    const cell = ({ kind }) => make(kind === "name" ? "th" : "td", { class: kind, scope: kind === "name" && "row" });
    kept.cells ||= this.columns.map(cell);
    kept.element ||= make("tr", {}, ...kept.cells);
    this.kept.set(key, kept);
    this.columns.forEach(({ value, show, also }, n) => {
      const told = `${value?.(row)}\0${also?.(row)}`;
      if (kept.told[n] !== told) kept.cells[n].replaceChildren(show ? show(row) : String(value(row) ?? ""));
      kept.told[n] = told;
    });
    return kept.element;
  }
}
