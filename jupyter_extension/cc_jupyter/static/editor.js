// The text of a workflow: checked while it is written, each error at its line; saved only if nobody else has changed it.

import { ask } from "./api.js";
import { button, doing, head, make, say } from "./dom.js";

const media = "application/yaml", ELSEWHERE = "copy what you wrote; Reload brings the other version";

export class Editor {
  // `saved(workflow)` is called with what the server has after a change.
  constructor(own, saved) {
    Object.assign(this, { own, saved, bad: new Set() });
    this.text = make("textarea", { spellcheck: "false", wrap: "off", rows: 22, "aria-label": "YAML",
      oninput: () => this.changed(), onscroll: () => this.scroll() });
    this.lines = make("ol", { "aria-hidden": "true" });
    this.problems = make("ul", { class: "problems", role: "status" });
    const apply = button("Apply", doing(() => this.apply()), { class: "main" }), reload = button("Reload", doing(() => this.open()));
    const close = button("Close", () => { this.element.hidden = true; });
    this.element = make("section", { hidden: true }, head(make("h2", {}, "YAML"), make("span", {}, apply, " ", reload, " ", close)),
      make("div", { class: "text" }, this.lines, this.text), this.problems);
  }

  async open() {
    const answer = await ask("GET", this.own, { query: { format: "yaml" } });
    this.tag = answer.headers.get("ETag");
    this.text.value = await answer.text();
    this.element.hidden = false;
    this.tell({ problems: [] });
    this.jump(1, 1);
  }

  changed() {
    this.scroll();
    clearTimeout(this.timer);
    this.timer = setTimeout(async () => {
      const data = this.text.value, answer = await ask("POST", [...this.own, "validation"], { data, media }).catch(() => null);
      if (answer && data === this.text.value) this.tell(await answer.json());
    }, 400);
  }

  async apply() {
    clearTimeout(this.timer);
    try {
      const answer = await ask("PUT", this.own, { data: this.text.value, media, headers: { "If-Match": this.tag } });
      this.tag = answer.headers.get("ETag");
      this.tell({ problems: [] });
      this.saved(await answer.json());
      say("saved");
    } catch (trouble) {
      if (trouble.status === 412) return say("changed elsewhere: reload", "wrong", ELSEWHERE);
      if (!trouble.problems?.length) throw trouble;
      this.tell(trouble);
    }
    return undefined;
  }

  tell({ problems }) {
    this.bad = new Set(problems.map(({ line }) => line));
    this.scroll();
    this.problems.replaceChildren(...problems.map(({ line, column, message, hint }) => make("li", {},
      button(`line ${line}: ${message}`, () => this.jump(line, column), { class: "quiet" }), make("small", {}, ` ${hint}`))));
  }

  scroll() {
    const lines = this.text.value.split("\n").map((_, n) => make("li", { class: this.bad.has(n + 1) && "bad" }));
    if (lines.length !== this.lines.children.length || this.bad !== this.seen) this.lines.replaceChildren(...lines);
    this.seen = this.bad;
    this.lines.scrollTop = this.text.scrollTop;
  }

  jump(line, column) {
    const place = this.text.value.split("\n").slice(0, line - 1).reduce((sum, text) => sum + text.length + 1, 0) + column - 1;
    this.text.focus();
    this.text.setSelectionRange(place, place);
    this.text.scrollTop = (line - 8) * 20; // pixels of a line, see style.css
  }
}
