// What can be asked of a workflow, a run or a job: a button that asks it, and the same as code to take along.
// An action: name, does (what a click does; none: its button stands elsewhere), code (texts by kind), look (class),
// when (is it offered now).

import { ask, at, visit } from "./api.js";
import { requestCode } from "./code.js";
import { button, head, link, make } from "./dom.js";
import { doing, say } from "./say.js";

export * from "./code.js";

// The removal of what has the route `own`, after a question; then `next` is shown.
export const removal = (own, question, next, code) => ({
  name: "Delete", look: "danger", code: () => code,
  does: async () => {
    if (confirm(question)) await ask("DELETE", own).then(() => visit(next));
  },
});

// A download; an answer that is attached says its own name.
export function download(name, parts, query, into, code) {
  const file = link("", at(parts, query), { download: into });
  return { name, does: () => file.click(), code: () => requestCode("GET", parts, { query, into }, code) };
}

async function copy(text, block) {
  try { await navigator.clipboard.writeText(text); say("copied"); }
  catch { getSelection().selectAllChildren(block); say("marked: copy it by your keyboard"); } // without https
}
function dialog(actions) {
  const blocks = make("div"), which = make("select", { id: "which", onchange: () => show() },
    ...actions.map(({ name }, n) => make("option", { value: n }, name)));
  const block = ([kind, text]) => {
    const code = make("pre", { tabindex: "0" }, text);
    const own = button("Copy", () => copy(text, code), "quiet", { "aria-label": `Copy ${kind}` });
    return make("figure", {}, make("figcaption", {}, kind, own), code);
  };
  const show = () => blocks.replaceChildren(...Object.entries(actions[which.value].code()).map(block));
  const close = button("×", () => box.close(), "", { "aria-label": "Close" });
  const box = make("dialog", { "aria-label": "Copy as code", onclose: () => box.remove() },
    head(make("label", { for: "which" }, "Copy ", which, " as code"), close), blocks);
  show();
  document.body.append(box);
  box.showModal();
}

// A row of buttons for what is offered now, after what stands `before` them; `update()` looks again.
export function bar(label, actions, ...before) {
  const buttons = actions.map(({ name, does, look = "" }) => button(name, doing(does), look));
  const offered = () => actions.filter(({ when = () => true }) => when());
  const code = button("</>", doing(() => dialog(offered().filter(({ code: own }) => own))), "",
    { title: "Copy as Python, YAML, CLI or curl", "aria-label": "Copy as code" });
  const update = () => {
    const now = offered();
    actions.forEach((action, n) => { buttons[n].hidden = !action.does || !now.includes(action); });
  };
  update();
  return { element: make("div", { class: "actions", role: "group", "aria-label": label }, ...before, ...buttons, code),
    update };
}
