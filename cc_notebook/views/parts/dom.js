// Elements, states and times as a reader sees them. What stands in an element is text, never read as markup.

export const SYMBOLS = JSON.parse(document.documentElement.dataset.symbols);
export const ORDER = ["done", "failed", "cancelled", "skipped", "running", "submitted", "blocked", "ready", "waiting"];

export function make(tag, props = {}, ...inside) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (key === "css") Object.entries(value).forEach(([name, text]) => made.style.setProperty(name, text));
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...inside.filter((item) => item || item === 0));
  return made;
}
export const button = (text, onclick, look = "", props = {}) =>
  make("button", { type: "button", class: look, onclick, ...props }, text);
export const link = (text, href, props = {}) => make("a", { href, ...props }, text);
export const head = (title, ...inside) => make("div", { class: "head" }, title, ...inside);
export const region = (label, kind, ...inside) =>
  make("div", { class: kind, tabindex: "0", role: "region", "aria-label": label }, ...inside);
export const put = (...parts) => document.getElementById("page").replaceChildren(...parts.filter(Boolean));

export const mark = (state, look = "", count = "") =>
  make("span", { class: `state ${state} ${look}` }, `${SYMBOLS[state] || "·"} ${count}${state}`);
export const far = ({ state, progress, step }) => make("span", { class: "far" },
  make("span", { class: `bar ${state}`, css: { "--far": `${progress}%` } }),
  `${Math.round(progress)}%${step ? ` (${step.replace("/", " of ")})` : ""}`);
// How many jobs are in each state, as one bar and in words.
export function shares(count) {
  const there = ORDER.filter(count), part = (state) => make("i", { class: state, css: { flex: count(state) } });
  return [make("div", { class: "share", "aria-hidden": "true" }, ...there.map(part)),
    make("p", { class: "counts" }, ...there.map((state) => mark(state, "", `${count(state)} `)))];
}
export const shown = (value) => (typeof value === "string" ? value : JSON.stringify(value) ?? "");
export const pairs = (values) => make("dl", {}, ...Object.entries(values).filter(([, value]) => value !== "")
  .flatMap(([key, value]) => [make("dt", {}, key), make("dd", {}, shown(value))]));
// A box in which a picture fits, or has its full size.
export function canvas(...inside) {
  const frame = region("Graph", "canvas", ...inside);
  const full = () => { size.textContent = frame.classList.toggle("full") ? "Fit" : "Full size"; };
  const size = button("Full size", full, "quiet");
  return { frame, element: make("section", { class: "graph" }, head(make("h2", {}, "Graph"), size), frame) };
}

export const time = (text) => (text ? new Date(text).getTime() : NaN);
const local = (how) => (text) => (text ? new Date(text).toLocaleString([], { hour12: false, ...how }) : "");
export const clock = local({ timeStyle: "medium" }), moment = local({ dateStyle: "medium", timeStyle: "medium" });
export function span(milliseconds) {
  const seconds = milliseconds / 1000, [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  if (!Number.isFinite(seconds)) return "";
  if (seconds < 60) return `${seconds < 10 ? +Math.max(0, seconds).toFixed(1) : Math.round(seconds)} s`;
  return hours ? `${hours} h ${minutes} min` : `${minutes} min ${Math.floor(seconds) % 60} s`;
}
