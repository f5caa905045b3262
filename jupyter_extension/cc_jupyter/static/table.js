// A table that sorts, filters and shows as many rows as a reader can take; a change touches only its own cells.
// A column: title, value (what it sorts and filters by), show (what is seen, if not the value), also (what else changes
// what is seen), kind (class).

import { button, make } from "./dom.js";

const STEP = 200;
const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b
  : String(a).localeCompare(String(b), undefined, { numeric: true }));

export class Table {
  constructor(label, columns, key, empty = "nothing yet") {
    Object.assign(this, { columns, key, empty, rows: [], kept: new Map(), limit: STEP, column: null, down: false, filter: "" });
    this.heads = columns.map(({ title, kind }, n) => make("th", { scope: "col", class: kind },
      title ? button(title, () => this.sort(n)) : make("span", { class: "hidden" }, "Actions")));
    this.body = make("tbody");
    this.more = button("", () => { this.limit += STEP; this.draw(); }, { class: "quiet" });
    this.none = make("p", { class: "soft" });
    const caption = make("caption", { class: "hidden" }, label);
    this.element = make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label },
      make("table", {}, caption, make("thead", {}, make("tr", {}, ...this.heads)), this.body), this.none, this.more);
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
    const lines = found.slice(0, this.limit).map((row) => this.line(row)), now = this.body.children;
    if (now.length !== lines.length || lines.some((line, n) => now[n] !== line)) this.body.replaceChildren(...lines);
    this.none.textContent = found.length ? "" : wanted ? "nothing matches" : this.empty;
    this.more.hidden = found.length <= this.limit;
    this.more.textContent = `Show ${STEP} more of ${found.length}`;
  }

  line(row) {
    const cell = ({ kind }) => (kind === "name" ? make("th", { class: kind, scope: "row" }) : make("td", { class: kind }));
    const fresh = () => ({ cells: this.columns.map(cell), told: [], element: make("tr") });
    const kept = this.kept.get(this.key(row)) || this.kept.set(this.key(row), fresh()).get(this.key(row));
    if (!kept.told.length) kept.element.append(...kept.cells);
    this.columns.forEach(({ value, show, also }, n) => {
      const told = `${value?.(row)}\0${also?.(row)}`;
      if (kept.told[n] !== told) kept.cells[n].replaceChildren(show ? show(row) : String(value(row) ?? ""));
      kept.told[n] = told;
    });
    return kept.element;
  }
}
