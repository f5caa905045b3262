// A loop's members as a table: their values, outputs, time, state, and notebook or log; each row can run again.

import { at, get } from "./api.js";
import { bar, steerCode } from "./actions.js";
import { button, head, link, make, mark, shown } from "./dom.js";
import { Table } from "./table.js";

// Four digits of a fraction are enough here; CSV has all. Of a whole or large number none is left out.
const rough = (value) => (Number.isInteger(value) || Math.abs(value) >= 1e4 ? value : +value.toPrecision(4));
const told = (value) => (typeof value === "number" ? rough(value) : shown(value ?? ""));

export class Results {
  constructor(store, pick) {
    Object.assign(this, { store, pick, asked: "" });
    this.which = make("select", { "aria-label": "Loop", onchange: () => { this.asked = ""; this.draw(); } });
    this.place = make("div", {}, "This run has no loop with members.");
    this.element = make("div", {}, this.place);
  }

  // The table, asked for anew where the run has changed.
  async draw() {
    const loops = [...this.store.nodes.values()].filter(({ loop, members }) => loop && members).map(({ name }) => name);
    const asked = `${this.store.seq} ${loops}`, name = loops.includes(this.which.value) ? this.which.value : loops[0];
    if (!loops.length || asked === this.asked || this.busy) return;
    Object.assign(this, { asked, busy: true });
    const parts = ["runs", this.store.id, "results", name], rows = await get(parts).catch(() => []);
    const there = (key) => !["job", "state", "file"].includes(key) && rows.some((row) => row[key] || row[key] === 0);
    const keys = [...new Set(rows.flatMap(Object.keys))].filter(there), plan = `${name} ${keys} ${loops}`;
    if (plan !== this.plan) this.renew(rows, keys, loops, name, at(parts, { format: "csv" }));
    Object.assign(this, { plan, busy: false });
    this.table.draw(rows);
  }

  renew(rows, keys, loops, name, csv) {
    const again = ({ job }) => bar(`Actions of ${job}`, [{ name: "Run this row again", look: "quiet",
      does: () => this.store.ask("jobs", job, "retry"), code: () => steerCode(this.store.id, "retry", job) }]).element;
    const named = ({ job }) => button(job, () => this.pick(job), "quiet plain");
    const first = { title: "Job", key: "job", kind: "name", show: named };
    const kept = ({ job, file }, kind = file.endsWith(".ipynb") ? "notebook" : "log") =>
      file && link(kind, at(["runs", this.store.id, "jobs", job, kind]), { target: kind === "log" && "_blank" });
    const state = { title: "State", key: "state", show: (row) => mark(row.state) };
    const kind = (key) => (rows.some((row) => typeof row[key] === "number") ? "number" : "");
    const title = { time: "time (s)" }, file = { title: "File", key: "file", show: kept };
    const values = keys.map((key) => ({ title: title[key] || key, value: (row) => told(row[key]), kind: kind(key) }));
    this.table = new Table("Results", "job", [first, ...values, state, file, { show: again }]);
    this.which.replaceChildren(...loops.map((loop) => make("option", { selected: loop === name }, loop)));
    this.element.replaceChildren(head(this.which, link("CSV", csv, { download: "" })), this.table.element);
  }
}
