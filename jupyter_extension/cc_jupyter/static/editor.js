// The text of a workflow: checked while it is written, each error at its line; saved if nobody else has changed it.

import { ask } from "./api.js";
import { button, head, make } from "./dom.js";
import { doing, say } from "./say.js";

const media = "application/yaml", LINE = 20; // pixels, see style.css

export class Editor {
  // `saved(workflow)` is called with what the server has after a change.
  constructor(own, saved) {
    Object.assign(this, { own, saved });
    this.text = make("textarea", { spellcheck: "false", wrap: "off", rows: 22, "aria-label": "YAML",
      oninput: () => this.changed(), onscroll: () => { this.lines.scrollTop = this.text.scrollTop; } });
    this.lines = make("ol", { "aria-hidden": "true" });
    this.problems = make("ul", { class: "problems", role: "status" });
    const apply = button("Apply", doing(() => this.apply()), "main");
    const reload = button("Reload", doing(() => this.open()));
    const close = button("Close", () => { this.element.hidden = true; });
    const buttons = make("div", { class: "actions" }, apply, reload, close);
    this.element = make("section", { hidden: true }, head(make("h2", {}, "YAML"), buttons),
      make("div", { class: "text" }, this.lines, this.text), this.problems);
  }

  async open() {
    const answer = await ask("GET", this.own, { query: { format: "yaml" } });
    this.tag = answer.headers.get("ETag");
    this.text.value = await answer.text();
    this.element.hidden = false;
    this.tell([]);
    this.jump(1, 1);
  }

  changed() {
    this.tell(this.wrong);
    clearTimeout(this.timer);
    this.timer = setTimeout(async () => {
      const data = this.text.value;
      const told = await ask("POST", [...this.own, "validation"], { data, media }).catch(() => null);
      if (told && data === this.text.value) this.tell((await told.json()).problems);
    }, 400);
  }

  async apply() {
    clearTimeout(this.timer);
    try {
      const answer = await ask("PUT", this.own, { data: this.text.value, media, headers: { "If-Match": this.tag } });
      this.tag = answer.headers.get("ETag");
      this.tell([]);
      this.saved(await answer.json());
      say("saved");
    } catch (trouble) {
      const hint = "copy your text first; Reload brings the other one";
      if (trouble.status === 412) throw Object.assign(trouble, { message: "changed elsewhere: reload", hint });
      if (!trouble.problems?.length) throw trouble;
      this.tell(trouble.problems);
    }
  }

  tell(problems) {
    this.wrong = problems;
    const bad = new Set(problems.map(({ line }) => line)), lines = this.text.value.split("\n");
    this.lines.replaceChildren(...lines.map((_, n) => make("li", { class: bad.has(n + 1) && "bad" })));
    this.lines.scrollTop = this.text.scrollTop;
    this.problems.replaceChildren(...problems.map(({ line, column, message, hint }) => make("li", {},
      button(`line ${line}: ${message}`, () => this.jump(line, column), "quiet"), make("small", {}, ` ${hint}`))));
  }

  jump(line, column) {
    const before = this.text.value.split("\n").slice(0, line - 1).map((text) => text.length + 1);
    const place = before.reduce((sum, length) => sum + length, column - 1);
    this.text.focus();
    this.text.setSelectionRange(place, place);
    this.text.scrollTop = (line - 8) * LINE;
  }
}
