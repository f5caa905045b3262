// Authoring by forms: add, edit, rename, connect and remove jobs. Which attributes there are and what each takes is told
// by the model's schema; known here is only which of them come first.

import { get } from "./api.js";
import { bar, flowCode, jobCode, requestCode, textCode } from "./actions.js";
import { button, head, make } from "./dom.js";
import { doing, say } from "./say.js";

const FIRST = ["script", "exec", "after", "args", "env", "params", "kind", "host"];
const HINTS = { object: "name: value, one a line", array: "one a line" };

// A value as lines: an item or `name: value` on each, as plain text where that cannot be taken for JSON; and back.
function parse(text) { try { return JSON.parse(text); } catch { return text; } }
const plain = (value) => typeof value === "string" && /^\S(.*\S)?$/.test(value) && parse(value) === value;
const word = (value) => (plain(value) ? value : JSON.stringify(value));
function lines(value = "") {
  if (typeof value !== "object") return String(value);
  if (Array.isArray(value)) return value.map(word).join("\n");
  return Object.entries(value || {}).map(([key, own]) => `${key}: ${word(own)}`).join("\n");
}
function read(text, types) {
  const own = text.split("\n").filter((line) => line.trim());
  const pairs = types.includes("object") && own.map((line) => line.match(/^\s*(.+?)\s*:\s*(.*)$/));
  if (pairs && pairs.every(Boolean)) return Object.fromEntries(pairs.map(([, key, value]) => [key, parse(value)]));
  if (types.includes("array") && (own.length > 1 || !types.includes("string"))) return own.map(parse);
  return types.some((type) => !["string", "array", "null"].includes(type)) ? parse(text) : text;
}

// A field by an attribute's schema; `read` gives its value, and just the old one where nothing was typed.
function field(name, schema, old, defs, list = []) {
  const parts = ({ $ref, anyOf }) => ($ref ? [defs[$ref.split("/").pop()]] : anyOf);
  const flat = (one) => parts(one)?.flatMap(flat) || [one], kinds = flat(schema), types = kinds.map(({ type }) => type);
  const choices = kinds.flatMap((kind) => kind.enum || []);
  const keys = kinds.flatMap((kind) => Object.keys(kind.properties || {}));
  const many = ["object", "array"].find((type) => types.includes(type)), id = `job-${name}`, shown = lines(old);
  const option = (value, text = value) => make("option", { value, selected: value === shown }, text);
  const placeholder = keys.length ? `${keys.join(", ")}: one a line` : HINTS[many], box = types.join() === "boolean";
  const input = choices.length
    ? make("select", { id }, option("", `${schema.default} (default)`), ...choices.map((value) => option(value)))
    : many || schema.contentMediaType || shown.includes("\n")
      ? make("textarea", { id, placeholder, spellcheck: "false", rows: shown.split("\n").length }, shown)
      : make("input", { id, type: box ? "checkbox" : "text", checked: old === true, value: shown, list: `${id}-list` });
  const before = input.value, told = () => (input.value.trim() ? read(input.value, types) : undefined);
  const ticked = () => input.checked || (old === undefined ? undefined : false);
  return { read: () => (box ? ticked() : input.value === before ? old : told()),
    element: make("div", { class: "field" }, make("label", { for: id }, name), input,
      make("datalist", { id: `${id}-list` }, ...list.map((value) => make("option", { value })))) };
}

export class Form {
  constructor(source) {
    const lists = ["Job to edit", "From", "To"].map((label) => make("select", { "aria-label": label }));
    const [jobs, from, to] = lists, { own } = source;
    const pair = () => ({ body: { dependency: [from.value, to.value] } });
    const connect = doing(() => source.change("POST", ["dependencies"], pair()));
    this.bar = bar("Changes", [
      { name: "Connect", code: () => flowCode("POST", [...own, "dependencies"], pair(), "", `--name=${own.at(-1)}`,
        "--dependencies", `${from.value},${to.value}`) },
      { name: "Undo", when: () => source.past.length, does: () => source.undo(), code: () => textCode(own) }]);
    this.element = make("section", { class: "top author", "aria-label": "Jobs" },
      button("+ Job", doing(() => this.open(""))),
      make("span", {}, jobs, " ", button("Edit job", doing(() => this.open(jobs.value)))),
      make("span", {}, from, " → ", to, " ", button("Connect", connect)), this.bar.element);
    this.drawer = make("aside", { class: "drawer", "aria-label": "Job", hidden: true, tabindex: "-1",
      onkeydown: ({ key }) => key === "Escape" && this.close() });
    Object.assign(this, { source, lists });
  }

