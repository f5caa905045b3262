// The text of a workflow: checked while it is written, each error at its line; saved if nobody else has changed it.

import { ask } from "./api.js";
import { bar, textCode } from "./actions.js";
import { button, head, make } from "./dom.js";
import { say } from "./say.js";

const media = "application/yaml", LINE = 20; // pixels, see style.css
const QUESTION = "What you changed in the YAML is not applied. Discard it?";
const stay = (event) => event.preventDefault(); // the browser asks whether to leave

export class Editor {
  constructor(source) {
    this.source = source;
    this.text = make("textarea", { spellcheck: "false", wrap: "off", rows: 22, "aria-label": "YAML",
      oninput: () => this.changed(), onscroll: () => { this.lines.scrollTop = this.text.scrollTop; } });
    this.lines = make("ol", { "aria-hidden": "true" });
    this.problems = make("ul", { class: "problems", role: "status" });
    const apply = async () => { await this.apply(); say("saved"); };
    const { element } = bar("Actions of the editor", [
      { name: "Apply", look: "main", does: apply, code: () => textCode(source.own) },
      { name: "Reload", does: () => this.mayDiscard() && this.open() },
      { name: "Close", does: () => this.mayDiscard() && this.close() }]);
    this.element = make("section", { hidden: true }, head(make("h2", {}, "YAML"), element),
      make("div", { class: "text" }, this.lines, this.text), this.problems);
  }

  // Is there text here that the server does not have?
  get unapplied() { return !this.element.hidden && this.text.value !== this.before; }
  mayDiscard() { return !this.unapplied || confirm(QUESTION); }

  // Shows what the server has now, whatever is written here.
  async open() {
    await this.source.read();
    this.tag = "";
    this.follow();
    this.element.hidden = false;
  }

  close() { this.element.hidden = true; this.tell([]); }

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
    const data = this.text.value, refused = (trouble) => { this.tell(trouble.problems); throw trouble; };
    const tag = await this.source.change("PUT", [], { data, media }, this.tag).catch(refused);
    Object.assign(this, { tag, before: data }); // also if more was written meanwhile
  }

  tell(problems) {
    this.wrong = problems;
    (this.unapplied ? addEventListener : removeEventListener)("beforeunload", stay);
    document.body.classList.toggle("unapplied", this.unapplied); // who shows this page in a frame looks for it
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
