// Elements, states and times as a reader sees them. What stands in an element is text, never read as markup.

export const SYMBOLS = JSON.parse(document.documentElement.dataset.symbols);
export const ORDER = ["done", "failed", "cancelled", "skipped", "running", "submitted", "blocked", "ready"];

export function make(tag, props = {}, ...inside) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (key === "css") Object.entries(value).forEach(([name, text]) => made.style.setProperty(name, text));
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...inside.filter((item) => item !== undefined && item !== null && item !== false));
  return made;
}
export const button = (text, onclick, props = {}) => make("button", { type: "button", onclick, ...props }, text);
export const link = (text, href, props = {}) => make("a", { href, ...props }, text);
export const head = (title, ...inside) => make("div", { class: "head" }, title, ...inside);
export const put = (...parts) => document.getElementById("page").replaceChildren(...parts);

export const mark = (state, kind = "", count = "") =>
  make("span", { class: `state ${state} ${kind}` }, `${SYMBOLS[state] || "·"} ${count}${state}`);
export const far = (state, percent, more = "") => make("span", { class: "far" },
  make("span", { class: `bar ${state}`, css: { "--far": `${percent}%` } }), `${Math.round(percent)}%${more}`);
export const shown = (value) => (typeof value === "string" ? value : JSON.stringify(value) ?? "");
export const pairs = (values) => make("dl", {}, ...Object.entries(values).filter(([, value]) => value !== "")
  .flatMap(([key, value]) => [make("dt", {}, key), make("dd", {}, shown(value))]));

export const time = (text) => (text ? new Date(text).getTime() : NaN);
export const clock = (text) => (text ? new Date(text).toLocaleTimeString([], { hour12: false }) : "");
export const moment = (text) =>
  (text ? new Date(text).toLocaleString([], { dateStyle: "medium", timeStyle: "medium", hour12: false }) : "");
export function span(milliseconds) {
  const seconds = milliseconds / 1000;
  if (!Number.isFinite(seconds)) return "";
  if (seconds < 60) return `${seconds < 10 ? +Math.max(0, seconds).toFixed(1) : Math.round(seconds)} s`;
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return hours ? `${hours} h ${minutes} min` : `${minutes} min ${Math.floor(seconds) % 60} s`;
}

const said = document.getElementById("said");
export function say(text, kind = "", hint = "") {
  const note = make("p", { class: kind }, make("span", {}, text, hint && make("small", {}, hint)),
    button("×", () => note.remove(), { "aria-label": "Dismiss" }));
  said.replaceChildren(note);
  if (!kind) setTimeout(() => note.remove(), 6000);
}
// Does what a button asks for; a refusal is told, and nothing is asked twice at once.
export const doing = (work) => async (event) => {
  const own = event?.currentTarget instanceof HTMLButtonElement ? event.currentTarget : {};
  own.disabled = true;
  try { return await work(event); }
  catch (trouble) { return say(trouble.message, "wrong", trouble.hint); }
  finally { own.disabled = false; }
};
// Buttons of which one is pressed, each with a panel that is then seen.
export function choice(panels, chosen) {
  const heads = Object.keys(panels).map((name) => button(name, () => show(name)));
  const show = (name) => {
    heads.forEach((own) => { own.ariaPressed = own.textContent === name; });
    Object.entries(panels).forEach(([other, panel]) => { panel.hidden = other !== name; });
    chosen(name);
  };
  show(heads[0].textContent);
  return make("div", { class: "choice", role: "group", "aria-label": "Show" }, ...heads);
}
