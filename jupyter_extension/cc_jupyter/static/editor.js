// The text of a workflow: checked while it is written, each error at its line; saved if nobody else has changed it.

import { ask } from "./api.js";
import { button, head, make } from "./dom.js";
import { doing, say } from "./say.js";

const media = "application/yaml", LINE = 20; // pixels, see style.css

export class Editor {
  constructor(source) {
    this.source = source;
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
    await this.source.read();
    this.tag = "";
    this.follow();
    this.element.hidden = false;
    this.jump(1, 1);
  }

  // Shows what the server has now, unless something was written here meanwhile.
  follow() {
    const { text, tag } = this.source, { value } = this.text;
    if (this.tag && value !== this.before && value !== text) return;
    if (value !== text) this.text.value = text;
    Object.assign(this, { tag, before: this.text.value });
    this.tell([]);
  }

  changed() {
    this.tell(this.wrong);
    clearTimeout(this.timer);
    this.timer = setTimeout(async () => {
      const data = this.text.value;
      const told = await ask("POST", [...this.source.own, "validation"], { data, media }).catch(() => null);
      if (told && data === this.text.value) this.tell((await told.json()).problems);
    }, 400);
  }

  async apply() {
    clearTimeout(this.timer);
    try {
      await this.source.change("PUT", [], { data: this.text.value, media }, this.tag);
      say("saved");
    } catch (trouble) {
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
