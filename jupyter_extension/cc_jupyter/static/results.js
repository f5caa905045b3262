// A loop's members as a table: the values, the outputs, the state, the time; each row can run again.

import { ask, at, get } from "./api.js";
import { button, doing, head, link, make, mark, shown } from "./dom.js";
import { Table } from "./table.js";

const LEFT = ["job", "state", "file"]; // what has a column of its own, or none

export class Results {
  constructor(store, pick) {
    Object.assign(this, { store, pick, asked: "" });
    this.which = make("select", { "aria-label": "Loop", onchange: () => { this.asked = ""; this.draw(); } });
    this.csv = link("CSV", "", { download: "" });
    this.place = make("div");
    this.element = make("div", {}, head(this.which, this.csv), this.place);
  }

  // The table, asked for anew where the run has changed.
  async draw() {
    const loops = [...this.store.nodes.values()].filter(({ loop, members }) => loop && members).map(({ name }) => name);
    const asked = `${this.store.seq} ${loops}`, fresh = asked !== this.asked;
    this.element.firstChild.hidden = !loops.length;
    if (!loops.length) this.place.replaceChildren("This run has no loop with members.");
    if (!loops.length || !fresh || this.busy) return;
    Object.assign(this, { asked, busy: true });
    const name = loops.includes(this.which.value) ? this.which.value : loops[0];
    this.which.replaceChildren(...loops.map((loop) => make("option", { selected: loop === name }, loop)));
    const parts = ["runs", this.store.id, "results", name], rows = await get(parts).catch(() => []);
    this.csv.href = at(parts, { format: "csv" });
    const keys = [...new Set(rows.flatMap(Object.keys))].filter((key) => !LEFT.includes(key) && rows.some((row) => row[key] || row[key] === 0));
    if (String(keys) !== this.keys || name !== this.name) this.place.replaceChildren(this.renew(keys));
    Object.assign(this, { keys: String(keys), name, busy: false });
    this.table.draw(rows);
  }

  renew(keys) {
    const again = ({ job }) => button("Run this row again", doing(async () => {
      await ask("POST", ["runs", this.store.id, "jobs", job, "retry"]);
      this.store.look(100);
    }), { class: "quiet" });
    const told = (value) => (typeof value === "number" ? +value.toPrecision(6) : shown(value ?? ""));
    const column = (key) => ({ title: key, value: (row) => told(row[key]), kind: "number" });
    this.table = new Table("Results", [
      { title: "Job", value: ({ job }) => job, kind: "name", show: ({ job }) => button(job, () => this.pick(job), { class: "quiet plain" }) },
      ...keys.map(column),
      { title: "State", value: ({ state }) => state, show: ({ state }) => mark(state) },
      { show: again },
    ], ({ job }) => job);
    return this.table.element;
  }
}
