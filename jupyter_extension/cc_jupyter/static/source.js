// A workflow's text as this page knows it, in one version; of each change the text before it is kept, for Undo.

import { ask, get } from "./api.js";

export class Source {
  // `told(source)` is called after each look at what the server has.
  constructor(own, told) { Object.assign(this, { own, told, past: [] }); }

  async read(tag = this.tag) {
    const answer = await ask("GET", this.own, { query: { format: "yaml" } });
    Object.assign(this, { text: await answer.text(), tag: answer.headers.get("ETag") });
    if (this.tag !== tag) this.past = []; // somebody else's version: not ours to undo
  }

  // The text comes first: a change of what is read after it is then refused if somebody was in between.
  async load(tag) {
    await this.read(tag);
    const graph = get([...this.own, "graph.json"], { state: false });
    const [{ workflow }, { edges }] = await Promise.all([get(this.own), graph]);
    this.told(Object.assign(this, { workflow, edges }));
  }

  // Ask for a change of the version `tag`; the version that is there then.
  async change(method, parts, sent, tag = this.tag, back = false) {
    const hint = "copy your text first; Reload, or opening the job again, brings the other one";
    const path = [...this.own, ...parts], headers = { "If-Match": tag };
    const answer = await ask(method, path, { ...sent, headers }).catch((trouble) => {
      throw trouble.status === 412 ? Object.assign(trouble, { message: "changed elsewhere: reload", hint }) : trouble;
    });
    const now = answer.headers.get("ETag");
    if (back) this.past.pop();
    else if (now !== tag) this.past.push(this.text);
    await this.load(now);
    return now;
  }
  undo() { return this.change("PUT", [], { data: this.past.at(-1), media: "application/yaml" }, this.tag, true); }
}