  // What the server has now.
  update() {
    const { workflow, edges } = this.source;
    const names = [...new Set([...Object.keys(workflow.nodes), ...edges.flat()])];
    this.lists.forEach((list, n) => {
      const kept = list.value || (n === 2 && names.at(-1));
      list.replaceChildren(...names.map((name) => make("option", { selected: name === kept }, name)));
    });
    this.bar.update();
  }

  close() { this.drawer.hidden = true; this.before?.focus(); }

  // The form of a job, or with "" of a new one.
  async open(name) {
    const { source } = this;
    const [{ scripts }] = await Promise.all([get([...source.own, "scripts"]), source.load()]);
    const { $defs: defs } = this.schema ??= await get(["schema"]), written = source.workflow.nodes[name];
    const now = () => source.workflow.nodes[name] || {};
    const kind = (value) => ({ type: Array.isArray(value) ? "array" : typeof value });
    const other = Object.entries(now()).map(([key, value]) => [key, kind(value)]);
    const { name: _, ...all } = { ...Object.fromEntries(other), ...defs.Job.properties };
    const lists = { script: scripts, host: Object.keys(source.workflow.hosts || {}) };
    const one = (key) => [key, field(key, all[key], now()[key], defs, lists[key])];
    const fields = new Map(Object.keys(all).map(one)), first = new Set([...FIRST, ...Object.keys(now())]);
    const title = make("input", { id: "job", value: name, required: true });
    const parents = source.edges.filter(([, child]) => child === name).map(([parent]) => parent);
    let { tag } = source;

    const cut = (parent) => doing(async ({ currentTarget }) => {
      const item = currentTarget.parentElement, { element } = fields.get("after");
      tag = await source.change("DELETE", ["dependencies", parent, name], {}, tag);
      item.remove();
      fields.set(...one("after")); // where it may have stood
      element.replaceWith(fields.get("after").element);
    });
    const done = (method, parts, told, body = () => undefined) => async () => {
      await source.change(method, parts, { body: body() }, tag);
      this.close();
      say(told);
    };
    const typed = () => [...fields].map(([key, it]) => [key, it.read()]);
    const filled = () => ({ ...Object.fromEntries(typed()), name: title.value.trim() });
    const own = ["jobs", name], put = written ? ["PUT", own] : ["POST", ["jobs"]], cutting = ["DELETE", own];
    const save = doing(done(...put, "saved", filled));
    const buttons = bar("Actions of the job", [
      { name: "Save", code: () => jobCode(source.own, ...put, filled()) },
      { name: "Remove job", look: "danger", when: () => written, does: done(...cutting, `removed: ${name}`),
        code: () => jobCode(source.own, ...cutting) },
      ...parents.map((parent) => ({ name: `Remove the dependency on ${parent}`,
        code: () => requestCode("DELETE", [...source.own, "dependencies", parent, name]) })),
    ], make("button", { class: "main" }, "Save")).element;
    const chips = parents.map((parent) => make("li", {}, `${parent} `,
      button("×", cut(parent), "quiet", { "aria-label": `Remove the dependency on ${parent}` })));
    const part = (keys) => keys.flatMap((key) => fields.get(key)?.element || []);
    const form = make("form", { class: "job", onsubmit: (event) => { event.preventDefault(); save(event); } },
      make("div", { class: "field" }, make("label", { for: "job" }, "name"), title),
      chips.length > 0 && make("div", { class: "field" }, "starts after", make("ul", { class: "chips" }, ...chips)),
      ...part([...first]), make("details", {}, make("summary", {}, "More"),
        ...part([...fields.keys()].filter((key) => !first.has(key)))), buttons);
    if (this.drawer.hidden) this.before = document.activeElement;
    const close = button("×", () => this.close(), "", { "aria-label": "Close" });
    this.drawer.replaceChildren(head(make("h2", {}, name || "New job"), close), form);
    this.drawer.hidden = false;
    (written ? this.drawer : title).focus();
  }
}
